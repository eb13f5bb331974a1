"""The one soft step that fades, windows and movements are made of."""

from torch import Tensor


def smoothstep(position: Tensor) -> Tensor:
    """0 at 0 and before, 1 at 1 and after, smooth between: ``3 x^2 - 2 x^3``."""
    position = position.clamp(0, 1)
    return position * position * (3 - 2 * position)
