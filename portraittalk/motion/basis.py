"""The linear expression basis: how far each ARKit coefficient moves each landmark, and how far it opens the lips."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..types import LANDMARK_COUNT
from .arkit import ARKIT_NAMES

SHIPPED = Path(__file__).parents[1] / "assets" / "face" / "basis.safetensors"

# Points that neither speech nor the brows move: eye corners, the bridge and base of the nose, temples and forehead.
STABLE_POINTS = (
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 2, 98, 327, 10, 109, 338, 67, 297, 103, 332, 54, 284,
    21, 251, 162, 389, 127, 356, 234, 454,
)  # fmt: skip


class FaceBasis(nn.Module):
    """expression: (52, 478, 3) displacements in eye distances for a coefficient of 1, in the axes of a frontal face:
    right, down, away from the camera. mean: (478, 3), the average frontal face itself, its origin between the eyes.
    aperture: (52,) gap between the inner lips in eye distances for a coefficient of 1; rest: () the gap that
    coefficients of closed lips still add up to, so that ``asked_aperture`` can take it off.

    Buffers, not parameters: they are fitted once by ``portraittalk.training.basis``.
    """

    expression: Tensor
    mean: Tensor
    aperture: Tensor
    rest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("expression", torch.zeros(len(ARKIT_NAMES), LANDMARK_COUNT, 3))
        self.register_buffer("mean", torch.zeros(LANDMARK_COUNT, 3))
        self.register_buffer("aperture", torch.zeros(len(ARKIT_NAMES)))
        self.register_buffer("rest", torch.zeros(()))

    def displacement(self, coefficients: Tensor) -> Tensor:
        """coefficients: (F, 52) -> (F, 478, 3) in eye distances, in the frontal axes."""
        return torch.einsum("fc,cpd->fpd", coefficients, self.expression)

    def asked_aperture(self, coefficients: Tensor) -> Tensor:
        """coefficients: (F, 52) -> (F,) gap between the inner lips in eye distances, 0 for closed lips."""
        return (coefficients @ self.aperture - self.rest).clamp_min(0)


def load_basis(path: Path = SHIPPED) -> FaceBasis:
    """The basis that ``portraittalk.training.basis`` fitted: the one that ships, unless another file is given."""
    basis = FaceBasis()
    basis.load_state_dict(load_file(path))
    return basis


def rigid_fit(points: Tensor, onto: Tensor, chosen: tuple[int, ...] = STABLE_POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """The similarity that takes ``points`` onto ``onto``, by least squares over the chosen points (Umeyama 1991).

    points, onto: (..., 478, 3) -> rotation (..., 3, 3), scale (...), offset (..., 3), so that
    ``scale * points @ rotation.mT + offset`` is near ``onto``.
    """
    a, b = points[..., chosen, :].double(), onto[..., chosen, :].double()
    centre_a, centre_b = a.mean(-2, keepdim=True), b.mean(-2, keepdim=True)
    a, b = a - centre_a, b - centre_b
    u, strength, vt = torch.linalg.svd(b.mT @ a)
    flip = torch.ones_like(strength)
    flip[..., -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = (u * flip[..., None, :]) @ vt
    scale = (strength * flip).sum(-1) / a.square().sum((-1, -2))
    offset = centre_b[..., 0, :] - scale[..., None] * (rotation @ centre_a.mT)[..., 0]
    return rotation.to(points), scale.to(points), offset.to(points)


def apply_rigid(points: Tensor, rotation: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """(..., P, 3) under a similarity of ``rigid_fit``."""
    return scale[..., None, None] * (points @ rotation.mT) + offset[..., None, :]


def undo_rigid(points: Tensor, rotation: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """The inverse of ``apply_rigid``. By the fit of the average face onto landmarks, it makes them a frontal face in
    eye distances."""
    return (points - offset[..., None, :]) @ rotation / scale[..., None, None]
