"""Steps for models that predict noise: diffusers' own schedulers, one after the other."""

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from portraittalk.sampling.steps import epsilon_steps
from portraittalk.sampling.windows import frame_noise
from portraittalk.weights.layouts import LAYOUTS

NET = LAYOUTS["animatediff"].config.animate_net
LCM = replace(NET, sampler="lcm")
BETAS = {"beta_start": 0.00085, "beta_end": 0.012}


def draw(seed):
    return torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("curve", ["linear", "scaled_linear"])
@pytest.mark.parametrize(("count", "strength", "taken"), [(7, 1.0, 7), (25, 0.6, 15), (10, 0.05, 1)])
def test_ddim_steps_are_those_of_diffusers(count, strength, taken, curve):
    schedule = DDIMScheduler(**BETAS, beta_schedule=curve, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    schedule.set_timesteps(count)
    steps = epsilon_steps(replace(NET, curve=curve), count, strength)
    assert [step.timestep for step in steps] == schedule.timesteps[-taken:].tolist()
    noise, clean = draw(0), draw(1)
    found = steps[0].add_noise(clean, noise)
    sample = schedule.add_noise(clean, noise, schedule.timesteps[-taken:][:1])
    torch.testing.assert_close(found, sample)
    for number, step in enumerate(steps):
        eps = draw(2 + number)
        found = step.advance(found, eps, noise)
        sample = schedule.step(eps, step.timestep, sample).prev_sample
        torch.testing.assert_close(found, sample, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("count", "strength"), [(6, 1.0), (4, 0.6), (1, 1.0), (6, 0.05)])
def test_consistency_steps_are_those_of_diffusers(count, strength):
    schedule = LCMScheduler(**BETAS, beta_schedule="linear")
    steps = epsilon_steps(LCM, count, strength)
    schedule.set_timesteps(len(steps), strength=strength)
    assert [step.timestep for step in steps] == schedule.timesteps.tolist()
    assert len(steps) == min(count, int(50 * strength))
    found = sample = draw(0)
    for number, step in enumerate(steps):
        eps = draw(1 + number)
        new = torch.randn(sample.shape, generator=torch.Generator().manual_seed(50 + number))
        found = step.advance(found, eps, new)
        sample = schedule.step(
            eps, step.timestep, sample, generator=torch.Generator().manual_seed(50 + number)
        ).prev_sample
        torch.testing.assert_close(found, sample, atol=1e-4, rtol=1e-5)


def test_true_noise_leads_back_to_the_picture():
    clean, noise = draw(0), draw(1)
    for net in (NET, LCM):
        steps = epsilon_steps(net, 4)
        sample = steps[0].add_noise(clean, noise)
        for step in steps:
            eps = (sample - step.signal * clean) / step.noise
            sample = step.advance(sample, eps, noise)
        torch.testing.assert_close(sample, steps[-1].add_next_noise(clean, noise), atol=1e-2, rtol=1e-2)


def test_each_draw_of_noise_is_another_and_belongs_to_the_frame():
    first, second = (frame_noise(5, 2, 6, (4, 8), draw) for draw in (0, 1))
    assert torch.equal(first, frame_noise(5, 2, 6, (4, 8)))
    assert not torch.equal(first, second)
    assert torch.equal(second[1:], frame_noise(5, 3, 6, (4, 8), 1))
