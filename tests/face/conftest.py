"""Pictures made from the demo portrait: turned, in landscape, with several faces."""

from __future__ import annotations

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
