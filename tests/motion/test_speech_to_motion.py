"""Speech to motion: one frame a frame, the same for the same seed, at any frame rate, and cancelled in time."""

import math

import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.config import MotionNetConfig, PortraitTalkConfig, SpeechConfig
from portraittalk.media.audio import Audio, read_audio
from portraittalk.models.motion_net import MotionNet
from portraittalk.motion.speech_to_motion import (
    PIECE_FRAMES,
    at_frames,
    flaps,
    pauses,
    relaxing,
    resting,
    speech_to_motion,
    spoken_expression,
)
from portraittalk.motion.track import TENSORS
from portraittalk.speech.features import encode_speech


@pytest.fixture(scope="module")
def net() -> MotionNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MotionNet(PortraitTalkConfig(motion_net=MotionNetConfig(width=16, layers=2))).eval()


@pytest.fixture(scope="module")
def demo(repository) -> Audio:
    return read_audio(repository / "portraittalk/assets/demo/speech.wav")


@pytest.mark.parametrize("fps", [12.5, 25, 29.97, 60])
def test_one_frame_for_each_frame_of_the_speech(net, demo, fps):
    speech = encode_speech(demo, fps, SpeechConfig())
    track = speech_to_motion(net, speech)
    assert len(track) == len(speech)
    assert track.fps == fps


MOUTH = [index for index, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth", "tongue"))]


def test_the_seed_decides_the_head_and_not_the_mouth(net, demo):
    speech = encode_speech(demo, 25, SpeechConfig())
    first, again, other = (speech_to_motion(net, speech, seed) for seed in (1, 1, 2))
    for name in TENSORS:
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert torch.equal(first.expression[:, MOUTH], other.expression[:, MOUTH])
    assert torch.equal(first.tongue, other.tongue)
    assert not torch.equal(first.expression, other.expression)  # the brows
    assert not torch.equal(first.rotation, other.rotation)


def test_strengths_scale(net, demo):
    speech = encode_speech(demo, 25, SpeechConfig())
    still = speech_to_motion(net, speech, head_motion=0, expression_strength=0)
    full, half = speech_to_motion(net, speech), speech_to_motion(net, speech, expression_strength=0.5)
    assert not still.expression.any() and not still.rotation.any() and not still.translation.any()
    assert not still.tongue.any()
    assert torch.allclose(half.expression, full.expression / 2)
    assert torch.equal(half.rotation, full.rotation)


def test_long_speech_in_pieces_is_the_speech_at_once(net):
    features = torch.randn(2 * PIECE_FRAMES + 30, 20, 80, generator=torch.Generator().manual_seed(0))
    reports = []
    pieces = spoken_expression(net, features, reports.append)
    for part, whole in zip(pieces, net.expression(features), strict=True):
        assert torch.allclose(part, whole, atol=1e-6)
    assert [report.done for report in reports] == [PIECE_FRAMES, 2 * PIECE_FRAMES, len(features)]


def test_a_smile_goes_within_a_second_and_comes_back_in_a_long_pause():
    speaking = torch.zeros(200, 1)
    speaking[20:100] = 1
    relaxed = relaxing(speaking)[:, 0]
    assert relaxed.shape == (200,) and not relaxed[:21].any()
    assert relaxed[45] > 0.75 and relaxed[99] > 0.99
    assert relaxed[110] > 0.95 and relaxed[140] < 0.25 and relaxed[199] < 0.01
    assert relaxed.diff().abs().max() < 0.05
    speaking[60:70] = 0  # two fifths of a second
    assert torch.equal(relaxing(speaking)[:, 0], relaxed)
    assert torch.allclose(relaxing(speaking[:90]), relaxing(speaking)[:90], atol=1e-6)


def test_liveliness_says_how_far_a_smile_is_given_up(net, demo):
    speech = encode_speech(demo, 25, SpeechConfig())
    still, half, full, lively = (speech_to_motion(net, speech, liveliness=amount).relaxed for amount in (0, 0.5, 1, 2))
    assert not still.any() and torch.allclose(half, full / 2) and torch.equal(lively, full)
    assert full[0] == 0 and full.min() >= 0 and 0.3 < full.max() <= 0.6


def test_a_tongue_reaches_what_is_heard_in_two_frames_and_does_not_flicker():
    heard = torch.zeros(40, 1)
    heard[[5, 15, 17, 28, 31]] = 1
    tongue = flaps(heard)[:, 0]
    assert (tongue[heard[:, 0] == 1] == 1).all()
    assert tongue.diff().abs().max() <= 0.5
    assert tongue[3:8].tolist() == [0, 0.5, 1, 0.5, 0]
    assert tongue[13:20].tolist() == [0, 0.5, 1, 1, 1, 0.5, 0]  # one frame is too short for a fall
    assert tongue[27:33].tolist() == [0.5, 1, 0.5, 0.5, 1, 0.5]
    anything = torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    assert flaps(anything).diff(dim=0).abs().max() <= 0.5 and (flaps(anything) >= anything).all()
    assert torch.equal(flaps(anything[:100])[:90], flaps(anything)[:90])


def test_cancel_passes_through(net):
    class Cancelled(BaseException):
        pass

    def cancel(progress):
        raise Cancelled

    with pytest.raises(Cancelled):
        spoken_expression(net, torch.zeros(3, 20, 80), cancel)


def test_the_portraits_mouth_stays_until_the_first_word_and_lips_meet_in_later_pauses():
    silence = torch.ones(80)
    silence[20:40] = 0
    silence[30] = 1  # a stop, not a pause
    rest = resting(pauses(silence))
    assert (rest[:14] == 1).all()
    assert rest[20:40].max() < 0.2
    assert rest[25:35].max() == 0
    assert rest[50:].max() < 1e-6
    assert rest.diff().abs().max() < 0.4  # it eases into rest and out of it


def test_motion_at_another_rate_is_read_at_the_same_times():
    times = (torch.arange(100) + 0.5) / 25
    curve = torch.sin(2 * math.pi * times)[:, None].repeat(1, 52)
    faster = at_frames(curve, 240, 60)
    expected = torch.sin(2 * math.pi * (torch.arange(240) + 0.5) / 60)
    assert (faster[2:-2, 0] - expected[2:-2]).abs().max() < 0.02
    assert torch.equal(at_frames(curve, 100, 25), curve)
