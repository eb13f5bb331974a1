"""Motion in the manner that a prompt asks for: tempo, amplitude, gestures; none changes nothing."""

import math
from dataclasses import replace

import pytest
import torch
from made_up_speech import BROWS, SECONDS, speech, still

from portraittalk.arkit import ARKIT_INDEX, MANNER_NAMES
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import EYES_OPEN
from portraittalk.motion.life import add_life
from portraittalk.motion.manner import OCTAVES, Manner, gesture
from portraittalk.motion.prompted import scaled, with_style
from portraittalk.motion.track import TENSORS, MotionTrack
from portraittalk.text.plain_rules import expression_of
from portraittalk.types import Style

BASIS = load_basis()
NOTHING = torch.zeros(57)


def asking(**changes: float) -> Style:
    manner = torch.tensor([changes.get(name, 0.0) for name in MANNER_NAMES])
    return Style("words", expression=NOTHING, manner=manner)


def same(first: MotionTrack, second: MotionTrack) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in TENSORS)


def performed(manner: Manner) -> MotionTrack:
    return add_life(still(), speech(), seed=1, manner=manner)


def test_no_manner_changes_nothing():
    unprompted = add_life(still(), speech(), seed=1)
    assert same(performed(Manner()), unprompted)
    assert Manner.of(None) == Manner.of(Style("a smile")) == Manner.of(asking(tempo=-1, nod=0.1), 0.0) == Manner()
    assert same(performed(Manner.of(asking())), unprompted)


def test_factors_are_limited():
    wild = Manner.of(asking(tempo=9, head=9, blinks=-9, rest=1, nod=-1, shake=9), 3.0)
    assert wild.tempo == 2**OCTAVES and wild.blinks == 0 and wild.rest == 1 and wild.nod == 0
    assert 1 < wild.head < 4 and 0 < wild.shake < math.radians(20)


def test_amplitudes_scale_what_they_name():
    usual, small = performed(Manner()), performed(Manner(head=0.5, brows=0.0, gaze=0.0))
    assert 0.45 < small.rotation.std() / usual.rotation.std() < 0.6
    assert not small.expression[:, BROWS].any() and usual.expression[:, BROWS].any()
    assert (small.gaze + 0.8 * small.rotation[:, [1, 0]]).abs().max() < 1e-6  # only the head's motion is followed


def speed(track: MotionTrack) -> float:
    """Median angular speed relative to the spread of the angles, per second."""
    return float(25 * track.rotation.diff(dim=0).norm(dim=1).median() / track.rotation.std())


def test_a_slower_tempo_moves_more_slowly_but_not_less():
    slow, usual, fast = (performed(Manner(tempo=tempo)) for tempo in (0.6, 1.0, 1.6))
    assert speed(slow) < 0.85 * speed(usual) and speed(fast) > 1.15 * speed(usual)
    assert 0.6 < slow.rotation.std() / usual.rotation.std() < 1.6
    assert slow.rotation.abs().amax() < math.radians(14)


@pytest.mark.parametrize("tempo", [0.5, 1.4, 2.0])
def test_at_any_tempo_a_longer_speech_begins_like_a_shorter_one_and_eyes_end_open(tempo):
    manner = Manner(tempo=tempo, blinks=2.0)
    long, short = performed(manner), add_life(still(25 * 30), speech(30), seed=1, manner=manner)
    for name in TENSORS:
        torch.testing.assert_close(getattr(short, name)[: 25 * 26], getattr(long, name)[: 25 * 26], atol=1e-5, rtol=0)
    for seed in range(10):
        track = add_life(still(63), speech(2.52), seed, blinks_per_minute=60, manner=manner)
        assert track.blink[-1] < 0.05 and not track.rotation[0].any()


def test_blinks_follow_their_rate():
    def count(manner: Manner) -> int:
        blink = performed(manner).blink
        return int(((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum())

    assert count(Manner(blinks=0)) == 0 and count(Manner(blinks=2.5)) > 1.6 * count(Manner())


def test_nodding_is_added_to_any_track_and_never_the_same():
    times = torch.arange(25 * SECONDS) / 25
    nods = gesture(times, Manner(nod=0.1))
    assert not nods[:, 1:].any() and not nods[0].any() and 0.09 < nods.abs().max() <= 0.1
    pitch = nods[:, 0]
    peaks = ((pitch[1:-1] > pitch[:-2]) & (pitch[1:-1] >= pitch[2:]) & (pitch[1:-1] > 0)).nonzero()[:, 0]
    assert 1.0 < len(peaks) / SECONDS < 1.5
    heights = pitch[peaks + 1]
    assert heights.std() > 0.1 * heights.mean()
    slow = gesture(times, Manner(nod=0.1, tempo=0.5))[:, 0]
    assert slow.diff().abs().mean() < 0.6 * pitch.diff().abs().mean()
    track = with_style(still(), asking(nod=0.1), 1.0, BASIS)
    assert track.rotation[:, 0].std() > 0.04 and not track.rotation[0].any() and not track.rotation[:, 1:].any()
    assert same(with_style(still(), asking(nod=0.1), 0.0, BASIS), still())


def test_lips_that_should_meet_meet_in_silence():
    track = still(50)
    resting = replace(track, rest=torch.ones(50))
    closed = with_style(resting, asking(rest=-1), 1.0, BASIS)
    assert closed.rest[0] == 1 and not closed.rest[20:].any()


def test_a_text_scale_of_one_half_closes_the_lids_half_way():
    expression = NOTHING.clone()
    index = ARKIT_INDEX["eyeBlinkLeft"]
    expression[index], expression[0] = 0.61, 0.8
    half = scaled(expression, 0.5)
    assert half[index] == pytest.approx(EYES_OPEN + (0.61 - EYES_OPEN) / 2) and half[0] == pytest.approx(0.4)


def lips(track: MotionTrack) -> torch.Tensor:
    return BASIS.asked_aperture(track.expression)


def test_lips_that_are_asked_to_be_apart_still_meet_where_speech_brings_them_together():
    """Half a second of speech with one m in it, then a second of silence."""
    track = still()
    jaw = torch.zeros(len(track))
    jaw[:13] = 0.3
    jaw[6:8] = 0
    track.expression[:, ARKIT_INDEX["jawOpen"]] = jaw
    toothy = Style("toothy", expression=expression_of({"mouthUpperUp_": 0.4, "mouthLowerDown_": 0.15}))
    late = round(0.6 * track.fps)  # what is asked for has faded in
    track = track.each(lambda values: values.roll(late, 0))
    spoken, asked = lips(track), lips(with_style(track, toothy, 1.0, BASIS))
    meets = slice(late + 6, late + 8)
    assert spoken[meets].max() == 0 and asked[meets].max() < 0.01
    assert asked[late + 30 :].max() > 0.05  # in silence, teeth are shown
    wide = slice(late + 2, late + 5)
    added = asked[-1] + BASIS.rest  # by the prompt alone
    assert (asked[wide] > spoken[wide] + 0.02).all() and (asked[wide] < spoken[wide] + 0.7 * added).all()
