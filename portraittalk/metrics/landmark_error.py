"""Comparison of the faces and landmarks of two landmarkers, picture by picture."""

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
NEAR = 0.5  # largest distance of the landmark means of one face, in outer eye distances
ASTRAY = 0.15  # mean error above which landmarks are unusable, in outer eye distances


@dataclass(frozen=True)
class Disagreement:
    """The comparison for one picture.

    missed: faces found by the reference only. extra: faces found by the tested landmarker only. errors: for each face
    found by both, the mean distance of all landmarks, of those of the lips and of the eyes, in outer eye distances.
    """

    name: str
    missed: int
    extra: int
    errors: list[tuple[float, float, float]]


def compare_landmarkers(
    pictures: Iterable[tuple[str, Tensor]], own: FaceProvider, reference: FaceProvider
) -> list[Disagreement]:
    """Compare two landmarkers on pictures given as names and images (3, H, W) in 0..1."""
    rows = []
    for name, image in pictures:
        found, expected = own(image), reference(image)
        errors = []
        unmatched = list(range(len(found)))
        for face in expected:
            near = [number for number in unmatched if _same(face, found[number])]
            if near:  # matching is one to one: a second detection of the same face counts as extra
                nearest = min(near, key=lambda number: _errors(found[number], face)[0])
                unmatched.remove(nearest)
                errors.append(_errors(found[nearest], face))
        rows.append(Disagreement(name, len(expected) - len(errors), len(unmatched), errors))
    return rows


def summary(rows: list[Disagreement]) -> str:
    """Return counts, medians and 95th percentiles, and a line for each picture with missed, extra or bad faces."""
    errors = torch.tensor([error for row in rows for error in row.errors]).reshape(-1, 3)
    lines = [
        f"{len(rows)} pictures, {len(errors)} faces found by both, {sum(row.missed for row in rows)} missed, "
        f"{sum(row.extra for row in rows)} extra"
    ]
    for name, column in zip(("all landmarks", "lips", "eyes"), errors.T, strict=True):
        if len(column):
            lines.append(f"{name}: median {column.median():.4f}, 95 % below {column.quantile(0.95):.4f}")
    for row in rows:
        worst = max((error[0] for error in row.errors), default=0.0)
        if row.missed or row.extra or worst > ASTRAY:
            lines.append(f"{row.name}: {row.missed} missed, {row.extra} extra, error {worst:.3f}")
    return "\n".join(lines)


def _same(face: Face, other: Face) -> bool:
    distance = (face.landmarks - other.landmarks)[:, :2].mean(0).norm()
    return bool(distance < NEAR * eye_distance(face.landmarks))


def _errors(found: Face, expected: Face) -> tuple[float, float, float]:
    distances = (found.landmarks - expected.landmarks)[:, :2].norm(dim=1) / eye_distance(expected.landmarks)
    return float(distances.mean()), float(distances[list(LIPS)].mean()), float(distances[list(EYES)].mean())
