"""Similarity transforms between sets of face landmarks."""

import torch
from torch import Tensor

# Points that speech and brows do not move: eye corners, bridge and base of the nose, temples and forehead.
STABLE_POINTS = (
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 2, 98, 327, 10, 109, 338, 67, 297, 103, 332, 54, 284,
    21, 251, 162, 389, 127, 356, 234, 454,
)  # fmt: skip


def rigid_fit(points: Tensor, onto: Tensor, chosen: tuple[int, ...] = STABLE_POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """Fit the similarity from ``points`` to ``onto`` by least squares over the chosen points (Umeyama 1991).

    points, onto: (..., 478, 3). Returns rotation (..., 3, 3), scale (...) and offset (..., 3), so that
    ``scale * points @ rotation.mT + offset`` approximates ``onto``.
    """
    a, b = points[..., chosen, :].double(), onto[..., chosen, :].double()
    centre_a, centre_b = a.mean(-2, keepdim=True), b.mean(-2, keepdim=True)
    a, b = a - centre_a, b - centre_b
    u, singular, vt = torch.linalg.svd(b.mT @ a)
    flip = torch.ones_like(singular)
    flip[..., -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = (u * flip[..., None, :]) @ vt
    scale = (singular * flip).sum(-1) / a.square().sum((-1, -2))
    offset = centre_b[..., 0, :] - scale[..., None] * (rotation @ centre_a.mT)[..., 0]
    return rotation.to(points), scale.to(points), offset.to(points)


def apply_rigid(points: Tensor, rotation: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Apply a similarity of ``rigid_fit`` to points (..., P, 3)."""
    return scale[..., None, None] * (points @ rotation.mT) + offset[..., None, :]


def undo_rigid(points: Tensor, rotation: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Apply the inverse of ``apply_rigid``.

    With the fit of the mean face onto landmarks, the result is a frontal face in eye distances.
    """
    return (points - offset[..., None, :]) @ rotation / scale[..., None, None]
