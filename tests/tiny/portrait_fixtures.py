"""Fixtures around the demo portrait: pictures made from it, its identity, the expression basis that ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from portraittalk.face.detect import FaceProvider
    from portraittalk.models.face_basis import FaceBasis
    from portraittalk.types import Face, Identity


@pytest.fixture(scope="session")
def basis() -> FaceBasis:
    from portraittalk.models.face_basis import load_basis

    return load_basis()


@pytest.fixture(scope="session")
def half_portrait(repository: Path) -> Tensor:
    """The demo portrait (3, 384, 384): a quarter of the pixels, for what does not depend on its size."""
    from portraittalk.media.image import read_image

    return read_image(repository / "portraittalk/assets/demo/portrait.jpg", max_side=384).pixels


@pytest.fixture(scope="session")
def half_face(half_portrait: Tensor) -> Face:
    """The face in ``half_portrait``, as our own landmarker sees it."""
    from portraittalk.face.mesh import MeshProvider

    return MeshProvider()(half_portrait)[0]


@pytest.fixture(scope="session")
def small_portrait(repository: Path) -> Tensor:
    """The demo portrait (3, 192, 192), for tiny networks that need a face, but no detail."""
    from portraittalk.media.image import read_image

    return read_image(repository / "portraittalk/assets/demo/portrait.jpg", max_side=192).pixels


@pytest.fixture(scope="session")
def small_face(small_portrait: Tensor) -> Face:
    from portraittalk.face.mesh import MeshProvider

    return MeshProvider()(small_portrait)[0]


@pytest.fixture(scope="session")
def identity(portrait: Tensor, portrait_face: Face) -> Identity:
    """Without tokens, which motion does not need."""
    from portraittalk.face.align import aligned_crop, extract_crop, to_crop
    from portraittalk.types import Identity

    crop = aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), 256)
    landmarks = to_crop(portrait_face.landmarks, crop)
    reference = extract_crop(portrait[None], crop)
    return Identity(portrait, crop, landmarks, portrait_face.blendshapes, reference, torch.zeros(1, 0))


@pytest.fixture(scope="session", params=["own", "mediapipe"])
def provider(request: pytest.FixtureRequest) -> FaceProvider:
    """Every way to find faces in pictures does what the tests ask of it."""
    from portraittalk.face.providers import provider_named

    return provider_named(request.param)


@pytest.fixture(scope="session")
def turned_portrait(portrait: Tensor) -> Tensor:
    """The demo portrait turned by 30 degrees anticlockwise, in a larger picture."""
    image = Image.fromarray((portrait * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
    turned = image.rotate(30, expand=True, resample=Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(turned)).permute(2, 0, 1) / 255


@pytest.fixture(scope="session")
def landscape(portrait: Tensor) -> Tensor:
    """(3, 500, 1100): the portrait at the right of a wide picture, cut at the top and the bottom."""
    picture = torch.full((3, 500, 1100), 0.45)
    picture[:, :, 332:] = portrait[:, 30:530]
    return picture


@pytest.fixture(scope="session")
def shrink() -> Callable[[Tensor, int], Tensor]:
    """(image (3, S, S), side) -> (3, side, side)."""
    return shrunk


@pytest.fixture(scope="session")
def crowd(portrait: Tensor) -> Tensor:
    """(3, 700, 1400): three times the same person; the largest in the left, then right, then middle."""
    picture = torch.full((3, 700, 1400), 0.45)
    for x, side in ((20, 500), (540, 300), (860, 400)):
        top = (700 - side) // 2
        picture[:, top : top + side, x : x + side] = shrunk(portrait, side)
    return picture


def shrunk(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]
