"""People who listen look at who speaks, and nod; people who speak do not."""

import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.motion.listening import NOD_DELAY, NOD_SECONDS, Other, listen
from portraittalk.motion.track import MotionTrack

FPS, SECONDS = 25.0, 12.0
PHRASE = ((1.0, 3.0),)


def still(seconds: float = SECONDS) -> MotionTrack:
    return MotionTrack.of_expression(torch.zeros(round(seconds * FPS), len(ARKIT_NAMES)), FPS)


def at(track: MotionTrack, seconds: float) -> int:
    return round(seconds * track.fps)


def test_a_listener_looks_at_the_speaker_on_either_side():
    for right in (5.0, -5.0):
        track = listen(still(), (), [Other(PHRASE, right, 0.0)], seed=1)
        yaw, gaze = track.rotation[:, 1], track.gaze[:, 0]
        for turn in (yaw, gaze):
            assert (turn[at(track, 2)] * right) > 0.1 * abs(right)
            assert turn[at(track, 6)].abs() < 1e-3 and turn[-1].abs() < 1e-3
        assert yaw.abs().max() < 0.25 and gaze.abs().max() < 0.3


def test_somebody_lower_is_looked_down_at():
    track = listen(still(), (), [Other(PHRASE, 0.0, 3.0)], seed=1)
    assert track.rotation[at(track, 2), 0] > 0.05 and track.gaze[at(track, 2), 1] > 0.05


def test_who_speaks_looks_at_the_camera():
    track = listen(still(), PHRASE, [Other(PHRASE, 5.0, 0.0)], seed=1)
    assert track.rotation[at(track, 2)].abs().max() < 0.01 and track.gaze[at(track, 2)].abs().max() < 0.01


def test_nods_follow_the_ends_of_long_phrases_and_end_at_rest():
    ends = [2.0 * number + 1.5 for number in range(40)]
    phrases = tuple((end - 1.3, end) for end in ends)
    track = listen(still(90.0), (), [Other(phrases, 0.0, 0.0)], seed=3)
    pitch = track.rotation[:, 0]
    nodded = [pitch[at(track, end + NOD_DELAY) : at(track, end + NOD_DELAY + NOD_SECONDS)].max() > 0.02 for end in ends]
    assert 12 < sum(nodded) < 34
    for end in ends:
        assert pitch[at(track, end - 0.2)].abs() < 1e-3
    short = listen(still(90.0), (), [Other(tuple((end - 0.5, end) for end in ends), 0.0, 0.0)], seed=3)
    assert not short.rotation.any()


def test_the_seed_decides_and_a_longer_conversation_begins_as_a_shorter_one():
    phrases = ((1.0, 3.0), (4.0, 5.5), (6.5, 8.0))
    others = [Other(phrases, 4.0, 0.0)]
    long, again, short = (listen(still(s), (), others, seed=5) for s in (12.0, 12.0, 10.0))
    assert torch.equal(long.rotation, again.rotation)
    assert torch.allclose(long.rotation[: len(short) - 30], short.rotation[:-30], atol=1e-6)
    assert not torch.equal(long.rotation, listen(still(), (), others, seed=6).rotation)


def test_without_liveliness_a_listener_is_still():
    track = listen(still(), (), [Other(PHRASE, 5.0, 1.0)], seed=1, liveliness=0.0)
    assert not track.rotation.any() and not track.gaze.any()
