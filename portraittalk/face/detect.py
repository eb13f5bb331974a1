"""The interface of face landmarkers: a provider maps a picture to the faces in it."""

from typing import Protocol

from torch import Tensor

from ..types import Face

MAX_FACES = 16


class FaceProvider(Protocol):
    """A face landmarker: image (3, H, W) in 0..1 -> faces, largest first, or an empty list."""

    def __call__(self, image: Tensor) -> list[Face]: ...
