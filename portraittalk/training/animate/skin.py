"""Skin-tone augmentation of video frames: a tone curve that darkens skin but mostly spares teeth and eyes.

The few people in the videos are pale. A curve over whole frames would darken teeth as much as skin and teach the
network that dark faces have dark teeth, so teeth and the whites of eyes keep most of their brightness.
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ...compositing.draw import MAP_CHANNELS, landmark_map
from ..data.clips import uniform

DARKER = (1.4, 2.6)  # range of the tone curve's exponent
SPARED = 0.28  # share of the darkening that teeth and whites of eyes get
HUE = 0.1  # relative standard deviation of the exponents of red, green and blue
UNCOVERED = [MAP_CHANNELS.index(name) for name in ("open mouth", "open eyes")]


def darken_skin(images: Tensor, landmarks: Tensor, generator: Generator, map_size: int = 64) -> Tensor:
    """Darken the skin in all images (F, 3, S, S) in 0..1 by one random curve. landmarks: (F, 478, 3) in pixels."""
    size = images.shape[-1]
    hue_shift = HUE * torch.randn(3, generator=generator)[:, None, None]
    exponent = uniform(*DARKER, generator) * (1 + hue_shift)
    spared = landmark_map(landmarks, size, map_size)[:, UNCOVERED].amax(1, keepdim=True)
    spared = interpolate(avg_pool2d(spared, 3, 1, 1), (size, size), mode="bilinear", align_corners=False)
    return images.clamp(1e-4, 1) ** exponent.lerp(1 + SPARED * (exponent - 1), spared)
