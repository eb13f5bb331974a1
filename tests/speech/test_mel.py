"""The mel spectrogram: known powers, and the same whole from pieces."""

import math

import pytest
import torch

from portraittalk.config import SpeechConfig
from portraittalk.media.audio import Audio
from portraittalk.speech.mel import CHUNK_SECONDS, hz_to_mel, mel_chunks, mel_filters, mel_power, mel_to_hz

CONFIG = SpeechConfig()


def test_mel_scale_is_inverted_and_has_slaneys_values():
    hz = torch.tensor([0.0, 200.0, 999.0, 1000.0, 4000.0, 8000.0], dtype=torch.float64)
    assert torch.allclose(mel_to_hz(hz_to_mel(hz)), hz)
    assert hz_to_mel(torch.tensor([200.0, 1000.0, 6400.0])).tolist() == pytest.approx([3, 15, 42])


def test_filters_share_all_power_between_the_first_and_the_last():
    filters = mel_filters(80, 16000)
    assert (filters > 0).sum(1).min() >= 2
    inner = filters.sum(0)[3:-12]  # beyond lie the halves of the first and the last triangle
    assert torch.allclose(inner, torch.ones_like(inner), atol=1e-5)


@pytest.mark.parametrize("hz", [150.0, 440.0, 1000.0, 3000.0])
def test_a_sine_has_its_power_in_the_bands_around_it(hz):
    sound = 0.5 * torch.sin(2 * math.pi * hz * torch.arange(16000) / 16000)
    power = mel_power(sound, CONFIG)
    assert power.shape == (100, 80)
    assert power[10:90].sum(1).mean().item() == pytest.approx(0.125, rel=0.01)
    peak = power[50].argmax().item()
    top = hz_to_mel(torch.tensor(8000.0)).item()
    assert abs(peak - (hz_to_mel(torch.tensor(hz)).item() / top * 81 - 1)) < 1


def test_pieces_equal_the_whole():
    sound = torch.randn(1, int(16000 * (2 * CHUNK_SECONDS + 7.3)), generator=torch.Generator().manual_seed(0))
    pieces = list(mel_chunks(Audio(sound, 16000), CONFIG))
    assert len(pieces) == 3
    assert torch.equal(torch.cat(pieces), mel_power(sound[0], CONFIG))


def test_pieces_of_another_rate_join_without_a_seam():
    seconds = torch.arange(int(44100 * (CHUNK_SECONDS + 2))) / 44100
    sound = 0.3 * torch.sin(2 * math.pi * 440 * seconds.double()).float()[None]
    power = torch.cat(list(mel_chunks(Audio(sound.repeat(2, 1), 44100), CONFIG)))
    seam = CHUNK_SECONDS * 100
    around = power[seam - 5 : seam + 5].sum(1)
    assert torch.allclose(around, around.mean().expand(10), rtol=0.01)
