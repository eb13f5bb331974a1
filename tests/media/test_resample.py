import math

import pytest
import torch

from portraittalk.media.resample import resample, sinc_resample

RATES = [
    (44100, 16000),
    (48000, 16000),
    (8000, 16000),
    (96000, 48000),
    (22050, 16000),
    (16000, 44100),
    (44099, 16000),
    (11127, 48000),
]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_keeps_its_pitch_phase_and_loudness(source: int, target: int) -> None:
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(source) / source)[None]
    expected = torch.sin(2 * math.pi * 1000 * torch.arange(target) / target)[None]
    heard = sinc_resample(tone, source, target)
    assert heard.shape == (1, target)
    inside = slice(target // 50, -target // 50)
    assert (heard - expected)[:, inside].abs().max() < 0.02


def test_what_the_lower_rate_cannot_hold_is_removed() -> None:
    tone = torch.sin(2 * math.pi * 11000 * torch.arange(48000) / 48000)[None]
    assert sinc_resample(tone, 48000, 16000)[:, 500:-500].abs().max() < 0.01


def test_odd_rates_stay_in_step_to_the_end() -> None:
    tone = torch.sin(2 * math.pi * 440 * torch.arange(44099 * 6) / 44099)[None]
    expected = torch.sin(2 * math.pi * 440 * torch.arange(16000 * 6) / 16000)[None]
    assert (sinc_resample(tone, 44099, 16000) - expected)[:, 100:-100].abs().max() < 0.02


def test_length_is_rounded_up() -> None:
    assert sinc_resample(torch.zeros(1, 1001), 44100, 16000).shape[1] == math.ceil(1001 * 16000 / 44100)


def test_the_same_rate_changes_nothing() -> None:
    sound = torch.rand(1, 100)
    assert resample(sound, 16000, 16000) is sound
