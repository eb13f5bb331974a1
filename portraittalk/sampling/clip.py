"""The denoising loop of public weights: the whole clip at once, in windows that move on from step to step.

EchoMimic samples in this way, plain (30 steps, guidance 2.5) and accelerated (6 steps without guidance). The code of
the accelerated one also turns each velocity into clean latents and back: that changes nothing but rounding.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions
from ..models.reference_net import ReferenceNet
from ..types import SamplingSettings
from .schedule import counted_steps
from .windows import frame_noise, ring_windows

SHIFT = 2  # frames by which windows move on at each step
LOUDEST = 1.5  # what the starting noise is clamped to


def clip_noise(seed: int, frames: int, shape: tuple[int, ...]) -> Tensor:
    """Starting noise (1, C, F, h, w) for latents of ``shape`` (C, h, w)."""
    return frame_noise(seed, 0, frames, shape).clamp(-LOUDEST, LOUDEST).transpose(0, 1)[None]


@torch.no_grad()
def reference_features(net: ReferenceNet, latents: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
    """What ``Conditions.reference`` takes, of reference latents (N, C, h, w), rounded to half precision.

    EchoMimic's code hands them on in half precision, whatever else is computed in; it shows in the fourth digit.
    """
    return {name: features.half().to(features.dtype) for name, features in net(latents, tokens).items()}


@torch.no_grad()
def sample_clip(
    net: AnimateNet,
    conditions: Conditions,
    noise: Tensor,
    settings: SamplingSettings,
    betas: tuple[float, float],
    on_window: Callable[[Tensor], None] = lambda clean: None,
    on_step: Callable[[Tensor], None] = lambda sample: None,
) -> Tensor:
    """Noise (1, C, F, h, w) -> clean latents of the same shape, for conditions of F frames in the network's precision.

    Where windows meet, their velocities are averaged. With a guidance scale other than 1 velocities are guided away
    from those of silence, without map and without reference. on_window is given what a window's frames would be without
    further steps, (1, C, n, h, w); on_step the latents after each step.
    """
    guided = settings.guidance_scale != 1
    silence = None if conditions.speech is None else torch.zeros_like(conditions.speech)
    without = replace(conditions, speech=silence, map=None, reference={})
    sample, dtype = noise, next(net.parameters()).dtype
    for number, step in enumerate(counted_steps(settings.steps, betas)):
        timestep = torch.tensor(step.timestep, device=noise.device)
        total, windows = torch.zeros_like(sample), sample.new_zeros(sample.shape[2], 1, 1)
        for frames in ring_windows(sample.shape[2], settings.window, settings.overlap, SHIFT * number):
            part = sample[:, :, frames]
            velocity = net(part.to(dtype), timestep, at_frames(conditions, frames), settings.scales).to(part)
            if guided:
                base = net(part.to(dtype), timestep, at_frames(without, frames), settings.scales).to(part)
                velocity = base + settings.guidance_scale * (velocity - base)
            total[:, :, frames] += velocity
            windows[frames] += 1
            on_window(step.signal * part - step.noise * velocity)
        sample = step.advance(sample, total / windows)
        on_step(sample)
    return sample


def at_frames(conditions: Conditions, frames: Tensor) -> Conditions:
    """Those of some frames, by number; a map that is the same for all stays as it is."""
    speech, drawn = conditions.speech, conditions.map
    return replace(
        conditions,
        speech=None if speech is None else speech[:, frames],
        map=drawn if drawn is None or drawn.shape[1] == 1 else drawn[:, frames],
    )
