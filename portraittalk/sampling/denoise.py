"""The denoising loop shared by all models, and classifier-free guidance."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, PreparedConditions
from .steps import Step
from .windows import WindowPolicy, fade, whole_clip

ConditionsAt = Callable[[Tensor | slice], PreparedConditions]  # frame indices of one window -> its conditions


@torch.no_grad()
def denoise(
    net: AnimateNet,
    sample: Tensor,
    noise: Tensor,
    steps: Sequence[Step],
    cond: ConditionsAt,
    uncond: ConditionsAt | None = None,
    guidance_scale: float = 1.0,
    windows: WindowPolicy = whole_clip,
    new_noise: Callable[[int], Tensor] | None = None,
    anchor: Tensor | None = None,
    on_window: Callable[[Tensor], None] = lambda clean: None,
    on_step: Callable[[Tensor], None] = lambda sample: None,
) -> Tensor:
    """Denoise latents ``sample`` (1, C, F, h, w), at the noise level of the first step, to clean latents.

    noise: the noise in ``sample``. cond, uncond: return the conditions of a window's frames; without ``uncond`` there
    is no guidance. windows: returns the frame indices of the windows of a step; predictions of overlapping windows are
    averaged. new_noise: returns the noise of draw 1, 2, ... for steps that renoise.

    anchor: (1, C, n, h, w), clean latents of the first n frames, shared with the window before. After every step, the
    sample is cross-faded from the anchor noised to that step's level, so that the network continues from the window
    before, and the last step leaves a plain cross-fade.

    on_window is called with the predicted clean latents (1, C, n, h, w) of every window, on_step with the sample after
    every step. The network runs in its own precision; the sample keeps its own.
    """
    dtype = next(net.parameters()).dtype
    for number, step in enumerate(steps):
        timestep = torch.tensor(step.timestep, device=sample.device)
        total, counts = torch.zeros_like(sample), sample.new_zeros(sample.shape[2], 1, 1)
        for frames in windows(number, sample.shape[2]):
            part = sample[:, :, frames]
            predicted = net(part.to(dtype), timestep, cond(frames)).to(part)
            if uncond is not None:
                predicted = guide(predicted, net(part.to(dtype), timestep, uncond(frames)).to(part), guidance_scale)
            on_window(step.predict_clean(part, predicted))
            total[:, :, frames] += predicted
            counts[frames] += 1
        noise = new_noise(number + 1) if step.renoise and new_noise is not None else noise
        sample = step.advance(sample, total / counts, noise)
        if anchor is not None:
            sample = fade(step.add_next_noise(anchor, noise[:, :, : anchor.shape[2]]), sample)
        on_step(sample)
    return sample


def guide(cond: Tensor, uncond: Tensor, guidance_scale: float) -> Tensor:
    """Apply classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""
    return uncond + guidance_scale * (cond - uncond)
