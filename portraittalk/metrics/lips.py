"""Whether the lips move as they should: apertures (``motion.geometry.lip_aperture``), closures, places of landmarks."""

import math

import torch
from torch import Tensor

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_OUTER
from ..models.face_basis import load_basis
from ..motion.geometry import lip_aperture
from ..speech.phones import Phone
from ..types import Face

BILABIALS = ("P", "B", "M")
CLOSED = 0.02  # eye distances: an aperture below it looks closed


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two curves (F,); frames where either is NaN do not count. NaN where one is constant."""
    known = first.isfinite() & second.isfinite()
    pair = torch.stack((first[known], second[known])).double()
    return torch.corrcoef(pair)[0, 1].item() if known.sum() > 1 else float("nan")


def best_lag(first: Tensor, second: Tensor, reach: int = 5) -> tuple[int, float]:
    """The lag in frames, up to ``reach``, at which two curves (F,) correlate best, and how well.

    It is positive where ``second`` comes later than ``first``; 0 and NaN where one of them is constant.
    """
    best, found = 0, float("nan")
    for lag in range(-reach, reach + 1):
        early = first[max(0, -lag) : len(first) - max(0, lag)]
        late = second[max(0, lag) : len(second) - max(0, -lag)]
        value = correlation(early, late)
        if value > found or (found != found and value == value):
            best, found = lag, value
    return best, found


def apertures(faces: list[Face | None]) -> Tensor:
    """(F,), NaN where there is no face."""
    return torch.stack([torch.tensor(torch.nan) if face is None else lip_aperture(face.landmarks) for face in faces])


def closure(aperture: Tensor, phones: list[Phone], fps: float) -> float | None:
    """The share of the p, b and m during which, or a frame beside, the lips' aperture (F,) falls below ``CLOSED``.

    None where none is spoken within the curve.
    """
    lowest = []
    for phone in phones:
        first, stop = max(math.floor(phone.start * fps) - 1, 0), math.ceil(phone.end * fps) + 1
        during = aperture[first:stop][aperture[first:stop].isfinite()]
        if phone.name in BILABIALS and len(during):
            lowest.append(during.min())
    return (torch.stack(lowest) < CLOSED).float().mean().item() if lowest else None


def lip_distance(first: list[Face | None], second: list[Face | None]) -> float | None:
    """LMD, the mean distance of the lips' landmarks of two videos frame by frame, in eye distances.

    Of frontal faces: the heads may be posed as they like. None where no frame of both has a face.
    """
    pairs = [(a.landmarks, b.landmarks) for a, b in zip(first, second, strict=False) if a and b]
    if not pairs:
        return None
    mean, lips = load_basis().mean, [*LIPS_INNER, *LIPS_OUTER]
    sides = [torch.stack(side) for side in zip(*pairs, strict=True)]
    a, b = (undo_rigid(side, *rigid_fit(mean.expand_as(side), side))[:, lips] for side in sides)
    return (a - b)[..., :2].norm(dim=-1).mean().item()
