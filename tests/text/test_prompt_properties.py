"""Properties of weights in prompts: what is written in any habit is read as it was meant, and nothing else happens."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_examples import EXAMPLES

from portraittalk.errors import SettingsError
from portraittalk.text.emphasis import LARGEST
from portraittalk.text.prompt import clauses

FULL_WIDTH = str.maketrans("()[]:,0123456789", "（）［］：，０１２３４５６７８９")
BRACKETS = (("(", ")", 1.1), ("[", "]", 1 / 1.1))
words = st.text("abcdefgh", min_size=1, max_size=6)


@dataclass(frozen=True)
class Weighted:
    """A clause as it is written, and the weight that is meant."""

    text: str
    written: str
    weight: float


@st.composite
def weighted_clauses(draw: st.DrawFn) -> Weighted:
    """Words in up to four pairs of brackets, with or without an explicit weight in the innermost, in some habit."""
    text = " ".join(draw(st.lists(words, min_size=1, max_size=3)))
    written, weight, explicit = text, 1.0, draw(st.booleans())
    if explicit:
        weight = draw(st.integers(-39, 39)) / 10
        digits = draw(st.sampled_from(["{:.1f}", "{:+.1f}", "{:.2f}", " {:.1f} ", "{:g}"])).format(weight)
        digits = draw(st.sampled_from([digits, digits.replace("0.", "."), digits.replace(".", ",")]))
        space = draw(st.sampled_from(["", " "]))
        written = f"({space}{text}{space}:{digits})"
    for opening, closing, factor in draw(st.lists(st.sampled_from(BRACKETS), max_size=4)):
        written = f"{opening}{written}{closing}"
        weight *= 1 if explicit else factor
    return Weighted(text, draw(st.sampled_from([written, written.translate(FULL_WIDTH)])), weight)


@EXAMPLES
def test_every_habit_is_read_as_it_is_meant(examples):
    @examples
    @given(st.lists(weighted_clauses(), max_size=4), st.sampled_from([",", ", ", "，", ";", "\n", " 、 "]))
    def check(parts, separator):
        read = clauses(separator.join(part.written for part in parts))
        assert [text for text, _ in read] == [part.text for part in parts]
        assert [weight for _, weight in read] == pytest.approx([part.weight for part in parts])

    check()


@EXAMPLES
def test_any_text_is_read_or_refused_in_a_sentence(examples):
    @examples
    @given(st.text(st.sampled_from("ab ,;\n()[]\\:|.+-019（）：，％é€ ") | st.characters(), max_size=60))
    def check(text):
        try:
            read = clauses(text)
        except SettingsError as error:
            assert "\n" not in str(error).replace(text, "")
        else:
            assert all(part.strip() and math.isfinite(weight) and abs(weight) <= LARGEST for part, weight in read)

    check()


@EXAMPLES
def test_text_without_signs_of_weights_has_the_weight_one(examples):
    @examples
    @given(st.lists(words, min_size=1, max_size=8))
    def check(parts):
        assert clauses(", ".join(parts)) == [(part, 1.0) for part in parts]

    check()
