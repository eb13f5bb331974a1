"""Prompts with times are read into spans, and what cannot be meant is refused."""

import pytest
import torch

from portraittalk.errors import SettingsError
from portraittalk.text.style import read_style
from portraittalk.text.timeline import Span, read_timeline


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a smile", []),
        ("[a smile], (sad:0.5)", []),
        ("[0:2.5] neutral [2.5:] a big smile", [Span(0, 2.5, "neutral"), Span(2.5, None, "a big smile")]),
        (
            "[:2] sad, [ 2 : 4.5 ] happy; [:] angry",
            [Span(0, 2, "sad"), Span(2, 4.5, "happy"), Span(4.5, None, "angry")],
        ),
        ("[0:] sad [3:] (a smile:0.5)", [Span(0, 3, "sad"), Span(3, None, "(a smile:0.5)")]),
        ("[1:2] a smile [3:.5e]", None),
        ("[1:2] a smile [4:5.] sad", [Span(1, 2, "a smile"), Span(4, 5, "sad")]),
        ("[0:1]\nsad\n[1:2]", [Span(0, 1, "sad"), Span(1, 2, "")]),
    ],
)
def test_times_are_read(prompt, spans):
    if spans is None:
        assert read_timeline(prompt) == [Span(1, 2, "a smile [3:.5e]")]
    else:
        assert read_timeline(prompt) == spans


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("happy [1:2] sad", r"'happy' before its first time, \[1:2\]"),
        ("[2:1] sad", r"\[2:1\] ends before it begins"),
        ("[0:3] sad [2:4] happy", r"\[2:4\] begins before the one before it ends"),
        ("[0:] sad [:4] happy", r"\[:4\] has no start, and the one before it no end"),
        ("[3:] sad [1:] happy", r"\[3:\] ends before it begins"),
    ],
)
def test_what_cannot_be_meant_is_refused(prompt, words):
    with pytest.raises(SettingsError, match=words):
        read_timeline(prompt)


def test_a_style_has_a_part_for_each_time(caplog):
    style = read_style("[0:1] sad, oil painting [1:] a big smile, watercolour", "blinking")
    first, second = style.parts
    assert (first.start, first.end, second.start, second.end) == (0, 1, 1, None)
    alone = read_style("a big smile, watercolour", "blinking")
    assert torch.equal(second.style.expression, alone.expression) and style.expression is None
    assert torch.equal(style.look, first.style.look) and "cannot change over time" in caplog.text
    assert style.prompt.startswith("[0:1]") and not read_style("a big smile").parts


def test_times_and_clauses_that_cannot_be_used_are_refused():
    with pytest.raises(SettingsError, match="negative prompt holds times"):
        read_style("[0:1] sad", "[0:1] a smile")
    with pytest.raises(SettingsError, match="'a red car'"):
        read_style("[0:1] sad [1:] a red car")
