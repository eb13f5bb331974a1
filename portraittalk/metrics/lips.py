"""Lip metrics: aperture curves (``motion.geometry.lip_aperture``), closures and landmark distance."""

import math

import torch
from torch import Tensor

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_OUTER
from ..models.face_basis import load_basis
from ..motion.geometry import lip_aperture
from ..speech.phones import BILABIALS, Phone
from ..types import Face

LEAST_COMPARED = 3  # values of two shifted curves; any two correlate fully
CLOSED = 0.02  # lip aperture in eye distances below which the mouth counts as closed


def correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation of two curves (F,) without frames where either is NaN; NaN if one is constant."""
    valid = first.isfinite() & second.isfinite()
    pair = torch.stack((first[valid], second[valid])).double()
    return torch.corrcoef(pair)[0, 1].item() if valid.sum() > 1 else float("nan")


def best_lag(first: Tensor, second: Tensor, reach: int = 5) -> tuple[int, float]:
    """Return the lag in frames, up to ``reach``, with the highest correlation of two curves (F,), and that value.

    The lag is positive if ``second`` is later than ``first``. Returns 0 and NaN if one of them is constant.
    """
    best, highest = 0, float("nan")
    reach = min(reach, max(len(first) - LEAST_COMPARED, 0))
    for lag in range(-reach, reach + 1):
        early = first[max(0, -lag) : len(first) - max(0, lag)]
        late = second[max(0, lag) : len(second) - max(0, -lag)]
        value = correlation(early, late)
        if value > highest or (highest != highest and value == value):
            best, highest = lag, value
    return best, highest


def apertures(faces: list[Face | None]) -> Tensor:
    """Return the lip aperture of each frame (F,), NaN without a face."""
    return torch.stack([torch.tensor(torch.nan) if face is None else lip_aperture(face.landmarks) for face in faces])


def frames_about(phone: Phone, fps: float) -> slice:
    """Return the frames of a phone, and one before and after it."""
    return slice(max(math.floor(phone.start * fps) - 1, 0), math.ceil(phone.end * fps) + 1)


def closure(aperture: Tensor, phones: list[Phone], fps: float) -> float | None:
    """Return the share of p, b and m in which the lip aperture (F,) falls below ``CLOSED``.

    A frame before and after each phone counts as well. None if the curve covers none of these phones.
    """
    lowest = []
    for phone in phones:
        seen = aperture[frames_about(phone, fps)]
        during = seen[seen.isfinite()]
        if phone.name in BILABIALS and len(during):
            lowest.append(during.min())
    return (torch.stack(lowest) < CLOSED).float().mean().item() if lowest else None


def lip_distance(first: list[Face | None], second: list[Face | None]) -> float | None:
    """Return the LMD: the mean lip landmark distance of two videos frame by frame, in eye distances.

    The faces are made frontal first, so that head pose does not count. None if no frame has a face in both.
    """
    pairs = [(a.landmarks, b.landmarks) for a, b in zip(first, second, strict=False) if a and b]
    if not pairs:
        return None
    mean, lips = load_basis().mean, [*LIPS_INNER, *LIPS_OUTER]
    sides = [torch.stack(side) for side in zip(*pairs, strict=True)]
    a, b = (undo_rigid(side, *rigid_fit(mean.expand_as(side), side))[:, lips] for side in sides)
    return (a - b)[..., :2].norm(dim=-1).mean().item()
