"""Temporal stability of the area around the face (flicker, drift), and the blink rate."""

import torch
from torch import Tensor

from ..compositing.draw import fill
from ..face import topology as mesh
from ..types import Face

FACE_MARGIN = 1.4  # scale of the excluded region relative to the face oval
ENDS = 5  # frames averaged at the beginning and at the end for drift
SHUT = 0.6  # blink threshold, relative to the median eye openness
EYES = ((mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER), (mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER))


def still_region(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """Return a mask (1, size, size) of the area that should not move, 0 on the enlarged face.

    landmarks: (478, 3) in pixels of a crop of side ``crop_size``.
    """
    outline = landmarks[None, list(mesh.FACE_OVAL), :2] * (size / crop_size)
    centre = outline.mean(1, keepdim=True)
    return 1 - fill(centre + FACE_MARGIN * (outline - centre), size).clamp(0, 1)


def flicker(frames: Tensor, region: Tensor) -> float:
    """Return the mean absolute difference of frames (F, 3, S, S) from the mean of their two neighbours, in 1/255.

    Averaged over a region (1, S, S). Steady motion and slow changes of light do not count. NaN for fewer than 3 frames.
    """
    jumps = (frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs()
    return 255 * _within(jumps, region)


def drift(frames: Tensor, region: Tensor) -> float:
    """Return the mean absolute difference of the last and the first frames in a region (1, S, S), in 1/255.

    ``ENDS`` frames are averaged at each end.
    """
    return 255 * _within((frames[-ENDS:].mean(0) - frames[:ENDS].mean(0)).abs()[None], region)


def eye_openness(landmarks: Tensor) -> Tensor:
    """Return the eye aspect ratio (Soukupova and Cech 2016), averaged over both eyes: (..., 478, 3) -> (...).

    Computed as the mean distance of the three middle pairs of lid points over the distance of the eye corners.
    """
    both = []
    for upper, lower in EYES:
        gaps = (landmarks[..., lower[3:6], :2] - landmarks[..., upper[3:6], :2]).norm(dim=-1).mean(-1)
        both.append(gaps / (landmarks[..., upper[-1], :2] - landmarks[..., upper[0], :2]).norm(dim=-1))
    return torch.stack(both).mean(0)


def blinks_per_minute(faces: list[Face | None], fps: float) -> float | None:
    """Return how often per minute the eye openness falls below 0.6 of its median; None if no frame has a face."""
    landmarks = [face.landmarks for face in faces if face is not None]
    if not landmarks:
        return None
    openness = eye_openness(torch.stack(landmarks))
    shut = openness < SHUT * openness.median()
    count = int(shut[0]) + int((shut[1:] & ~shut[:-1]).sum())
    return count / (len(faces) / fps / 60)


def _within(values: Tensor, region: Tensor) -> float:
    """Return the mean of (F, 3, S, S) over a region (1, S, S)."""
    weights = region.expand_as(values)
    return ((values * weights).sum() / weights.sum()).item()
