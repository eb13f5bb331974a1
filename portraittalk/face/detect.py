"""Faces and their landmarks, behind one small interface: a provider maps a picture to the faces in it."""

from typing import Protocol

from torch import Tensor

from ..types import Face

MAX_FACES = 16


class FaceProvider(Protocol):
    """Finds faces. image: (3, H, W) in 0..1 -> faces, largest first; an empty list where there are none."""

    def __call__(self, image: Tensor) -> list[Face]: ...
