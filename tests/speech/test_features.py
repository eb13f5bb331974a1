"""Speech features: frames from the sound alone, level, silence, prefixes and frame rates."""

import pytest
import torch

from portraittalk.config import SpeechConfig
from portraittalk.errors import SettingsError
from portraittalk.media.audio import Audio, frame_count, read_audio
from portraittalk.media.resample import resample
from portraittalk.memory.ledger import Ledger
from portraittalk.speech.features import (
    MAX_GAIN_DB,
    SILENCE,
    TARGET_LEVEL_DB,
    at_rate,
    balance,
    band_levels,
    encode_speech,
    level_gain,
    patch_starts,
    patches,
)
from portraittalk.speech.mel import mel_chunks
from portraittalk.speech.prosody import spoken_loudness

CONFIG = SpeechConfig()


@pytest.fixture(scope="module")
def speech_sound(repository) -> Audio:
    return read_audio(repository / "portraittalk/assets/demo/speech.wav")


@pytest.mark.parametrize("seconds", [0.04, 0.13, 1.0, 2.517])
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("fps", [12, 24, 25, 29.97, 60])
def test_one_patch_a_frame(seconds, rate, fps):
    samples = round(seconds * rate)
    speech = encode_speech(Audio(torch.zeros(2, samples), rate), fps, CONFIG)
    assert speech.features.shape == (frame_count(samples, rate, fps), CONFIG.steps, CONFIG.dim)
    assert speech.fps == fps
    assert speech.seconds == samples / rate


def test_silence_is_one_constant():
    features = encode_speech(Audio(torch.zeros(1, 32000), 16000), 25, CONFIG).features
    assert torch.allclose(features, torch.full_like(features, SILENCE), atol=1e-5)


def test_speech_has_about_zero_mean_and_unit_range(speech_sound):
    features = encode_speech(speech_sound, 25, CONFIG).features
    assert abs(features.mean()) < 0.6
    assert 0.4 < features.std() < 1.2
    assert features.min() >= SILENCE - 1e-5
    assert features.max() < 3


@pytest.mark.parametrize("factor", [0.15, 0.5, 1.2])
def test_features_do_not_depend_on_the_level(speech_sound, factor):
    loud = encode_speech(speech_sound, 25, CONFIG).features
    other = encode_speech(Audio(factor * speech_sound.waveform, speech_sound.sample_rate), 25, CONFIG).features
    assert (loud - other).abs().max() < 1e-3


def test_hiss_is_not_raised_to_speech():
    hiss = 1e-4 * torch.randn(1, 48000, generator=torch.Generator().manual_seed(0))
    (power,) = mel_chunks(Audio(hiss, 16000), CONFIG)
    assert level_gain(power) == 1.0
    (power,) = mel_chunks(Audio(20 * hiss, 16000), CONFIG)  # about -54 dB
    assert level_gain(power) == pytest.approx(10 ** (MAX_GAIN_DB / 10))


def test_gain_brings_the_active_level_to_the_target_whatever_the_pauses(speech_sound):
    rate = speech_sound.sample_rate
    (power,) = mel_chunks(speech_sound, CONFIG)
    paused = Audio(torch.cat((speech_sound.waveform, torch.zeros(1, 10 * rate)), 1), rate)
    (paused_power,) = mel_chunks(paused, CONFIG)
    assert level_gain(paused_power) == pytest.approx(level_gain(power), rel=1e-3)
    frames = power.sum(1) * level_gain(power)
    active = frames[frames > 10 ** ((TARGET_LEVEL_DB - 15.9) / 10)].mean()
    assert 10 * active.log10().item() == pytest.approx(TARGET_LEVEL_DB, abs=0.1)


def test_the_beginning_of_a_speech_sounds_as_in_the_whole(speech_sound):
    whole = encode_speech(speech_sound, 25, CONFIG)
    beginning = Audio(speech_sound.waveform[:, : 2 * speech_sound.sample_rate], speech_sound.sample_rate)
    first = encode_speech(beginning, 25, CONFIG)
    same = len(first) - 3  # the last patches reach into what was cut off
    assert len(first) == 50
    assert (first.features[:same] - whole.features[:same]).abs().max() < 0.15  # 3 dB


def test_channels_and_rate_make_no_difference(speech_sound):
    rate = speech_sound.sample_rate
    expected = encode_speech(speech_sound, 25, CONFIG).features
    stereo = Audio(resample(speech_sound.waveform, rate, 48000).repeat(2, 1), 48000)
    found = encode_speech(stereo, 25, CONFIG).features
    below_nyquist = slice(0, 70)
    assert (found - expected)[..., below_nyquist].abs().mean() < 0.02


@pytest.mark.parametrize("fps", [10, 24, 30, 59.94])
def test_at_rate_is_what_encoding_at_that_rate_gives(speech_sound, fps):
    expected = encode_speech(speech_sound, 25, CONFIG)
    found = at_rate(encode_speech(speech_sound, fps, CONFIG), 25, CONFIG)
    assert len(found) == len(expected)
    assert torch.allclose(found.features, expected.features, atol=1e-6)


@pytest.mark.parametrize("fps", [25.0, 24.0])
def test_patches_that_follow_evenly_share_their_memory(fps):
    mel, count = torch.randn(100, 80), round(fps)
    made = patches(mel, count, fps, CONFIG)
    starts = patch_starts(count, fps, CONFIG)
    for number, first in enumerate(starts.tolist()):
        inside = range(max(first, 0), min(first + CONFIG.steps, 100))
        assert torch.equal(made[number, inside.start - first : inside.stop - first], mel[inside.start : inside.stop])
        assert (made[number, : inside.start - first] == SILENCE).all()
        assert (made[number, inside.stop - first :] == SILENCE).all()
    assert (made.untyped_storage().nbytes() < made.nbytes / 3) == (fps == 25.0)


def test_long_sound_is_taken_in_pieces():
    stages = []
    encode_speech(Audio(torch.zeros(1, 8000 * 95), 8000), 25, CONFIG, stages.append)
    assert [(p.stage, p.done, p.total) for p in stages] == [("speech", done, 4) for done in (1, 2, 3, 4)]


@pytest.mark.parametrize("fps", [0, -25, float("nan")])
def test_impossible_frame_rates_are_refused(fps):
    with pytest.raises(SettingsError, match="frame rate"):
        encode_speech(Audio(torch.zeros(1, 16000), 16000), fps, CONFIG)


def test_band_levels_are_those_of_the_speech_and_not_of_the_pauses(speech_sound):
    features = encode_speech(speech_sound, 25, CONFIG).features
    silent = torch.full((500, CONFIG.steps, CONFIG.dim), SILENCE)
    usual = torch.zeros(CONFIG.dim)
    levels = band_levels(features, usual)
    assert torch.allclose(band_levels(torch.cat((silent, features, silent)), usual), levels, atol=1e-5)
    assert torch.allclose(band_levels(silent, usual + 0.3), usual + 0.3)
    assert torch.allclose(band_levels(features[None].repeat(2, 1, 1, 1), usual), levels.expand(2, -1))


def test_a_recording_is_balanced_back_to_another(speech_sound):
    features = encode_speech(speech_sound, 25, CONFIG).features
    change = torch.linspace(0.3, -0.3, CONFIG.dim)
    dark = balance(features, change)
    usual = band_levels(features, torch.zeros(CONFIG.dim))
    again = balance(dark, usual - band_levels(dark, usual))
    loud = features.amax(2, keepdim=True) > 0.5  # away from the floor
    assert ((again - features).abs() * loud).mean() < 0.5 * ((dark - features).abs() * loud).mean()
    silent = torch.full((3, CONFIG.steps, CONFIG.dim), SILENCE)
    assert torch.allclose(balance(silent, change), silent, atol=1e-5)


def test_figures_of_a_long_speech_need_no_copies_of_its_spectrogram():
    mel = torch.rand(40_000, CONFIG.dim, generator=torch.Generator().manual_seed(0))
    features = patches(mel, 9_990, 25.0, CONFIG)
    for figure, given in ((level_gain, mel), (spoken_loudness, features)):
        with Ledger(device="cpu") as ledger:
            figure(given)
        assert ledger.peak < 2 * mel.nbytes  # with the one that is given
