"""Checks of values: what passes, and the sentence for what does not."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from portraittalk.checks import check_choice, check_path, check_real, check_whole, shown
from portraittalk.errors import MediaError, SettingsError


@pytest.mark.parametrize("value", [1, 1.0, Fraction(1), np.float32(1), np.int64(1)])
def test_numbers_of_every_type_are_taken(value):
    assert check_real("The scale", value, 0, 2) == 1.0


@pytest.mark.parametrize("value", [3, -1, math.nan, math.inf, "1", None, True, 1j, [1], torch.ones(1), 10**400])
def test_other_numbers_are_refused(value):
    with pytest.raises(SettingsError, match=r"^The scale must be a number between 0 and 2, not .*\.$"):
        check_real("The scale", value, 0, 2)


@pytest.mark.parametrize("value", [1.0, -1, 3, math.nan, "1", None, True, 10**400])
def test_what_is_no_whole_number_is_refused(value):
    assert check_whole("The seed", np.int64(2), 0, 2) == 2
    with pytest.raises(MediaError, match=r"^The seed must be a whole number between 0 and 2, not .*\.$"):
        check_whole("The seed", value, 0, 2, MediaError)


def test_open_ranges_say_what_they_are():
    with pytest.raises(SettingsError, match=r"a finite number of at least 0, not -1\."):
        check_real("The start", -1, 0)
    with pytest.raises(SettingsError, match=r"a whole number of at least 1, not 0\."):
        check_whole("The chunk", 0, 1)


def test_paths_and_choices(tmp_path):
    assert check_path("The picture", str(tmp_path), MediaError) == check_path("The picture", tmp_path, MediaError)
    for value in (None, 3, b"x", ["x"], "a\0b", Path("a\0b")):
        with pytest.raises(MediaError, match="The picture must be a path"):
            check_path("The picture", value, MediaError)
    check_choice("The output", "full", ("full", "crop"))
    with pytest.raises(SettingsError, match=r"must be one of full, crop, not None\."):
        check_choice("The output", None, ("full", "crop"))


def test_values_are_shown_in_one_short_line():
    assert [shown(value) for value in (None, 2, 0.5, True, "a\nb", [1], torch.ones(3))] == [
        *("None", "2", "0.5", "True", r"'a\nb'"),
        *("an object of type list", "an object of type Tensor"),
    ]
    assert len(shown("x" * 10**6)) == 60 and len(shown(10**10_000)) < 60
