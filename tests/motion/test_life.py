"""Head motion, brows, blinks and gaze of a minute of made-up speech: what must hold for every seed."""

import math

import pytest
import torch
from made_up_speech import BROWS, SECONDS, speech, still

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.motion.life import add_life
from portraittalk.motion.track import TENSORS, MotionTrack
from portraittalk.speech.prosody import Prosody


@pytest.fixture(scope="module")
def minute() -> MotionTrack:
    return add_life(still(), speech(), seed=1)


def test_a_longer_speech_begins_like_a_shorter_one(minute):
    short = add_life(still(25 * 30), speech(30), seed=1)
    frames = 25 * 28  # the end of a speech is not its middle: the last phrase is cut, and no blink is begun
    for name in TENSORS:
        torch.testing.assert_close(getattr(short, name)[:frames], getattr(minute, name)[:frames], atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_and_another_seed_another_performance(minute):
    again, other = add_life(still(), speech(), seed=1), add_life(still(), speech(), seed=2)
    assert all(torch.equal(getattr(again, name), getattr(minute, name)) for name in TENSORS)
    for first, second in ((minute.rotation, other.rotation), (minute.expression[:, BROWS], other.expression[:, BROWS])):
        correlations = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(first.T, second.T, strict=True)]
        assert torch.stack(correlations).nan_to_num().abs().max() < 0.6


def test_the_frame_rate_does_not_change_the_performance(minute):
    fast = add_life(still(50 * SECONDS, 50.0), speech(), seed=1)
    for name in TENSORS:
        torch.testing.assert_close(getattr(fast, name)[::2], getattr(minute, name), atol=1e-4, rtol=0)


def test_the_head_moves_like_a_speaker_s(minute):
    degrees = minute.rotation.rad2deg()
    assert not degrees[0].any()
    pitch, yaw, roll = degrees.std(0).tolist()
    assert 1.4 < pitch < 5.5 and 1.4 < yaw < 8 and 0.8 < roll < 7  # the range of nine real speakers
    assert (degrees.abs().amax(0) < torch.tensor((10.0, 14.0, 11.0))).all()
    speed = 25 * degrees.diff(dim=0).norm(dim=1)
    assert 5 < speed.median() < 33
    assert speed.max() < 120  # people nod at up to about 100 degrees a second
    assert minute.translation.abs().max() < 0.25


def test_no_nod_is_repeated_within_ten_seconds(minute):
    """The motion of one second never returns: no other second of the next nine correlates with it almost fully."""
    pitch = minute.rotation[:, 0].rad2deg()
    pieces = pitch.unfold(0, 25, 1)[50:]  # (N, 25)
    moving = pieces.std(1) > 0.8
    centred = torch.nn.functional.normalize(pieces - pieces.mean(1, keepdim=True), dim=1)
    for start in range(0, 500, 25):
        if moving[start]:
            later = slice(start + 25, start + 250)
            same = (centred[later] @ centred[start] > 0.995) & ((pieces[later] - pieces[start]).abs().amax(1) < 0.3)
            assert not same.any()


def test_liveliness_scales_head_and_brows_and_0_is_still():
    spreads = []
    for liveliness in (0.0, 1.0, 2.0):
        track = add_life(still(), speech(), seed=3, liveliness=liveliness)
        spreads.append((track.rotation.std().item(), track.expression[:, BROWS].std().item()))
        assert track.blink.any()
    assert spreads[0] == (0, 0)
    assert spreads[2][0] > 1.4 * spreads[1][0] > 0 and spreads[2][1] > 1.4 * spreads[1][1] > 0


def test_no_head_motion_is_a_perfectly_still_head_with_a_living_face():
    track = add_life(still(), speech(), seed=1, head_motion=0)
    assert not track.rotation.any() and not track.translation.any()
    assert track.blink.any() and track.gaze.any() and track.expression.any()


def test_the_head_moves_less_in_silence():
    silent = Prosody(SECONDS, (), (), torch.zeros(25 * SECONDS))
    quiet, spoken = (add_life(still(), one, seed=1).rotation.diff(dim=0).norm(dim=1) for one in (silent, speech()))
    assert spoken.median() > 2 * quiet.median() > 0


def test_brows_rise_on_accents():
    talking = speech()
    raised = add_life(still(), talking, seed=4).expression[:, ARKIT_INDEX["browInnerUp"]]
    at = torch.tensor([round(25 * time) for time, _ in talking.accents])
    between = torch.tensor([round(25 * (end + 0.35)) for _, end in talking.phrases if end < SECONDS - 1])
    assert raised[at].mean() > 2 * raised[between].mean()


@pytest.mark.parametrize("fps", [24.0, 25.0, 60.0])
def test_blinks_are_as_many_and_as_long_as_people_s(fps):
    blink = add_life(still(round(300 * fps), fps), speech(300), seed=3).blink
    assert blink.min() >= 0 and blink.max() <= 1
    starts = ((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).nonzero()[:, 0]
    assert 12 <= len(starts) / 5 <= 22
    assert starts.diff().min() / fps > 0.8
    assert 0.08 < (blink > 0.5).sum() / fps / len(starts) < 0.3
    speed = blink.diff()
    assert speed.max() > 1.3 * -speed.min()  # the lids close faster than they open


def test_blinks_cluster_at_the_ends_of_phrases():
    talking = speech(600)
    blink = add_life(still(25 * 600), talking, seed=5).blink
    starts = ((blink[1:] > 0.02) & (blink[:-1] <= 0.02)).nonzero()[:, 0] / 25
    ends = torch.tensor([end for _, end in talking.phrases])
    near = ((starts[:, None] - ends).abs() < 0.2).any(1).float().mean()
    assert near > 3 * 0.4 / 5  # 0.4 s of every 5 s are near an end


def test_the_rate_of_blinks_can_be_set():
    counts = []
    for rate in (0.0, 8.0, 30.0):
        blink = add_life(still(25 * 600), speech(600), seed=6, blinks_per_minute=rate).blink
        counts.append(((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum().item() / 10)
    assert counts[0] == 0
    assert counts[1] == pytest.approx(8, rel=0.3) and counts[2] == pytest.approx(30, rel=0.3)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.52, 7.0])
def test_the_eyes_are_open_at_the_end(seconds):
    for seed in range(30):
        track = add_life(still(round(25 * seconds)), speech(seconds), seed, blinks_per_minute=60)
        assert track.blink[-1] < 0.05


def test_the_eyes_stay_near_the_viewer(minute):
    seen = minute.gaze + minute.rotation[:, [1, 0]]
    assert seen.std(0).max() < math.radians(5)


def test_nothing_drifts_in_ten_minutes():
    track = add_life(still(25 * 600), speech(600), seed=7)
    for values in (track.rotation.rad2deg(), 57 * track.translation, track.gaze.rad2deg()):
        first, last = values[: 25 * 120].mean(0), values[-25 * 120 :].mean(0)
        assert (last - first).abs().max() < 2
