"""Denoising steps: the timesteps of a sampler, and the update from one to the next.

Timesteps and alphas come from diffusers' schedulers. All samplers are lists of ``Step``: DDIM for networks that predict
velocity or noise, and latent consistency sampling (LCM).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..config import AnimateNetConfig

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

TRAINING_STEPS = 1000
BETAS = (0.0001, 0.02)
LCM_STEPS = 50  # steps of the teacher that latent consistency models were distilled from


@dataclass(frozen=True)
class Step:
    """One step from ``signal * x0 + noise * eps`` at ``timestep`` to ``next_signal * x0 + next_noise * eps``.

    prediction: what the network predicts, "velocity" or "epsilon". c_skip, c_out: weights of the sample and of the
    predicted x0 (the boundary condition of consistency models; DDIM has 0 and 1). renoise: whether the next level uses
    new noise instead of the predicted noise.
    """

    timestep: int
    signal: float
    noise: float
    next_signal: float
    next_noise: float
    prediction: str = "velocity"
    c_skip: float = 0.0
    c_out: float = 1.0
    renoise: bool = False

    def add_noise(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Noise clean latents to the level that this step starts from."""
        return self.signal * clean + self.noise * eps

    def add_next_noise(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Noise clean latents to the level that this step leads to; the last step leads to no noise."""
        return self.next_signal * clean + self.next_noise * eps

    def predict_clean(self, sample: Tensor, predicted: Tensor) -> Tensor:
        """Return x0 from the predicted velocity or noise."""
        if self.prediction == "velocity":
            return self.signal * sample - self.noise * predicted
        return (sample - self.noise * predicted) / self.signal

    def advance(self, sample: Tensor, predicted: Tensor, new_noise: Tensor | None = None) -> Tensor:
        """Return the sample at the next noise level.

        This is a DDIM step (Song et al. 2021, eta 0), or with ``renoise`` a latent consistency step (Luo et al. 2023,
        arXiv 2310.04378) with ``new_noise``.
        """
        clean = self.predict_clean(sample, predicted)
        if self.c_skip:
            clean = self.c_skip * sample + self.c_out * clean
        elif self.c_out != 1:
            clean = self.c_out * clean
        if self.renoise:
            assert new_noise is not None
            eps = new_noise
        else:
            eps = self.signal * predicted + self.noise * sample if self.prediction == "velocity" else predicted
        return self.add_next_noise(clean, eps)


def noise_schedule(betas: tuple[float, float] = BETAS) -> "DDIMScheduler":
    """Return the schedule of training and sampling: velocity prediction, linear betas, zero terminal SNR.

    The last timestep is pure noise and timesteps are spaced from there ("trailing"), so even a single step starts from
    a noise level seen in training (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed").
    The schedule of PortraitTalk's authors is not known; this one is our choice. Training uses its ``add_noise`` and
    ``get_velocity``. betas: first and last, before rescaling.
    """
    from diffusers import DDIMScheduler

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


def velocity_steps(steps: int) -> list[Step]:
    """Return DDIM steps from pure noise to clean latents, each leading to the timestep of the next one.

    steps: 1 to ``TRAINING_STEPS``.
    """
    schedule = noise_schedule()
    schedule.set_timesteps(steps)
    timesteps = schedule.timesteps.tolist()
    kept = schedule.alphas_cumprod[torch.tensor(timesteps)].double()
    signal = [*kept.sqrt().tolist(), 1.0]
    noise = [*(1 - kept).sqrt().tolist(), 0.0]
    return [Step(t, signal[i], noise[i], signal[i + 1], noise[i + 1]) for i, t in enumerate(timesteps)]


def strided_velocity_steps(steps: int, betas: tuple[float, float]) -> list[Step]:
    """As ``velocity_steps``, but with a stride of ``TRAINING_STEPS // steps`` timesteps, as in published DDIM code.

    With trailing timesteps a step does not always lead to the start of the next one, and the last of, say, 6 steps
    leaves the noise of timestep 0. EchoMimic's weights were tuned for this sampler.
    """
    schedule = noise_schedule(betas)
    schedule.set_timesteps(steps)
    kept = torch.cat((schedule.alphas_cumprod, schedule.final_alpha_cumprod[None])).double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    stride = TRAINING_STEPS // steps
    pairs = [(t, max(t - stride, -1)) for t in schedule.timesteps.tolist()]  # -1: the last entry, without noise
    return [Step(t, signal[t], noise[t], signal[to], noise[to]) for t, to in pairs]


def epsilon_steps(net: AnimateNetConfig, steps: int, strength: float = 1.0) -> list[Step]:
    """Return steps for a network that predicts noise, such as an unmodified Stable Diffusion.

    strength: above 0 and up to 1. Below 1, sampling starts from partly noised latents (SDEdit, Meng et al. 2022, arXiv
    2108.01073); lower values keep more of them. DDIM takes that share of its steps, at least one; LCM spreads all steps
    over the remaining timesteps.
    """
    return _lcm(net, steps, strength) if net.sampler == "lcm" else _ddim(net, steps, strength)


def _ddim(net: AnimateNetConfig, steps: int, strength: float) -> list[Step]:
    from diffusers import DDIMScheduler

    schedule = DDIMScheduler(
        TRAINING_STEPS, *net.betas, net.curve, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    schedule.set_timesteps(steps)
    kept = torch.cat((schedule.alphas_cumprod, schedule.final_alpha_cumprod[None])).double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    stride = TRAINING_STEPS // steps
    pairs = [(t, max(t - stride, -1)) for t in schedule.timesteps.tolist()]  # -1: the last entry
    taken = pairs[steps - max(int(steps * strength), 1) :]
    return [Step(t, signal[t], noise[t], signal[to], noise[to], "epsilon") for t, to in taken]


def _lcm(net: AnimateNetConfig, steps: int, strength: float) -> list[Step]:
    from diffusers import LCMScheduler

    schedule = LCMScheduler(TRAINING_STEPS, *net.betas, net.curve, original_inference_steps=LCM_STEPS)
    remaining = max(int(LCM_STEPS * strength), 1)
    schedule.set_timesteps(min(steps, remaining), strength=remaining / LCM_STEPS)
    kept = schedule.alphas_cumprod.double()
    signal, noise = kept.sqrt().tolist(), (1 - kept).sqrt().tolist()
    timesteps = schedule.timesteps.tolist()
    taken = []
    for t, to in zip(timesteps, [*timesteps[1:], None], strict=True):
        c_skip, c_out = schedule.get_scalings_for_boundary_condition_discrete(t)
        next_signal, next_noise = (1.0, 0.0) if to is None else (signal[to], noise[to])
        taken.append(Step(t, signal[t], noise[t], next_signal, next_noise, "epsilon", c_skip, c_out, renoise=True))
    return taken
