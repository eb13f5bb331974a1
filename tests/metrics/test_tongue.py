"""How often the tongue is raised: on the phones that raise it, and in vowels."""

import pytest
import torch

from portraittalk.metrics.tongue import raised_tips, raised_vowels
from portraittalk.speech.phones import Phone

FPS = 8.0
PHONES = [Phone(0.0, 1.0, "SIL"), Phone(1.0, 1.25, "L"), Phone(1.25, 2.0, "AA"), Phone(2.0, 2.5, "N")]


def test_tips_and_vowels_are_counted_where_they_are():
    tongue = torch.zeros(22)
    assert raised_tips(tongue, PHONES, FPS) == raised_vowels(tongue, PHONES, FPS) == 0
    tongue[8] = 1
    assert raised_tips(tongue, PHONES, FPS) == 0.5 and raised_vowels(tongue, PHONES, FPS) == 0
    tongue[12:14] = 0.6
    assert raised_vowels(tongue, PHONES, FPS) == pytest.approx(2 / 6)  # frames 10 to 15
    everywhere = torch.ones(22)
    assert raised_tips(everywhere, PHONES, FPS) == raised_vowels(everywhere, PHONES, FPS) == 1


def test_a_frame_beside_a_phone_counts():
    for frame, expected in ((6, 0.0), (7, 0.5), (10, 0.5), (11, 0.0), (15, 0.5), (20, 0.5), (21, 0.0)):
        assert raised_tips(torch.eye(22)[frame], PHONES, FPS) == expected


def test_without_such_phones_nothing_is_known():
    for phones in ([], PHONES[:1]):
        assert raised_tips(torch.ones(9), phones, FPS) is None and raised_vowels(torch.ones(9), phones, FPS) is None
    assert raised_tips(torch.ones(3), PHONES, FPS) is None
