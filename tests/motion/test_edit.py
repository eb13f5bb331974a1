"""Parts of several tracks in one, and short tracks made longer."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.errors import MotionError
from portraittalk.motion.edit import JOIN_SECONDS, combine, extend
from portraittalk.motion.track import TENSORS, MotionTrack

FPS = 25.0
JAW, BROW, BLINK = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["browInnerUp"], ARKIT_INDEX["eyeBlinkLeft"]


def wave(frames: int, height: float = 1.0, fps: float = FPS) -> MotionTrack:
    """A track in which everything moves in the same smooth wave."""
    value = height * (0.5 + 0.5 * torch.sin(torch.arange(frames) / fps * 4))
    track = MotionTrack.of_expression(value[:, None].repeat(1, len(ARKIT_NAMES)), fps)
    return replace(
        track,
        rotation=value[:, None].repeat(1, 3),
        translation=value[:, None].repeat(1, 3),
        gaze=value[:, None].repeat(1, 2),
        blink=value,
        tongue=value,
    )


def test_each_part_comes_from_its_track():
    mouth, head, eyes = wave(50, 1.0), wave(50, 0.5), wave(50, 0.25)
    result = combine(mouth, head, eyes)
    assert torch.equal(result.expression[:, JAW], mouth.expression[:, JAW]) and result.tongue is mouth.tongue
    assert torch.equal(result.rotation, head.rotation) and torch.equal(result.translation, head.translation)
    assert torch.equal(result.expression[:, BROW], eyes.expression[:, BROW])
    assert torch.equal(result.gaze, eyes.gaze) and torch.equal(result.blink, eyes.blink)
    assert torch.equal(combine(mouth).expression, mouth.expression)
    assert torch.equal(combine(mouth, head).gaze, mouth.gaze)


def test_parts_of_other_rates_and_lengths_fit():
    mouth = wave(60)
    result = combine(mouth, wave(30, 0.5, 50.0), wave(300, 0.25, 60.0))
    assert len(result) == 60 and result.fps == FPS
    assert torch.equal(result.rotation[20:], result.rotation[-1:].expand(40, 3))


def test_a_long_track_stays_as_it_is():
    track = wave(40)
    for how in ("hold", "loop", "fade"):
        assert extend(track, 30, how) is track


def test_a_held_track_ends_with_open_eyes():
    track = wave(20)
    held = extend(track, 50, "hold")
    assert len(held) == 50 and torch.equal(held[:20].expression, track.expression)
    assert torch.equal(held.rotation[20:], track.rotation[-1:].expand(30, 3))
    assert not held.blink[20:].any() and not held.expression[20:, BLINK].any()
    assert held.expression[-1, JAW] == track.expression[-1, JAW]


def test_a_faded_track_returns_to_the_portrait():
    track = wave(20)
    faded = extend(track, 60, "fade")
    assert torch.equal(faded[:20].expression, track.expression)
    for name in TENSORS:
        assert not getattr(faded, name)[40:].any()
    steps = faded.rotation.diff(dim=0).abs().amax()
    assert steps < 3 * track.rotation.diff(dim=0).abs().amax()


@pytest.mark.parametrize("frames", [31, 90, 400])
def test_a_loop_has_no_jump(frames):
    track = wave(30)
    looped = extend(track, frames, "loop")
    assert len(looped) == frames and torch.equal(looped[:10].rotation, track[:10].rotation)
    largest = track.rotation.diff(dim=0).abs().amax() + track.rotation.amax() / (JOIN_SECONDS * FPS) * 2
    assert looped.rotation.diff(dim=0).abs().amax() < largest
    period = 30 - round(JOIN_SECONDS * FPS)
    assert frames < 60 or torch.equal(looped.rotation[20:30], looped.rotation[20 + period : 30 + period])


def test_very_short_tracks_loop_too():
    for frames in (1, 2, 3):
        assert len(extend(wave(frames), 10, "loop")) == 10


def test_another_word_is_refused():
    with pytest.raises(MotionError, match="hold, loop or fade, not stop"):
        extend(wave(5), 10, "stop")
