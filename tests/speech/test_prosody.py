"""Prosody of a made-up speech and of the demo: phrases between pauses, accents on its loudest syllables."""

import math

import pytest
import torch

from portraittalk.config import SpeechConfig
from portraittalk.media.audio import Audio, read_audio
from portraittalk.speech.features import encode_speech
from portraittalk.speech.prosody import accents_of, phrases_of, read_prosody

RATE = 16_000


def spoken(*syllables: tuple[float, float], seconds: float = 4.0) -> torch.Tensor:
    """Return features (F, W, M) of tones of 0.16 s at (time, amplitude)."""
    times = torch.arange(round(seconds * RATE)) / RATE
    waves = sum(math.sin(1) * a * torch.exp(-(((times - t) / 0.06) ** 2)) for t, a in syllables)
    return encode_speech(
        Audio((waves * torch.sin(2 * math.pi * 220 * times))[None], RATE), 25.0, SpeechConfig()
    ).features


def test_accents_are_the_syllables_that_stand_out():
    even = [(0.5 + 0.25 * k, 0.05) for k in range(12)]
    found = read_prosody(spoken(*even, (1.37, 0.5), (2.62, 0.4)), torch.zeros(100), 25.0).accents
    strong = sorted(found, key=lambda accent: -accent[1])[:2]
    assert sorted(time for time, _ in strong) == pytest.approx([1.37, 2.62], abs=0.06)
    assert all(0 < strength <= 1 for _, strength in found)


def test_accents_are_never_crowded():
    loud = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([time for time, _ in accents_of(loud, 25.0)])
    assert len(times) > 50 and times.diff().min() > 0.3


def test_phrases_end_at_pauses_and_not_at_stops():
    speaking = torch.ones(100, dtype=torch.bool)
    speaking[:10] = False
    speaking[30:33] = False  # 0.12 s: a stop
    speaking[60:75] = False
    speaking[75:77] = True  # a click
    speaking[77:85] = False
    assert phrases_of(speaking, 25.0) == ((0.4, 2.4), (3.4, 4.0))
    assert phrases_of(torch.zeros(20, dtype=torch.bool), 25.0) == ()


def test_the_prosody_of_a_longer_speech_begins_like_that_of_a_shorter_one(repository):
    audio = read_audio(repository / "portraittalk/assets/demo/speech.wav")
    features = encode_speech(audio, 25.0, SpeechConfig()).features
    silence = torch.zeros(len(features))
    whole, part = read_prosody(features, silence, 25.0), read_prosody(features[:75], silence[:75], 25.0)
    assert len(whole.accents) >= 3
    before = [accent for accent in part.accents if accent[0] < 2]
    assert before and before == [accent for accent in whole.accents if accent[0] < 2]
