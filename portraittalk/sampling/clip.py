"""The denoising loop of public weights: the whole clip at once, in windows that move on from step to step.

EchoMimic samples in this way, plain (30 steps, guidance 2.5) and accelerated (6 steps without guidance). The code of
the accelerated one also turns each velocity into clean latents and back: that changes nothing but rounding.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions, Prepared
from ..models.reference_net import ReferenceNet
from ..types import SamplingSettings, Scales
from .schedule import counted_steps
from .windows import frame_noise, ring_windows

HELD = 128  # frames of a clip whose keys, values and features are held


def clip_noise(seed: int, frames: int, shape: tuple[int, ...], limit: float) -> Tensor:
    """Starting noise (1, C, F, h, w) for latents of ``shape`` (C, h, w), clamped to -limit..limit."""
    return frame_noise(seed, 0, frames, shape).clamp(-limit, limit).transpose(0, 1)[None]


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
    on_window: Callable[[Tensor], None] = lambda clean: None,
    on_step: Callable[[Tensor], None] = lambda sample: None,
) -> Tensor:
    """Noise (1, C, F, h, w) -> clean latents of the same shape, for conditions of F frames in the network's precision.

    Where windows meet, their velocities are averaged. With a guidance scale other than 1 velocities are guided away
    from those of silence, without map and without reference. on_window is given what a window's frames would be without
    further steps, (1, C, n, h, w); on_step the latents after each step.
    """
    guided = settings.guidance_scale != 1
    seen = seen_at(net, conditions, settings.scales)
    without = seen_at(net, unguided(net, conditions), settings.scales) if guided else seen
    sample, dtype = noise, next(net.parameters()).dtype
    for number, step in enumerate(counted_steps(settings.steps, net.config.betas)):
        timestep = torch.tensor(step.timestep, device=noise.device)
        total, windows = torch.zeros_like(sample), sample.new_zeros(sample.shape[2], 1, 1)
        for frames in ring_windows(sample.shape[2], settings.window, settings.overlap, net.config.shift * number):
            part = sample[:, :, frames]
            velocity = net(part.to(dtype), timestep, seen(frames)).to(part)
            if guided:
                base = net(part.to(dtype), timestep, without(frames)).to(part)
                velocity = base + settings.guidance_scale * (velocity - base)
            total[:, :, frames] += velocity
            windows[frames] += 1
            on_window(step.signal * part - step.noise * velocity)
        sample = step.advance(sample, total / windows)
        on_step(sample)
    return sample


def unguided(net: AnimateNet, conditions: Conditions) -> Conditions:
    """What velocities are guided away from; a pose is kept."""
    silence = None if conditions.speech is None else torch.zeros_like(conditions.speech[:, :1])
    nobody = None if conditions.identity is None else torch.zeros_like(conditions.identity)
    drawn = conditions.map if net.guider == "pose" else None
    return replace(conditions, speech=silence, identity=nobody, map=drawn, reference={})


def seen_at(net: AnimateNet, conditions: Conditions, scales: Scales) -> Callable[[Tensor], Prepared]:
    """What the network looks at for some frames of a clip, by number.

    Keys and values of the reference are computed once. Those of frames, and features of their maps, are computed once
    as well and held, 2.5 MB a frame in half precision at the size of Stable Diffusion 1.5, where the clip has no more
    than ``HELD`` frames; of a longer clip they are computed for each window, for 0.1 % of its operations. A pose guider
    takes the frames of a window together, in its norms as well: what it makes of each window is held.
    """
    speech, drawn = conditions.speech, conditions.map
    frames = max(1 if given is None else given.shape[1] for given in (speech, drawn))
    if frames <= HELD and net.guider != "pose":
        return net.prepare(conditions, scales).at
    moving = Conditions(
        speech=speech if speech is not None and speech.shape[1] > 1 else None,
        map=drawn if drawn is not None and drawn.shape[1] > 1 else None,
    )
    still = net.prepare(
        replace(
            conditions,
            speech=speech if moving.speech is None else None,
            map=drawn if moving.map is None else None,
        ),
        scales,
    )
    held: dict[tuple[int, ...], Prepared] = {}

    def window(numbers: Tensor) -> Prepared:
        key = tuple(numbers.tolist())
        if key in held:
            return held[key]
        found = still.at(numbers).joined(net.prepare(at_frames(moving, numbers), scales))
        if frames <= HELD and net.config.shift == 0:
            held[key] = found
        return found

    return window


def at_frames(conditions: Conditions, frames: Tensor) -> Conditions:
    """The speech and the maps of some frames, by number."""
    speech, drawn = conditions.speech, conditions.map
    return Conditions(
        speech=None if speech is None else speech[:, frames], map=None if drawn is None else drawn[:, frames]
    )
