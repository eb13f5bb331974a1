"""What the shipped motion network does: speech opens the lips, and nothing else does."""

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.media.audio import Audio, read_audio
from portraittalk.metrics.lips import correlation
from portraittalk.motion.geometry import asked_aperture
from portraittalk.motion.speech_to_motion import speech_to_motion
from portraittalk.motion.track import MotionTrack
from portraittalk.motion.transform import resample
from portraittalk.pipelines.load import load_model
from portraittalk.pipelines.window import WindowPipeline
from portraittalk.speech.features import encode_speech

CLOSED = 0.03  # of an eye distance: less than a millimetre and a half; wide-open vowels reach 0.2


@pytest.fixture(scope="module")
def model() -> WindowPipeline:
    return load_model()


@pytest.fixture(scope="module")
def demo(repository) -> Audio:
    return read_audio(repository / "portraittalk/assets/demo/speech.wav")


TONGUE_OUT = ARKIT_INDEX["tongueOut"]


def spoken(model: WindowPipeline, audio: Audio, fps: float = 25) -> MotionTrack:
    return speech_to_motion(model.motion_net, encode_speech(audio, fps, model.config.speech))


def aperture(model: WindowPipeline, audio: Audio) -> torch.Tensor:
    return asked_aperture(spoken(model, audio), model.basis)


def test_silence_is_a_closed_still_mouth_in_a_living_face(model):
    track = spoken(model, Audio(torch.zeros(1, 16000 * 8), 16000))
    opened = asked_aperture(track, model.basis)
    assert opened.max() < 0.01
    assert opened[3:-3].diff().abs().max() < 0.001
    assert not track.tongue.any() and not track.expression[:, TONGUE_OUT].any()
    assert track.blink.max() > 0.9
    assert track.rotation.std(0).min() > 0


@pytest.mark.parametrize("level", [-60, -45, -30])
def test_noise_leaves_the_mouth_closed(model, level):
    hiss = 10 ** (level / 20) * torch.randn(1, 16000 * 4, generator=torch.Generator().manual_seed(0))
    track = spoken(model, Audio(hiss, 16000))
    assert asked_aperture(track, model.basis).max() < CLOSED
    assert not track.tongue.any()


def test_a_chord_leaves_the_mouth_closed(model):
    time = torch.arange(16000 * 4) / 16000
    chord = sum(torch.sin(2 * torch.pi * hz * time) / hz for hz in (220.0, 440.0, 554.4, 659.3, 880.0))
    assert aperture(model, Audio(20 * chord[None], 16000)).mean() < CLOSED


def test_speech_opens_and_closes_the_lips(model, demo):
    opened = aperture(model, demo)
    assert opened[:5].max() < CLOSED  # before the first word
    assert opened.max() > 0.1
    assert opened.std() > 0.02
    closings = ((opened[1:-1] <= opened[:-2]) & (opened[1:-1] < opened[2:])).sum() / 6.7
    assert 1.5 < closings < 7  # a second: about as many as there are syllables


def test_speech_moves_the_tongue_and_pauses_do_not(model, demo):
    track = spoken(model, demo)
    assert not track.tongue[:5].any()  # before the first word
    raised = track.tongue > 0.5
    assert 0.1 < raised.float().mean() < 0.4
    rises = (raised[1:] & ~raised[:-1]).sum() / (len(track) / track.fps)
    assert 1.5 < rises < 4.5  # a second; about two l, n, d and t are spoken
    assert track.tongue.diff().abs().max() <= 0.501
    assert 0.3 < track.expression[:, TONGUE_OUT].max() <= 0.4


def test_the_tongue_moves_at_the_same_times_at_any_frame_rate(model, demo):
    usual = spoken(model, demo)
    for fps in (30, 60):
        other = resample(spoken(model, demo, fps), 25)
        assert abs(len(other) - len(usual)) <= 1
        assert correlation(other.tongue[:167], usual.tongue[:167]) > 0.95
