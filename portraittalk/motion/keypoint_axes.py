"""Which way the depth of LivePortrait's keypoints points, found once a portrait.

The formulas of rotation do not tell whether depth grows away from the camera: that is a habit of the trained networks,
and with the other one, heads would turn to the wrong side. So geometry turns the portrait's head, and the motion
extractor reads the pictures.
"""

import logging

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from .geometry import rotation_matrix
from .track import MotionTrack

TURN = 0.2  # radians
CLEARLY = 0.8  # error with depth towards the camera, relative to the other, below which it counts

logger = logging.getLogger(__name__)


def turned_probes(fps: float = 25.0) -> MotionTrack:
    """Return the poses to render: none, then looking down and up, and turned to both sides."""
    track = MotionTrack.of_expression(torch.zeros(5, len(ARKIT_NAMES)), fps)
    track.rotation[1:3, 0] = torch.tensor([TURN, -TURN])
    track.rotation[3:5, 1] = torch.tensor([TURN, -TURN])
    return track


def depth_sign(rotations: Tensor, turned: Tensor) -> Tensor:
    """Return 1 if depth grows away from the camera, as upstream's formulas suggest, and -1 if towards it: (1,).

    rotations: (R, 3, 3), for rows of points, as read from pictures; the first is the portrait's own. turned: (R, 3),
    the angles by which the heads in them were turned.
    """
    read = rotations[1:] @ rotations[:1].mT
    away = rotation_matrix(turned[1:]).mT
    errors = [float((read - expected).norm()) for expected in (away, flipped(away, away.new_tensor([-1.0])))]
    towards = errors[1] < CLEARLY * errors[0]
    if towards:
        logger.warning("The model's depth points towards the camera: heads are turned the other way than upstream's.")
    return rotations.new_tensor([-1.0 if towards else 1.0])


def flipped(rotations: Tensor, sign: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) with the axis of depth times ``sign`` (1,)."""
    axes = torch.cat((torch.ones_like(sign), torch.ones_like(sign), sign))
    return rotations * axes[:, None] * axes
