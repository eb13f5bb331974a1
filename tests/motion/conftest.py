"""The demo portrait as an identity, and the basis that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from portraittalk.motion.basis import FaceBasis
    from portraittalk.types import Face, Identity


@pytest.fixture(scope="session")
def basis() -> FaceBasis:
    from portraittalk.motion.basis import load_basis

    return load_basis()


@pytest.fixture(scope="session")
def identity(portrait: Tensor, portrait_face: Face) -> Identity:
    """Without latents and tokens, which motion does not need."""
    from portraittalk.face.align import aligned_crop, extract_crop, to_crop
    from portraittalk.types import Identity

    crop = aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), 256)
    none = torch.zeros(1, 0)
    landmarks = to_crop(portrait_face.landmarks, crop)
    reference = extract_crop(portrait[None], crop)
    return Identity(portrait, crop, landmarks, portrait_face.blendshapes, reference, none, none)
