"""Whether the tongue is raised where the tip of a speaker's is, and nowhere else (``MotionTrack.tongue``)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..speech.phones import Phone

TIP = ("L", "N", "D", "T")  # phones for which the tip touches behind the upper teeth
VOWEL_LETTERS = "AEIOU"  # the first letters of vowels
RAISED = 0.5  # from which the tongue counts as raised


def raised_tips(tongue: Tensor, phones: list[Phone], fps: float) -> float | None:
    """Return the share of l, n, d and t during which the tongue (F,) is raised, in 0..1; larger is better.

    A frame before and after each phone counts as well. None if the curve covers none of these phones.
    """
    tips = [phone for phone in phones if phone.name in TIP]
    spans = [tongue[max(math.floor(tip.start * fps) - 1, 0) : math.ceil(tip.end * fps) + 1] for tip in tips]
    return _share([span.max() for span in spans if len(span)])


def raised_vowels(tongue: Tensor, phones: list[Phone], fps: float) -> float | None:
    """Return the share of the frames wholly inside vowels in which the tongue (F,) is raised; smaller is better.

    None if there is no such frame.
    """

    def inside() -> Iterator[Tensor]:
        for phone in phones:
            if phone.name[0] in VOWEL_LETTERS:
                yield from tongue[math.ceil(phone.start * fps) : math.floor(phone.end * fps)]

    return _share(list(inside()))


def _share(values: list[Tensor]) -> float | None:
    return (torch.stack(values) > RAISED).float().mean().item() if values else None
