"""How far one way of finding faces is from another, picture by picture."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..face.align import eye_distance
from ..face.detect import FaceProvider
from ..face.topology import EYE_LEFT_LOWER, EYE_LEFT_UPPER, EYE_RIGHT_LOWER, EYE_RIGHT_UPPER, LIPS_INNER, LIPS_OUTER
from ..types import Face

LIPS = (*LIPS_INNER, *LIPS_OUTER)
EYES = (*EYE_LEFT_UPPER, *EYE_LEFT_LOWER, *EYE_RIGHT_UPPER, *EYE_RIGHT_LOWER)
NEAR = 0.5  # outer eye distances between the middles of what is one face
ASTRAY = 0.15  # mean error in outer eye distances from which the landmarks are of no use


@dataclass(frozen=True)
class Disagreement:
    """One picture. missed, extra: faces that only the reference, or only the other, found. errors: for each face
    that both found the mean distance of all landmarks, of the lips' and of the eyes', in outer eye distances."""

    name: str
    missed: int
    extra: int
    errors: list[tuple[float, float, float]]


def compare_landmarkers(
    pictures: Iterable[tuple[str, Tensor]], own: FaceProvider, reference: FaceProvider
) -> list[Disagreement]:
    """pictures: names and images (3, H, W) in 0..1."""
    rows = []
    for name, image in pictures:
        found, wanted = own(image), reference(image)
        errors = []
        left = list(range(len(found)))
        for face in wanted:
            near = [number for number in left if _same(face, found[number])]
            if near:  # each face is one face's: of two finds of it the other is one too many
                nearest = min(near, key=lambda number: _errors(found[number], face)[0])
                left.remove(nearest)
                errors.append(_errors(found[nearest], face))
        rows.append(Disagreement(name, len(wanted) - len(errors), len(left), errors))
    return rows


def summary(rows: list[Disagreement]) -> str:
    """Medians and the worst, and every picture that went wrong."""
    errors = torch.tensor([error for row in rows for error in row.errors]).reshape(-1, 3)
    lines = [
        f"{len(rows)} pictures, {len(errors)} faces found by both, {sum(row.missed for row in rows)} missed, "
        f"{sum(row.extra for row in rows)} more"
    ]
    for name, column in zip(("all landmarks", "lips", "eyes"), errors.T, strict=True):
        if len(column):
            lines.append(f"{name}: median {column.median():.4f}, 95 % below {column.quantile(0.95):.4f}")
    for row in rows:
        worst = max((error[0] for error in row.errors), default=0.0)
        if row.missed or row.extra or worst > ASTRAY:
            lines.append(f"{row.name}: {row.missed} missed, {row.extra} more, error {worst:.3f}")
    return "\n".join(lines)


def _same(face: Face, other: Face) -> bool:
    apart = (face.landmarks - other.landmarks)[:, :2].mean(0).norm()
    return bool(apart < NEAR * eye_distance(face.landmarks))


def _errors(found: Face, wanted: Face) -> tuple[float, float, float]:
    apart = (found.landmarks - wanted.landmarks)[:, :2].norm(dim=1) / eye_distance(wanted.landmarks)
    return float(apart.mean()), float(apart[list(LIPS)].mean()), float(apart[list(EYES)].mean())
