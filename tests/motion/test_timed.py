"""A prompt that changes over time moves each part of the video, with smooth transitions."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES, EXPRESSION_NAMES
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.prompted import with_style
from portraittalk.motion.timed import TRANSITION, over_time, window
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Style, StylePart

BASIS = load_basis()
FPS = 25.0


def asked(value: float, start: float, end: float | None) -> StylePart:
    expression = torch.zeros(len(EXPRESSION_NAMES))
    expression[0] = value
    return StylePart(start, end, Style(f"part {value}", expression=expression))


def still(frames: int = 150) -> MotionTrack:
    return MotionTrack.of_expression(torch.zeros(frames, len(ARKIT_NAMES)), FPS)


def constant(style: Style) -> MotionTrack:
    value = 0.0 if style.expression is None else float(style.expression[0])
    return still().each(lambda values: values + value)


def test_windows_of_parts_that_follow_each_other_add_up_to_one():
    times = torch.arange(0, 10, 0.04)
    windows = [window(times, 0, 2.5), window(times, 2.5, 6), window(times, 6, None)]
    assert torch.allclose(torch.stack(windows).sum(0), torch.ones(len(times)), atol=1e-6)
    assert windows[0][0] == 1 and windows[2][-1] == 1


def test_each_part_has_its_time():
    style = Style("times", parts=(asked(0.4, 0, 2), asked(0.8, 2, 4)))
    value = over_time(constant, style).expression[:, 0]
    at = {seconds: float(value[round(seconds * FPS)]) for seconds in (0, 1, 2, 3, 5)}
    assert at == pytest.approx({0: 0.4, 1: 0.4, 2: 0.6, 3: 0.8, 5: 0}, abs=0.04)
    assert value.diff().abs().max() < 0.8 * 2 / (TRANSITION * FPS)


def test_a_gap_is_without_a_prompt():
    value = over_time(constant, Style("times", parts=(asked(0.4, 0, 1), asked(0.8, 4, None)))).expression[:, 0]
    assert value[round(2.5 * FPS)] == 0 and value[-1] == pytest.approx(0.8)


def test_a_motion_takes_timed_expressions_once():
    style = Style("times", parts=(asked(0.4, 0, 2), asked(0.8, 2, None)))
    track = with_style(still(), style, 1.0, BASIS)
    assert track.prompt == "times" and with_style(track, style, 1.0, BASIS) is track
    whole = with_style(still(), replace(style.parts[1].style, prompt="one"), 1.0, BASIS)
    assert torch.allclose(track.expression[75:], whole.expression[75:], atol=1e-6)
    assert with_style(still(), style, 0.0, BASIS).expression.any().item() is False
