"""Phones in time: files, labels, and IPA with durations."""

from itertools import pairwise

import pytest

from portraittalk.config import MotionNetConfig
from portraittalk.models.motion_net import BILABIALS
from portraittalk.speech.phones import (
    IPA_PHONES,
    PHONE_INDEX,
    PHONES,
    SILENCE_PHONE,
    SILENT,
    Phone,
    phone_labels,
    phones_of_letters,
    read_phones,
    write_phones,
)


def test_the_inventory_fits_the_network():
    assert len(PHONES) == len(set(PHONES)) == MotionNetConfig().phones
    assert PHONES[SILENT] == SILENCE_PHONE
    assert set(IPA_PHONES.values()) <= set(PHONES)
    assert [PHONES[index] for index in BILABIALS] == ["P", "B", "M"]


def test_files_keep_phones(tmp_path):
    phones = [Phone(0.0, 0.25, "SIL"), Phone(0.25, 0.3125, "M"), Phone(0.3125, 0.5, "AA")]
    write_phones(tmp_path / "a.phones", phones)
    assert read_phones(tmp_path / "a.phones") == phones


def test_labels_at_a_frame_rate():
    labels = phone_labels([Phone(0.08, 0.2, "M"), Phone(0.2, 0.28, "AA")], 10, 25)
    assert [PHONES[index] for index in labels] == ["SIL"] * 2 + ["M"] * 3 + ["AA"] * 2 + ["SIL"] * 3


def test_marks_join_their_letters_and_short_gaps_the_phone_before():
    letters = " ˈmaː pʊ."
    seconds = [0.3, 0.05, 0.1, 0.1, 0.1, 0.05, 0.1, 0.1, 0.4]
    phones = phones_of_letters(letters, seconds)
    assert [phone.name for phone in phones] == ["SIL", "M", "AA", "P", "UH", "SIL"]
    assert [phone.end for phone in phones] == pytest.approx([0.3, 0.45, 0.7, 0.8, 0.9, 1.3])
    assert all(a.end == b.start for a, b in pairwise(phones))


@pytest.mark.parametrize("letter", ["p", "b", "m"])
def test_lips_close_in_every_language(letter):
    assert PHONE_INDEX[IPA_PHONES[letter]] in BILABIALS
