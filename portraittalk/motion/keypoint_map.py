"""The map from ARKit's coefficients to LivePortrait's expression offsets, found once a portrait.

No such map is published. So the portrait is rendered with each coefficient, the motion extractor reads the pictures,
and ridge regression gives the offsets of each coefficient. What the pictures do not tell is taken from directions that
LivePortrait's authors made by hand (their ``gradio_pipeline.py``, MIT), which are the whole map where the fitted one
predicts mixed expressions hardly better.
"""

import logging

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from .track import MotionTrack

KEYPOINTS = 21
RIDGE = 0.05  # penalty on differences to the prior, in squared coefficients
STRENGTH, LOOK, MIXTURES, MIXED, MOST = 0.8, 0.35, 8, 6, 0.5  # coefficient, radians of gaze, mixed frames, coefficients
BETTER = 0.8  # error on mixtures, relative to the prior's, below which a fitted map is taken
GAZE = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
# These act through retargeting networks, which were trained for eyes and lips.
RETARGETED = tuple(ARKIT_INDEX[name] for name in ("jawOpen", "mouthClose", "eyeBlinkLeft", "eyeBlinkRight"))

Direction = dict[tuple[int, int], float]  # (keypoint, axis) -> offset

SMILE: Direction = {
    (20, 1): -0.01, (14, 1): -0.02, (17, 1): 0.0065, (17, 2): 0.003, (13, 1): -0.00275, (16, 1): -0.00275,
    (3, 1): -0.0035, (7, 1): -0.0035,
}  # fmt: skip
LIPS_APART: Direction = {(19, 1): 0.001, (19, 2): 0.0001, (17, 1): -0.0001}
GRIN: Direction = {(20, 2): -0.001, (20, 1): -0.001, (14, 1): -0.001}
PURSE: Direction = {(14, 1): 0.001, (3, 1): -0.0005, (7, 1): -0.0005, (17, 2): -0.0005}
BROWS_UP: Direction = {(1, 1): 0.001, (2, 1): -0.001}
BROWS_TOGETHER: Direction = {(1, 0): 0.001, (2, 0): -0.001, (1, 1): -0.0003, (2, 1): 0.0003}
EYES_WIDE: Direction = {(11, 1): -0.001, (15, 1): -0.001, (13, 1): 0.0003, (16, 1): 0.0003}
LOOK_RIGHT: Direction = {(11, 0): 0.0007, (15, 0): 0.001}
LOOK_LEFT: Direction = {(11, 0): -0.001, (15, 0): -0.0007}
LOOK_UP: Direction = {(11, 1): -0.0005, (15, 1): -0.0005, (13, 1): -0.00015, (16, 1): -0.00015}

# Coefficients, each with how many units of a direction a coefficient of 1 is: about the ends of upstream's sliders,
# shared between left and right.
PRIOR: tuple[tuple[tuple[str, ...], float, Direction], ...] = (
    (("mouthSmileLeft", "mouthSmileRight"), 0.5, SMILE),
    (("mouthLowerDownLeft", "mouthLowerDownRight"), 20.0, LIPS_APART),
    (("mouthStretchLeft", "mouthStretchRight"), 7.5, GRIN),
    (("mouthPucker",), 15.0, PURSE),
    (("browInnerUp",), 15.0, BROWS_UP),
    (("browOuterUpLeft", "browOuterUpRight"), 7.5, BROWS_UP),
    (("browDownLeft", "browDownRight"), 15.0, BROWS_TOGETHER),
    (("eyeWideLeft", "eyeWideRight"), 2.5, EYES_WIDE),
    (("eyeSquintLeft", "eyeSquintRight"), -5.0, EYES_WIDE),
    (("eyeLookOutLeft", "eyeLookInRight"), 15.0, LOOK_RIGHT),
    (("eyeLookInLeft", "eyeLookOutRight"), 15.0, LOOK_LEFT),
    (("eyeLookUpLeft", "eyeLookUpRight"), 15.0, LOOK_UP),
    (("eyeLookDownLeft", "eyeLookDownRight"), -15.0, LOOK_UP),
)

logger = logging.getLogger(__name__)


def hand_made_map() -> Tensor:
    """Return the offsets (52, 21, 3) of each coefficient by the hand-made directions; 0 where there are none."""
    offsets = torch.zeros(len(ARKIT_NAMES), KEYPOINTS, 3)
    for names, units, direction in PRIOR:
        for name in names:
            for (point, axis), offset in direction.items():
                offsets[ARKIT_INDEX[name], point, axis] = units * offset
    return offsets


def probes(fps: float = 25.0) -> MotionTrack:
    """Return the expressions to render: none, each coefficient alone, gaze in four directions, and mixtures.

    Coefficients that are retargeted stay 0. The last ``MIXTURES`` frames are mixtures.
    """
    names = [name for name in ARKIT_NAMES if name not in GAZE and ARKIT_INDEX[name] not in RETARGETED]
    indices = torch.tensor([ARKIT_INDEX[name] for name in names])
    looks = torch.tensor([(LOOK, 0.0), (-LOOK, 0.0), (0.0, LOOK), (0.0, -LOOK)])
    singles, first_look = 1 + len(names), 1 + len(names)
    expression = torch.zeros(singles + len(looks) + MIXTURES, len(ARKIT_NAMES))
    expression[torch.arange(1, singles), indices] = STRENGTH
    generator = torch.Generator().manual_seed(0)
    for row in expression[-MIXTURES:]:
        some = indices[torch.randperm(len(indices), generator=generator)[:MIXED]]
        row[some] = MOST * torch.rand(MIXED, generator=generator)
    track = MotionTrack.of_expression(expression, fps)
    track.gaze[first_look : first_look + len(looks)] = looks
    return track


def fitted_map(changes: Tensor, offsets: Tensor, prior: Tensor) -> Tensor:
    """Return offsets (52, K, 3) of each coefficient by ridge regression around ``prior``, which is of the same shape.

    changes: (R, 52), coefficients relative to the portrait's. offsets: (R, K, 3), what was read from its pictures.
    """
    rest = offsets.flatten(1) - changes @ prior.flatten(1)
    gram = changes.T @ changes + RIDGE * torch.eye(changes.shape[1]).to(changes)
    return prior + torch.linalg.solve(gram, changes.T @ rest).view_as(prior)


def best_map(changes: Tensor, offsets: Tensor) -> Tensor:
    """Return the fitted map of ``probes``, or the hand-made one where that predicts the mixtures about as well.

    changes: (R, 52), coefficients without those that are retargeted. offsets: (R, K, 3), expressions read from the
    pictures. Only differences to the first row count.
    """
    changes, offsets = changes - changes[0], offsets - offsets[0]
    prior = hand_made_map().to(offsets)
    fitted = fitted_map(changes[:-MIXTURES], offsets[:-MIXTURES], prior)
    mixed, wanted = changes[-MIXTURES:], offsets[-MIXTURES:]
    errors = [map_error(one, mixed, wanted) for one in (fitted, prior)]
    logger.info("Expression of the portrait: error %.2f of the fitted map, %.2f of the hand-made one.", *errors)
    return fitted if errors[0] < BETTER * errors[1] else prior


def map_error(offsets: Tensor, changes: Tensor, wanted: Tensor) -> float:
    """Return how far a map is from offsets (R, K, 3), relative to their size: 0 is exact, 1 as bad as no motion."""
    found = changes @ offsets.flatten(1)
    return float((found - wanted.flatten(1)).norm() / wanted.norm().clamp_min(1e-12))
