import math

import pytest
import torch

from portraittalk.motion.life import add_life
from portraittalk.motion.track import TENSORS, MotionTrack

MINUTE = 1500  # frames at 25 a second


def still(frames: int = MINUTE, fps: float = 25.0) -> MotionTrack:
    return MotionTrack.of_expression(torch.zeros(frames, 52), fps)


@pytest.fixture(scope="module")
def minute() -> MotionTrack:
    return add_life(still(), seed=1, energy=torch.full((MINUTE,), 0.5))


def test_a_longer_track_begins_as_a_shorter_one(minute):
    short = add_life(still(331), seed=1, energy=torch.full((331,), 0.5))
    for name in TENSORS:
        assert torch.equal(getattr(short, name), getattr(minute, name)[:331]), name


def test_the_seed_decides(minute):
    again = add_life(still(), seed=1, energy=torch.full((MINUTE,), 0.5))
    other = add_life(still(), seed=2, energy=torch.full((MINUTE,), 0.5))
    assert torch.equal(again.rotation, minute.rotation)
    assert not torch.allclose(other.rotation, minute.rotation, atol=1e-3)


@pytest.mark.parametrize("fps", [24.0, 25.0, 60.0])
def test_blinks_are_as_many_and_as_long_as_people_s(fps):
    frames = round(300 * fps)
    blink = add_life(still(frames, fps), seed=3).blink
    assert blink.min() >= 0 and blink.max() <= 1
    starts = ((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).nonzero()[:, 0]
    assert 13 <= len(starts) / 5 <= 21
    assert starts.diff().min() / fps > 1.1
    assert 0.08 < (blink > 0.5).sum() / fps / len(starts) < 0.3


def test_lids_fall_faster_than_they_rise(minute):
    speed = minute.blink.diff()
    assert speed.max() > 1.3 * -speed.min()


def test_the_head_starts_at_rest_moves_smoothly_and_little(minute):
    degrees = minute.rotation.rad2deg()
    assert not degrees[0].any()
    assert degrees.std(0).min() > 0.5 and degrees.abs().max() < 10
    assert degrees.diff(dim=0).abs().max() < 0.6
    assert minute.translation.abs().max() < 0.15


def test_no_head_motion_is_a_perfectly_still_head():
    track = add_life(still(), seed=1, head_motion=0, energy=torch.ones(MINUTE))
    assert not track.rotation.any() and not track.translation.any()
    assert track.blink.any() and track.gaze.any()


def test_the_head_follows_the_voice():
    silent, loud = (add_life(still(), seed=1, energy=torch.full((MINUTE,), e)).rotation.std() for e in (0.0, 1.0))
    assert loud > 2 * silent


def test_the_eyes_stay_near_the_viewer(minute):
    seen = minute.gaze + minute.rotation[:, [1, 0]]
    assert seen.std(0).max() < math.radians(4)
