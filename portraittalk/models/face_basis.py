"""The linear expression basis: the displacement of each landmark, and the lip aperture, per ARKit coefficient."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..arkit import ARKIT_NAMES
from ..types import LANDMARK_COUNT

SHIPPED = Path(__file__).parents[1] / "assets" / "face" / "basis.safetensors"


class FaceBasis(nn.Module):
    """Linear basis of facial expression. Its tensors are buffers, fitted once by ``portraittalk.training.face.basis``.

    expression: (52, 478, 3) displacements in eye distances for a coefficient of 1, in the axes of a frontal face:
    right, down, away from the camera. mean: (478, 3) the average frontal face, with the origin between the eyes.
    aperture: (52,) gap between the inner lips in eye distances for a coefficient of 1. rest: () the gap that the
    coefficients of closed lips add up to, which ``asked_aperture`` subtracts.
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
        """Return displacements (F, 478, 3) in eye distances, in the frontal axes, for coefficients (F, 52)."""
        return torch.einsum("fc,cpd->fpd", coefficients, self.expression)

    def asked_aperture(self, coefficients: Tensor) -> Tensor:
        """Return the gap (F,) between the inner lips in eye distances, 0 for closed lips, for coefficients (F, 52)."""
        return (coefficients @ self.aperture - self.rest).clamp_min(0)


def load_basis(path: Path = SHIPPED) -> FaceBasis:
    """Load a basis fitted by ``portraittalk.training.face.basis``, by default the shipped one."""
    basis = FaceBasis()
    basis.load_state_dict(load_file(path))
    return basis
