"""A portrait changed by a prompt: its latents, noised part of the way and denoised under the prompt and the person."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..compositing.compose import CropData
from ..face.align import extract_crop
from ..models.animate_net import AnimateNet, Conditions
from ..types import SamplingSettings
from .guided import sample_guided
from .render_clip import pasted
from .windows import frame_noise

CELL = 64  # pixels: the sides of a picture that Stable Diffusion's UNet takes as it is are multiples of it
LONGEST = 1.5  # the longer side of a whole picture that is edited, in crops


class Coder(Protocol):
    """Pictures (N, 3, S, S) in 0..1 <-> latents as the denoiser has them, both in single precision."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@torch.no_grad()
def edit_picture(
    net: AnimateNet,
    coder: Coder,
    data: CropData,
    told: Conditions,
    without: Conditions,
    settings: SamplingSettings,
    whole: bool,
    on_step: Callable[[Tensor], None] = lambda clean: None,
) -> Tensor:
    """The portrait (3, H, W) in 0..1 on the CPU, changed within the crop, or with ``whole`` everywhere.

    net: without motion modules. told, without: what it is told, and what it is guided away from. A strength of 0 leaves
    the portrait as it is.
    """
    if not settings.strength:
        return data.portrait.cpu()
    picture = fitted(data.portrait, data.crop.size) if whole else extract_crop(data.portrait, data.crop)[None]
    start = coder.encode(picture)[:, :, None]  # (1, C, 1, h, w)
    shape = (start.shape[1], *start.shape[3:])

    def noise(draw: int) -> Tensor:
        return frame_noise(settings.seed, 0, 1, shape, draw).transpose(0, 1)[None].to(start)

    clean = sample_guided(net, start, told, without, settings, noise, None, on_step)
    edited = coder.decode(clean[:, :, 0]).clamp(0, 1)
    if not whole:
        return pasted(edited, data)[0].cpu()
    return interpolate(edited, data.portrait.shape[-2:], mode="bicubic", antialias=True).clamp(0, 1)[0].cpu()


def fitted(portrait: Tensor, crop_size: int) -> Tensor:
    """The whole portrait (1, 3, h, w), no longer than ``LONGEST`` crops, its sides multiples of ``CELL``."""
    height, width = portrait.shape[-2:]
    scale = min(LONGEST * crop_size / max(height, width), 1.0)
    size = [max(round(side * scale / CELL), 1) * CELL for side in (height, width)]
    return interpolate(portrait[None], size, mode="bicubic", antialias=True).clamp(0, 1)
