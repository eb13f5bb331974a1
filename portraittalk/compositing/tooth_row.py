"""The row of teeth: a curved surface behind the lips, on which points of a picture are found.

Its coordinates are eye distances right of and below the line at which the portrait's lips meet. Whatever the pose of a
head, a tooth of the upper jaw stays at its place, and one of the lower jaw moves up and down with the chin.
"""

import torch
from torch import Tensor

from ..face.rigid import rigid_fit, undo_rigid
from ..motion.geometry import CENTRAL_LIPS, lip_aperture

CHIN = (152, 148, 377, 176, 400)  # landmarks that the lower teeth move with
CLOSED = 0.01  # tracked gap between closed lips in eye distances
BEHIND_LIPS = 0.03  # eye distances from the lips' landmarks back to the front teeth
BEND = 3.0  # curvature of the row of teeth: its depth over the square of the distance from the middle, in eye distances
SOFT_STOP = 0.005  # softness in eye distances of the clamp that stops the jaw from rising above its rest
TEETH_BY_CHIN = 0.9  # how far the lower teeth go down, relative to the landmarks of the chin


def row_of_teeth(basis_mean: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a portrait's frontal face (478, 3), the middle of its row of teeth (3,), its scale () and opening ().

    All are in eye distances, the scale in pixels per eye distance. rest: (478, 3) landmarks of the portrait, in pixels.
    basis_mean: (478, 3) the average frontal face.
    """
    facing, unit, offset = rigid_fit(basis_mean, rest)
    face = undo_rigid(rest, facing, unit, offset)
    opened = (lip_aperture(rest) - CLOSED).clamp_min(0)
    lips = face[[point for pair in CENTRAL_LIPS for point in pair]].mean(0) + face.new_tensor((0, 0, BEHIND_LIPS))
    lips[1] -= opened / 2  # the line at which they would meet
    return face, lips, unit, opened


def lowered_jaw(chin: Tensor) -> Tensor:
    """Return how far the lower teeth go down where the chin does so by ``chin`` eye distances; they do not go up."""
    return TEETH_BY_CHIN * (chin + (chin.square() + SOFT_STOP**2).sqrt() - SOFT_STOP) / 2


def row_depth(x: Tensor) -> Tensor:
    """Return how far back the row lies at x, both in eye distances from its middle."""
    return BEND * x.clamp(-0.2, 0.2).square()


def on_row(
    rows: Tensor, columns: Tensor, facing: Tensor, pixels: Tensor, offset: Tensor, lips: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the position (x, y) on the row of teeth at each pixel, each (F, rows, columns).

    facing, pixels, offset: the pose of F faces, see ``rigid_fit``. lips: (3,), see ``row_of_teeth``. The row curves
    backwards at its sides, so that it rotates with the head.
    """
    linear = pixels[:, None, None] * facing[:, :2]  # (F, 2, 3)
    start = offset[:, :2] + (linear @ lips)
    inverse = torch.linalg.inv(linear[..., :2])
    towards = (inverse @ linear[..., 2:])[..., 0, None, None]  # (F, 2, 1, 1)
    right, down = (columns - start[:, :1])[:, None], (rows - start[:, 1:])[..., None]
    flat = [inverse[:, k, 0, None, None] * right + inverse[:, k, 1, None, None] * down for k in (0, 1)]
    depth = _depth_behind(flat[0], towards[:, 0])
    return flat[0] - towards[:, 0] * depth, flat[1] - towards[:, 1] * depth


def points_on_row(points: Tensor, facing: Tensor, pixels: Tensor, offset: Tensor, lips: Tensor) -> Tensor:
    """Return where points (F, K, 2) in pixels lie on the row of teeth, (F, K, 2). Arguments as of ``on_row``."""
    linear = pixels[:, None, None] * facing[:, :2]
    inverse = torch.linalg.inv(linear[..., :2])
    towards = (inverse @ linear[..., 2:])[..., 0]  # (F, 2)
    flat = (points - (offset[:, :2] + linear @ lips)[:, None]) @ inverse.mT
    depth = _depth_behind(flat[..., 0], towards[:, :1])
    return flat - towards[:, None] * depth[..., None]


def _depth_behind(x: Tensor, towards: Tensor) -> Tensor:
    """Return the row's depth at points that a view shows at x, by iteration. towards: x per depth in that view."""
    depth = torch.zeros_like(x)
    for _ in range(3):
        depth = row_depth(x - towards * depth)
    return depth
