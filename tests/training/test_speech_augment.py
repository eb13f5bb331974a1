"""Augmentation of mel powers: what each step may and may not change."""

import pytest
import torch

from portraittalk.config import SpeechConfig
from portraittalk.speech.mel import mel_power
from portraittalk.training.motion.augment import augment, noise, reverberate, warp_bands


def sine(hz: float) -> torch.Tensor:
    return mel_power(torch.sin(2 * torch.pi * hz * torch.arange(8000) / 16000), SpeechConfig())


@pytest.mark.parametrize(("hz", "factor"), [(500.0, 1.2), (1000.0, 0.85), (2000.0, 1.1)])
def test_warping_moves_a_tone(hz, factor):
    found = warp_bands(sine(hz), factor, 16000)[25].argmax().item()
    assert abs(found - sine(hz * factor)[25].argmax().item()) <= 1


def test_no_warp_is_no_change():
    power = torch.rand(20, 80)
    assert torch.allclose(warp_bands(power, 1.0, 16000), power, atol=1e-4)


def test_reverberation_only_reaches_forward_and_has_its_strength():
    power = torch.zeros(100, 80)
    power[30] = 1
    heard = reverberate(power, seconds=0.3, strength=0.4)
    assert not heard[:30].any()
    assert torch.allclose(heard[30], power[30])
    assert heard.sum().item() == pytest.approx(80 * 1.4, rel=0.01)


def test_noise_has_its_level():
    power = noise((500, 80), 1e-3, torch.Generator().manual_seed(0))
    assert power.shape == (500, 80) and power.min() > 0
    assert 3e-4 < power.sum(1).mean() < 5e-3


def test_the_generator_decides():
    power = torch.rand(50, 80)
    first, again = (augment(power, 0.1, 16000, torch.Generator().manual_seed(3)) for _ in range(2))
    other = augment(power, 0.1, 16000, torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert first.isfinite().all() and first.min() >= 0
