from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.errors import MotionError
from portraittalk.motion.track import MotionTrack
from portraittalk.motion.transform import blend, resample, scale, smooth

JAW = ARKIT_INDEX["jawOpen"]


def track_of(jaw: torch.Tensor, fps: float = 25.0) -> MotionTrack:
    expression = torch.zeros(len(jaw), 52)
    expression[:, JAW] = jaw
    return MotionTrack.of_expression(expression, fps)


def test_smoothing_keeps_what_is_constant_and_does_not_delay():
    constant = track_of(torch.full((40,), 0.3))
    assert torch.allclose(smooth(constant, 0.1).expression, constant.expression, atol=1e-6)
    peak = torch.zeros(41)
    peak[20] = 1
    smoothed = smooth(track_of(peak), 0.08).expression[:, JAW]
    assert smoothed.argmax() == 20
    assert torch.allclose(smoothed, smoothed.flip(0), atol=1e-6)
    assert smoothed.sum() == pytest.approx(1, abs=1e-4)


def test_smoothing_spares_blinks_and_tongues():
    track = replace(track_of(torch.zeros(9)), blink=torch.eye(9)[4], tongue=torch.eye(9)[3])
    assert smooth(track, 0.2).blink[4] == 1 and smooth(track, 0.2).tongue[3] == 1
    assert smooth(track, 0.0) is track


def test_scaling_to_nothing_leaves_a_still_head():
    moving = {
        "rotation": torch.rand(5, 3),
        "translation": torch.rand(5, 3),
        "tongue": torch.rand(5),
        "relaxed": torch.rand(5),
    }
    track = replace(track_of(torch.rand(5)), **moving)
    still = scale(track, expression=0, head=0)
    assert not still.expression.any() and not still.rotation.any() and not still.translation.any()
    assert not still.tongue.any() and not still.relaxed.any()
    large = scale(track, expression=100)
    assert large.expression.max() <= 1 and large.tongue.max() <= 1 and large.relaxed.max() <= 1


def test_blending_runs_from_one_track_to_the_other():
    first, second = track_of(torch.zeros(3)), replace(track_of(torch.ones(3)), tongue=torch.ones(3))
    blended = blend(first, second, torch.tensor([0, 0.25, 1]))
    assert blended.expression[:, JAW].tolist() == blended.tongue.tolist() == [0, 0.25, 1]
    with pytest.raises(MotionError, match="cannot be blended"):
        blend(first, second[:2], 0.5)


@pytest.mark.parametrize("fps", [12.5, 24.0, 30.0, 60.0])
def test_resampling_keeps_the_time(fps):
    rising = (torch.arange(50) + 0.5) / 50
    resampled = resample(replace(track_of(rising), tongue=rising), fps)
    assert len(resampled) == round(50 * fps / 25)
    inside = ((torch.arange(len(resampled)) + 0.5) / len(resampled))[2:-2]
    for values in (resampled.expression[:, JAW], resampled.tongue):
        assert torch.allclose(values[2:-2], inside, atol=1e-3)


def test_a_rate_of_zero_is_refused():
    for fps in (0, -25.0, float("nan"), 1e-6, 1e9, "25", None):
        with pytest.raises(MotionError, match=r"number between 0\.1 and 1000"):
            resample(track_of(torch.zeros(3)), fps)
        with pytest.raises(MotionError, match=r"number between 0\.1 and 1000"):
            resample(replace(track_of(torch.zeros(3)), fps=fps), 25.0)


def test_a_track_does_not_grow_beyond_the_most_frames():
    with pytest.raises(MotionError, match="12000000 frames at 120 fps, more than 500000"):
        resample(replace(track_of(torch.zeros(10_000)), fps=0.1), 120.0)
