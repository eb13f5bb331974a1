"""The denoising loop for one window of frames: a plain function with a callback."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions
from ..types import SamplingSettings
from .schedule import denoising_steps
from .windows import fade


def sample_window(
    net: AnimateNet,
    conditions: Conditions,
    noise: Tensor,
    settings: SamplingSettings,
    negative_text: Tensor | None = None,
    anchor: Tensor | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Noise (1, C, F, h, w) -> clean latents of the same shape.

    anchor: (1, C, n, h, w), the finished latents of the first n frames, shared with the window before. They are faded
    out over those frames after every step, at that step's noise level, so that the network sees where it comes from
    and the last step leaves a plain cross-fade. negative_text: (1, L, D), what the text is guided away from.
    """
    guided = conditions.text is not None and settings.guidance_scale != 1
    seen = net.prepare(conditions, settings.scales)
    without = net.prepare(replace(conditions, text=negative_text), settings.scales) if guided else seen
    sample = noise
    for step in denoising_steps(settings.steps):
        timestep = torch.tensor(step.timestep, device=noise.device)
        velocity = net(sample, timestep, seen)
        if guided:
            base = net(sample, timestep, without)
            velocity = base + settings.guidance_scale * (velocity - base)
        sample = step.advance(sample, velocity)
        if anchor is not None:
            sample = fade(step.noised(anchor, noise[:, :, : anchor.shape[2]]), sample)
        on_step()
    return sample
