"""A picture of which a disc in the middle is hidden, as a person hides the background."""

import torch
from torch import Tensor

EYE = 30.0  # pixels
FARTHEST = 0.6  # eye distances
SIZE = 96


def places(size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Return the rows and columns (S, S) of a picture."""
    y, x = torch.meshgrid(*(torch.arange(size).float(),) * 2, indexing="ij")
    return y, x


def hidden_disc(radius: float = 26) -> Tensor:
    """Return a mask (1, S, S), 0 in a disc in the middle."""
    y, x = places()
    return ((y - 48).square() + (x - 48).square() > radius**2).float()[None]
