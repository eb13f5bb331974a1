import pytest
import torch

from portraittalk.sampling.steps import noise_schedule, velocity_steps


def test_last_training_step_is_pure_noise():
    schedule = noise_schedule()
    clean, eps = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.equal(schedule.add_noise(clean, eps, torch.tensor([999, 999])), eps)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 50])
def test_true_velocities_lead_back_to_the_clean_latents(count):
    schedule = noise_schedule()
    clean, eps = torch.randn(1, 8, generator=torch.manual_seed(0)), torch.randn(1, 8)
    sample = eps
    steps = velocity_steps(count)
    assert len(steps) == count and steps[0].timestep == 999
    for step in steps:
        velocity = schedule.get_velocity(clean, eps, torch.tensor([step.timestep]))
        sample = step.advance(sample, velocity)
        assert torch.allclose(sample, step.add_next_noise(clean, eps), atol=1e-4)
    assert torch.allclose(sample, clean, atol=1e-4)


@pytest.mark.parametrize("count", [1, 4, 10])
def test_a_step_is_that_of_diffusers(count):
    schedule = noise_schedule()
    schedule.set_timesteps(count)
    sample, velocity = torch.randn(1, 8), torch.randn(1, 8)
    for step in velocity_steps(count):
        expected = schedule.step(velocity, step.timestep, sample).prev_sample
        assert torch.allclose(step.advance(sample, velocity), expected, atol=1e-5)
