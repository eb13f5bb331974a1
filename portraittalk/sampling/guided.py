"""The denoising loop of an unmodified Stable Diffusion, for frames that are sampled together."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions
from ..types import SamplingSettings
from .epsilon import epsilon_steps
from .windows import fade

NewNoise = Callable[[int], Tensor]  # number of the draw -> (1, C, F, h, w); draw 0 is what sampling starts with


@torch.no_grad()
def sample_guided(
    net: AnimateNet,
    start: Tensor,
    conditions: Conditions,
    without: Conditions,
    settings: SamplingSettings,
    noise: NewNoise,
    anchor: Tensor | None = None,
    on_step: Callable[[Tensor], None] = lambda clean: None,
) -> Tensor:
    """Latents (1, C, F, h, w) that are changed as far as ``settings.strength`` says -> clean latents.

    Predictions are guided away from those ``without``, by the guidance scale; 1 is off. anchor: (1, C, n, h, w), the
    finished latents of the first n frames, as ``sample_window`` has it. on_step is given what the sample would be
    without further steps.
    """
    steps = epsilon_steps(net.config, settings.steps, settings.strength)
    dtype = next(net.parameters()).dtype
    seen = net.prepare(conditions, settings.scales)
    unguided = net.prepare(without, settings.scales) if settings.guidance_scale != 1 else seen
    first = noise(0)
    sample = steps[0].start(start, first)
    for number, step in enumerate(steps):
        timestep = torch.tensor(step.timestep, device=sample.device)
        eps = net(sample.to(dtype), timestep, seen).to(sample)
        if settings.guidance_scale != 1:
            base = net(sample.to(dtype), timestep, unguided).to(sample)
            eps = base + settings.guidance_scale * (eps - base)
        new = noise(number + 1) if step.fresh else first
        clean = step.clean(sample, eps)
        sample = step.advance(sample, eps, new)
        if anchor is not None:
            sample = fade(step.noised(anchor, new[:, :, : anchor.shape[2]]), sample)
        on_step(clean)
    return sample
