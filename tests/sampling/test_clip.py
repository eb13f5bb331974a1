"""Sampling whole clips in windows that move on: step by step against EchoMimic's own sampler, and its parts."""

from itertools import pairwise

import pytest
import torch
from golden_tensors import golden

from portraittalk.models.animate_net import Conditions
from portraittalk.models.reference_net import reference_features
from portraittalk.pipelines.reference import clip_noise, sample_clip
from portraittalk.sampling.steps import noise_schedule, strided_velocity_steps
from portraittalk.sampling.windows import RingWindows
from portraittalk.types import SamplingSettings

BETAS = (0.00085, 0.012)
CLOSE = {"atol": 1e-4, "rtol": 0.0}  # measured: 2e-6 without, 7e-6 with guidance


class Seen(Exception):
    """Ends the sampling of a clip early."""


# Few frames take all six steps. With windows one step is enough, and two with guidance: the windows of all steps are
# compared below, and everything that is cached is used from the second step on.
@pytest.mark.parametrize(
    ("inputs", "outputs", "guidance", "steps"),
    [("short.", "short.", 1.0, 6), ("", "", 1.0, 1), ("", "cfg2p5.", 2.5, 2)],
)
def test_every_step_is_upstreams(golden_echomimic, inputs, outputs, guidance, steps):
    tensors = golden("echomimic_acc")
    noise, found = tensors[f"{inputs}in.initial_latents"], []
    conditions = Conditions(
        map=tensors["in.mask"].float(),
        speech=tensors["in.audio_features"][:, : noise.shape[2]].float(),
        reference=reference_features(golden_echomimic.reference_net, tensors[f"{inputs}in.reference_latents"]),
    )
    settings = SamplingSettings(steps=6, guidance_scale=guidance, window=12, overlap=3)

    def on_step(sample):
        found.append(sample)
        if len(found) == steps:
            raise Seen

    with pytest.raises(Seen):
        sample_clip(golden_echomimic.animate_net, conditions, noise, settings, on_step=on_step)
    every_second = torch.stack(found)[..., ::2, ::2]  # row and column, which is what the file holds
    torch.testing.assert_close(every_second, tensors[f"{outputs}latents_after_step"][:steps], **CLOSE)


def test_the_schedule_and_the_windows_are_upstreams():
    tensors = golden("echomimic_acc")
    torch.testing.assert_close(noise_schedule(BETAS).alphas_cumprod, tensors["alphas_cumprod"])
    assert [step.timestep for step in strided_velocity_steps(6, BETAS)] == tensors["timesteps"].tolist()
    for name, frames in (("windows", 22), ("short.windows", 10)):
        for number, windows in enumerate(tensors[name]):
            assert torch.equal(torch.stack(RingWindows(12, 3, shift=2)(number, frames)), windows)


@pytest.mark.parametrize("frames", [1, 5, 12, 13, 30])
def test_windows_on_a_ring_hold_every_frame_and_none_twice(frames):
    windows = RingWindows(12, 3, shift=7)(1, frames)
    assert torch.cat(windows).unique().tolist() == list(range(frames))
    assert all(len(window.unique()) == len(window) == min(12, frames) for window in windows)
    for before, after in pairwise(windows):
        assert torch.equal(before[-3:], after[:3])


def test_counted_steps_start_at_pure_noise_and_end_one_stride_below_the_last_timestep():
    six = strided_velocity_steps(6, BETAS)
    assert (six[0].signal, six[0].noise) == (0.0, 1.0)
    kept = noise_schedule(BETAS).alphas_cumprod[0].double()
    assert six[-1].next_signal == pytest.approx(kept.sqrt().item()) and six[-1].next_noise > 0.02
    last = strided_velocity_steps(30, BETAS)[-1]
    assert (last.next_signal, last.next_noise) == (1.0, 0.0)


def test_a_true_velocity_leads_to_what_the_last_step_leaves():
    clean, eps = torch.randn(1, 4, 2, 3, 3), torch.randn(1, 4, 2, 3, 3)
    sample = eps
    for step in strided_velocity_steps(4, BETAS):
        sample = step.advance(sample, step.signal * eps - step.noise * clean)
    torch.testing.assert_close(sample, step.next_signal * clean + step.next_noise * eps, atol=1e-5, rtol=0)


def test_starting_noise_is_clamped_and_belongs_to_the_frame():
    noise = clip_noise(3, 6, (4, 8, 8), 1.5)
    assert noise.abs().max() == 1.5
    assert torch.equal(noise[:, :, :2], clip_noise(3, 2, (4, 8, 8), 1.5))
