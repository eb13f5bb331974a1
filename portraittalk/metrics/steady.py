"""What should be still, and the eyes: flicker, drift of the background, blinks."""

import torch
from torch import Tensor

from ..compositing.draw import fill
from ..face import topology as mesh
from ..types import Face

FACE_MARGIN = 1.4  # how much larger than the face's outline what may move is
ENDS = 5  # frames at the beginning and at the end that drift is looked for between
SHUT = 0.6  # of the eyes' median opening: below it they blink
EYES = ((mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER), (mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER))


def still_region(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """Where nothing should move: landmarks (478, 3) in crop pixels -> (1, size, size), 0 on the enlarged face."""
    outline = landmarks[None, list(mesh.FACE_OVAL), :2] * (size / crop_size)
    centre = outline.mean(1, keepdim=True)
    return 1 - fill(centre + FACE_MARGIN * (outline - centre), size).clamp(0, 1)


def flicker(frames: Tensor, region: Tensor) -> float:
    """Temporal high frequencies in 1/255: how far pictures (F, 3, S, S) lie from the mean of their two neighbours, on
    average over a region (1, S, S). Steady motion and slow changes of light are none. NaN for fewer than 3 frames."""
    jumps = (frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs()
    return 255 * _within(jumps, region)


def drift(frames: Tensor, region: Tensor) -> float:
    """How far the last frames are from the first in a region (1, S, S), in 1/255, each as a mean of ``ENDS``."""
    return 255 * _within((frames[-ENDS:].mean(0) - frames[:ENDS].mean(0)).abs()[None], region)


def eye_openness(landmarks: Tensor) -> Tensor:
    """Eye aspect ratio (Soukupova and Cech 2016), the mean of both eyes: (..., 478, 3) -> (...).

    Here the mean gap of the three middle pairs of lid points over the distance of the corners.
    """
    both = []
    for upper, lower in EYES:
        gaps = (landmarks[..., lower[3:6], :2] - landmarks[..., upper[3:6], :2]).norm(dim=-1).mean(-1)
        both.append(gaps / (landmarks[..., upper[-1], :2] - landmarks[..., upper[0], :2]).norm(dim=-1))
    return torch.stack(both).mean(0)


def blinks_per_minute(faces: list[Face | None], fps: float) -> float | None:
    """How often the eyes' opening falls below 0.6 of its median; None where no frame has a face."""
    known = [face.landmarks for face in faces if face is not None]
    if not known:
        return None
    openness = eye_openness(torch.stack(known))
    shut = openness < SHUT * openness.median()
    count = int(shut[0]) + int((shut[1:] & ~shut[:-1]).sum())
    return count / (len(faces) / fps / 60)


def _within(values: Tensor, region: Tensor) -> float:
    """Mean of (F, 3, S, S) over a region (1, S, S)."""
    weights = region.expand_as(values)
    return ((values * weights).sum() / weights.sum()).item()
