"""The steps of models that predict the noise in noisy latents, as unmodified Stable Diffusion does.

They begin from pure noise, or part of the way down from given latents, noised so far ("SDEdit", Meng et al. 2022, arXiv
2108.01073): the less is left to go, the more of these latents stays.
"""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, LCMScheduler
from torch import Tensor

from ..config import AnimateNetConfig
from .schedule import TRAINING_STEPS

LCM_STEPS = 50  # those that a latent consistency model was distilled from


@dataclass(frozen=True)
class NoiseStep:
    """One step, from ``signal * x0 + noise * eps`` at ``timestep`` to the next level's mixture.

    keep, trust: how much of the sample, and of what it would be without noise, makes what comes out of a latent
    consistency model. fresh: whether the next level is made with new noise, not with the predicted one.
    """

    timestep: int
    signal: float
    noise: float
    next_signal: float
    next_noise: float
    keep: float = 0.0
    trust: float = 1.0
    fresh: bool = False

    def start(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Latents with so much noise that this step can begin from them."""
        return self.signal * clean + self.noise * eps

    def clean(self, sample: Tensor, eps: Tensor) -> Tensor:
        """What the sample would be without the predicted noise ``eps``."""
        return (sample - self.noise * eps) / self.signal

    def advance(self, sample: Tensor, eps: Tensor, new: Tensor) -> Tensor:
        """To the next level: by DDIM (Song et al. 2021, eta 0), or by consistency (Luo et al. 2023, arXiv 2310.04378)
        with new noise; all of one shape."""
        clean = self.keep * sample + self.trust * self.clean(sample, eps)
        return self.noised(clean, new if self.fresh else eps)

    def noised(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Finished latents at the noise level that this step leads to."""
        return self.next_signal * clean + self.next_noise * eps


def epsilon_steps(net: AnimateNetConfig, steps: int, strength: float = 1.0) -> list[NoiseStep]:
    """The steps that a model's sampler takes with ``strength`` of the way still to go, above 0 and up to 1.

    DDIM takes that part of its steps, at least one; a consistency model takes all of them on what is left of the way.
    """
    return _lcm(net, steps, strength) if net.sampler == "lcm" else _ddim(net, steps, strength)


def _ddim(net: AnimateNetConfig, steps: int, strength: float) -> list[NoiseStep]:
    schedule = DDIMScheduler(
        TRAINING_STEPS, *net.betas, net.curve, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    schedule.set_timesteps(steps)
    kept = torch.cat((schedule.alphas_cumprod, schedule.final_alpha_cumprod[None])).double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    stride = TRAINING_STEPS // steps
    pairs = [(t, max(t - stride, -1)) for t in schedule.timesteps.tolist()]  # -1: the last entry
    taken = pairs[steps - max(int(steps * strength), 1) :]
    return [NoiseStep(t, signal[t], noise[t], signal[to], noise[to]) for t, to in taken]


def _lcm(net: AnimateNetConfig, steps: int, strength: float) -> list[NoiseStep]:
    schedule = LCMScheduler(TRAINING_STEPS, *net.betas, net.curve, original_inference_steps=LCM_STEPS)
    left = max(int(LCM_STEPS * strength), 1)
    schedule.set_timesteps(min(steps, left), strength=left / LCM_STEPS)
    kept = schedule.alphas_cumprod.double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    timesteps = schedule.timesteps.tolist()
    taken = []
    for t, to in zip(timesteps, [*timesteps[1:], None], strict=True):
        keep, trust = schedule.get_scalings_for_boundary_condition_discrete(t)
        next_signal, next_noise = (1.0, 0.0) if to is None else (signal[to], noise[to])
        taken.append(NoiseStep(t, signal[t], noise[t], next_signal, next_noise, keep, trust, fresh=True))
    return taken
