"""Darker skins for filmed people: a tone curve that spares what skin does not cover.

The few people who were filmed are pale. A curve over whole frames would darken their teeth as much as their skin, and
teach that a dark face has dark teeth; teeth and the whites of eyes keep most of their light.
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ...compositing.draw import MAP_CHANNELS, landmark_map
from ...compositing.teeth import TEETH_LIGHT
from ..data.clips import uniform

DARKER = (1.4, 2.6)  # exponents of the light
HUE = 0.1  # how far the exponents of red, green and blue stray from that
UNCOVERED = [MAP_CHANNELS.index(name) for name in ("open mouth", "open eyes")]


def darken_skin(images: Tensor, landmarks: Tensor, generator: Generator, map_size: int = 64) -> Tensor:
    """images: (F, 3, S, S) in 0..1, landmarks: (F, 478, 3) in their pixels -> as dark as one random skin."""
    size = images.shape[-1]
    stray = HUE * torch.randn(3, generator=generator)[:, None, None]
    exponent = uniform(*DARKER, generator) * (1 + stray)
    bare = landmark_map(landmarks, size, map_size)[:, UNCOVERED].amax(1, keepdim=True)
    bare = interpolate(avg_pool2d(bare, 3, 1, 1), (size, size), mode="bilinear", align_corners=False)
    return images.clamp(1e-4, 1) ** exponent.lerp(1 + TEETH_LIGHT * (exponent - 1), bare)
