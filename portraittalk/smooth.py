"""The smoothstep function used for fades, masks and eased motion."""

from torch import Tensor


def smoothstep(position: Tensor) -> Tensor:
    """Return 0 below 0, 1 above 1, and ``3 x^2 - 2 x^3`` in between."""
    position = position.clamp(0, 1)
    return position * position * (3 - 2 * position)
