"""Weights of prompts in every habit: read as their writers mean them, or named."""

import pytest

from portraittalk.errors import SettingsError
from portraittalk.text.emphasis import weighted_spans
from portraittalk.text.prompt import clauses


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("(oil painting:.5)", [("oil painting", 0.5)]),
        ("(oil painting:+0.5)", [("oil painting", 0.5)]),
        ("(oil painting: 0.5 )", [("oil painting", 0.5)]),
        ("(oil painting:1.)", [("oil painting", 1.0)]),
        ("(oil painting:1,2)", [("oil painting", 1.2)]),
        ("(sad:-1)", [("sad", -1.0)]),
        ("(sad:−1)", [("sad", -1.0)]),
        ("(smile)", [("smile", 1.1)]),
        ("((smile))", [("smile", 1.21)]),
        ("[smile]", [("smile", 1 / 1.1)]),
        ("[[smile]]", [("smile", 1 / 1.21)]),
        ("[(smile)]", [("smile", 1.0)]),
        ("a smile，sad；calm、tired،bored", [(word, 1.0) for word in ("a smile", "sad", "calm", "tired", "bored")]),
        ("（oil painting：０．５），［sad］", [("oil painting", 0.5), ("sad", 1 / 1.1)]),
        (r"(a \(wide\) smile:0.5)", [("a (wide) smile", 0.5)]),
        (r"\(smile\), \[sad\]", [("(smile)", 1.0), ("[sad]", 1.0)]),
        (r"(smile\:0.5)", [("smile:0.5", 1.1)]),
        ("((smile:1.5))", [("smile", 1.5)]),
        ("((smile):1.5)", [("smile", 1.65)]),
        ("(sad (smile:1.5) calm:0.5)", [("sad", 0.5), ("smile", 1.5), ("calm", 0.5)]),
        ("(sad, (smile), calm:0.5)", [("sad", 0.5), ("smile", 0.55), ("calm", 0.5)]),
        ("surprised (smile:0.5) sad", [("surprised", 1.0), ("smile", 0.5), ("sad", 1.0)]),
        ("(surprised:0.5)(smile:1.2)", [("surprised", 0.5), ("smile", 1.2)]),
        ("(abc) def, x", [("abc def", 1.05), ("x", 1.0)]),
        ("(a note: gentle)", [("a note: gentle", 1.1)]),
        ("the clock at 12:30, sad", [("the clock at 12:30", 1.0), ("sad", 1.0)]),
        ("(), [], (:0.5), ;\n", []),
    ],
)
def test_weights_are_read_as_they_are_meant(prompt, expected, caplog):
    read = clauses(prompt)
    assert [text for text, _ in read] == [text for text, _ in expected]
    assert [weight for _, weight in read] == pytest.approx([weight for _, weight in expected])
    assert not caplog.text


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("(oil painting:)", "'' after 'oil painting'"),
        ("(oil painting:50%)", "'50%' after 'oil painting'"),
        ("(oil painting:0.5.5)", "'0.5.5' after"),
        ("(oil painting:1/2)", "'1/2' after"),
        ("(oil painting:--1)", "'--1' after"),
        ("(smile), a (very (sad):1e3)", "'1e3' after"),
        ("oil painting:0.5", "'oil painting:0.5' needs brackets"),
        ("a smile, oil painting :: 1,2", "'oil painting :: 1,2' needs brackets"),
        ("(oil painting:0.5, a smile", "'oil painting:0.5' needs brackets"),
        ("[oil painting:0.5]", "'[oil painting:0.5]' is not understood"),
        ("[smile:sad:0.5]", "'[smile:sad:0.5]' is not understood"),
        ("[smile|sad]", "'[smile|sad]' is not understood"),
    ],
)
def test_what_cannot_be_read_is_named(prompt, named):
    with pytest.raises(SettingsError) as refused:
        clauses(prompt)
    sentence = str(refused.value)
    assert named in sentence and "\n" not in sentence


@pytest.mark.parametrize("prompt", ["a smile :)", "(smile", "[smile", "smile]", "((smile)", "(smile]"])
def test_a_bracket_without_its_counterpart_is_text_and_said(prompt, caplog):
    text = "".join(span.text for span in weighted_spans(prompt))
    assert "smile" in text and any(bracket in text for bracket in "()[]")
    assert "without its counterpart" in caplog.text


def test_weights_beyond_the_largest_are_limited_and_said(caplog):
    assert clauses("(sad:99), (calm:-9)") == [("sad", 4.0), ("calm", -4.0)]
    assert "weight 99 of 'sad' is limited to 4" in caplog.text and "weight -9 of 'calm'" in caplog.text


def test_deep_brackets_take_no_time():
    deep = 3000
    assert clauses("(" * deep + "smile" + ")" * deep) == [("smile", 4.0)]
    assert clauses("[" * deep + "smile" + "]" * deep)[0][1] < 1e-9
    assert len(clauses("(a" * 500 + ")" * 500)) == 1
