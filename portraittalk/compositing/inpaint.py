"""Filling in what a person hides of the background.

Lines and edges are continued straight (``coherence``), and even walls smoothly. Texture, such as leaves, has no lines,
and is continued by patches of what is seen beside it (``patches``).
"""

from collections.abc import Callable

from torch import Tensor

from .coherence import straightened, structure
from .patches import patched

LITTLE, FAINT = 0.1, 0.02  # shares of texture and of lines that can be left out


def continued(
    picture: Tensor,
    known: Tensor,
    wanted: Tensor,
    eye: float,
    farthest: float,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return a picture (3, H, W) with its known part continued into the rest.

    picture: filled in smoothly where it is not known. known: (1, H, W), 0 or 1. wanted: (1, H, W), above 0 where it is
    to be continued; elsewhere it stays smooth. eye: the distance of the eyes in pixels. farthest: eye distances from
    the known part over which texture is continued. on_step: called between the parts of the work; it may raise.
    """
    if not known.any():
        return picture
    even, texture = structure(picture, known, eye)
    hidden = wanted * (known == 0)
    lines, textured = hidden * ((1 - even) * (1 - texture) > FAINT), hidden * (texture > LITTLE)
    calm = picture
    if lines.any():
        calm = straightened(picture, known, lines, eye).lerp(picture, even)
    on_step()
    if not textured.any():
        return calm
    return calm.lerp(patched(calm, known, textured, eye, farthest, on_step), texture)
