"""The noise schedule: velocity prediction on linear betas, rescaled so that the last step is pure noise.

With a signal-to-noise ratio of exactly zero at the last step, and timesteps counted from there ("trailing"), a few
steps, even one, start from what training has seen (Lin et al., "Common Diffusion Noise Schedules and Sample Steps are
Flawed", 2024). Which schedule PortraitTalk's authors use is not known to us: this one is our choice.
"""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import Tensor

TRAINING_STEPS = 1000
BETAS = (0.0001, 0.02)


def noise_schedule(betas: tuple[float, float] = BETAS) -> DDIMScheduler:
    """The schedule of training and sampling alike; training uses its ``add_noise`` and ``get_velocity``.

    betas: the first and the last, before they are rescaled.
    """
    return DDIMScheduler(
        num_train_timesteps=TRAINING_STEPS,
        beta_start=betas[0],
        beta_end=betas[1],
        beta_schedule="linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


@dataclass(frozen=True)
class Step:
    """One step of the denoising: from ``signal * x0 + noise * eps`` at ``timestep`` to the next level's mixture."""

    timestep: int
    signal: float
    noise: float
    next_signal: float
    next_noise: float

    def advance(self, sample: Tensor, velocity: Tensor) -> Tensor:
        """One deterministic step (DDIM, Song et al. 2021, eta 0) along a predicted velocity, all of one shape."""
        clean = self.signal * sample - self.noise * velocity
        eps = self.signal * velocity + self.noise * sample
        return self.next_signal * clean + self.next_noise * eps

    def noised(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Finished latents at the noise level that this step leads to; the last step leads to no noise at all."""
        return self.next_signal * clean + self.next_noise * eps


def denoising_steps(steps: int) -> list[Step]:
    """The steps from pure noise to clean latents; steps: 1 to ``TRAINING_STEPS``."""
    schedule = noise_schedule()
    schedule.set_timesteps(steps)
    timesteps = schedule.timesteps.tolist()
    kept = schedule.alphas_cumprod[torch.tensor(timesteps)].double()
    signal = [*kept.sqrt().tolist(), 1.0]
    noise = [*(1 - kept).sqrt().tolist(), 0.0]
    return [Step(t, signal[i], noise[i], signal[i + 1], noise[i + 1]) for i, t in enumerate(timesteps)]


def counted_steps(steps: int, betas: tuple[float, float]) -> list[Step]:
    """As ``denoising_steps``, each step leading ``TRAINING_STEPS // steps`` timesteps down, as DDIM is published.

    With trailing timesteps that is not always where the next step starts, and the last of, say, 6 steps leaves the
    noise of timestep 0 in: weights that were tuned for such a sampler expect it.
    """
    schedule = noise_schedule(betas)
    schedule.set_timesteps(steps)
    kept = torch.cat((schedule.alphas_cumprod, schedule.final_alpha_cumprod[None])).double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    stride = TRAINING_STEPS // steps
    pairs = [(t, max(t - stride, -1)) for t in schedule.timesteps.tolist()]  # -1: the last entry, no noise at all
    return [Step(t, signal[t], noise[t], signal[to], noise[to]) for t, to in pairs]
