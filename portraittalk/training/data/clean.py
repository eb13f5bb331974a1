"""Selection of usable clips from a video, with a reason for every rejected stretch.

A frame is usable if exactly one face is in it, large, uncropped and not turned away. A clip ends at a cut or before an
unusable frame; clips that are too long are split evenly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ...arkit import ARKIT_INDEX
from ...face.align import eye_distance
from ...face.rigid import rigid_fit
from ...face.search import area
from ...motion.geometry import rotation_angles
from ...types import Face

SHOWS = 0.35  # mean coefficient above which the caption names the expression
NAMED = {
    "smiling": ("mouthSmileLeft", "mouthSmileRight"),
    "frowning": ("mouthFrownLeft", "mouthFrownRight"),
    "with lowered brows": ("browDownLeft", "browDownRight"),
    "with raised brows": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "squinting": ("eyeSquintLeft", "eyeSquintRight"),
    "looking down": ("eyeLookDownLeft", "eyeLookDownRight"),
    "looking up": ("eyeLookUpLeft", "eyeLookUpRight"),
}


@dataclass(frozen=True)
class CleanRules:
    """seconds: shortest and longest clip. eyes: minimum eye distance in pixels. turn: maximum yaw or pitch in radians.
    jump: maximum movement of a face between frames, in eye distances; more is a cut. neighbour: area of a second face,
    as a fraction of the largest, above which it is unclear who speaks. outside: maximum fraction of landmarks outside
    the picture."""

    seconds: tuple[float, float] = (1.0, 10.0)
    eyes: float = 48.0
    turn: float = 0.8
    jump: float = 0.35
    neighbour: float = 0.3
    outside: float = 0.02


@dataclass(frozen=True)
class Dropped:
    """A rejected stretch of a video: its start and length in seconds, and the reason."""

    start: float
    seconds: float
    reason: str


def fault(faces: Sequence[Face], image_size: tuple[int, int], mean: Tensor, rules: CleanRules) -> str | None:
    """Return why a frame is unusable, or None if it is usable.

    faces: largest first. image_size: (height, width). mean: (478, 3), the average frontal face.
    """
    if not faces:
        return "no face"
    face = faces[0]
    if len(faces) > 1 and area(faces[1]) > rules.neighbour * area(face):
        return "several faces"
    if eye_distance(face.landmarks) < rules.eyes:
        return "face too small"
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    outside = (x < 0) | (y < 0) | (x >= image_size[1]) | (y >= image_size[0])
    if outside.float().mean() > rules.outside:
        return "face cut off"
    turn = rotation_angles(rigid_fit(mean, face.landmarks)[0][None])[0]
    if turn[:2].abs().max() > rules.turn:
        return "head turned away"
    return None


def is_cut(before: Tensor, after: Tensor, rules: CleanRules) -> bool:
    """Whether landmarks (478, 3) moved further between successive frames than a head can."""
    moved = (after - before)[:, :2].norm(dim=-1).median()
    return bool(moved > rules.jump * eye_distance(before))


def stretches(
    faults: Sequence[str | None], cuts: Sequence[bool], fps: float, rules: CleanRules
) -> tuple[list[slice], list[Dropped]]:
    """Split a video into clips; return the frames of each clip and the rejected stretches.

    faults: result of ``fault`` per frame. cuts: per frame, whether there is a cut before it.
    """
    clips, dropped = [], []
    start = 0
    for end in range(1, len(faults) + 1):
        if end < len(faults) and faults[end] == faults[start] and not (cuts[end] and faults[end] is None):
            continue
        reason = faults[start]
        if reason is None and (end - start) / fps < rules.seconds[0] - 1e-6:
            reason = "too short"
        if reason is None:
            parts = math.ceil((end - start) / (rules.seconds[1] * fps) - 1e-6)
            edges = [start + round((end - start) * k / parts) for k in range(parts + 1)]
            clips += [slice(a, b) for a, b in pairwise(edges)]
        else:
            dropped.append(Dropped(start / fps, (end - start) / fps, reason))
        start = end
    return clips, dropped


def describe(blendshapes: Tensor) -> str:
    """Return a plain caption for a clip with ARKit coefficients (F, 52)."""
    mean = blendshapes.mean(0)
    names = [name for name, keys in NAMED.items() if mean[[ARKIT_INDEX[key] for key in keys]].mean() > SHOWS]
    speaks = float(torch.quantile(blendshapes[:, ARKIT_INDEX["jawOpen"]], 0.9)) > 0.08
    return ", ".join(["a person speaking" if speaks else "a person", *names])
