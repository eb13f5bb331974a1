"""Whether the tongue is raised where the tip of a speaker's is, and nowhere else (``MotionTrack.tongue``)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..speech.phones import ALVEOLARS, VOWELS, Phone
from .lips import frames_about

RAISED = 0.5  # from which the tongue counts as raised


def raised_tips(tongue: Tensor, phones: list[Phone], fps: float) -> float | None:
    """Return the share of l, n, d and t during which the tongue (F,) is raised, in 0..1; larger is better.

    A frame before and after each phone counts as well. None if the curve covers none of these phones.
    """
    spans = [tongue[frames_about(phone, fps)] for phone in phones if phone.name in ALVEOLARS]
    return _share([span.max() for span in spans if len(span)])


def raised_vowels(tongue: Tensor, phones: list[Phone], fps: float) -> float | None:
    """Return the share of the frames wholly inside vowels in which the tongue (F,) is raised; smaller is better.

    None if there is no such frame.
    """

    def inside() -> Iterator[Tensor]:
        for phone in phones:
            if phone.name in VOWELS:
                yield from tongue[math.ceil(phone.start * fps) : math.floor(phone.end * fps)]

    return _share(list(inside()))


def _share(values: list[Tensor]) -> float | None:
    return (torch.stack(values) > RAISED).float().mean().item() if values else None
