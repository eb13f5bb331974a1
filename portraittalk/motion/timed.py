"""Motion under a prompt that changes over time."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..smooth import smoothstep
from ..types import Style
from .track import MotionTrack
from .transform import blend

TRANSITION = 0.6  # seconds in which one part of a prompt gives way to the next


def over_time(make: Callable[[Style], MotionTrack], style: Style) -> MotionTrack:
    """Return the track that ``make`` returns for each part of the style, each in its time, with smooth transitions.

    Outside of all parts it is that of a style without a prompt. ``make`` must return tracks of one length.
    """
    track = make(Style())
    times = (torch.arange(len(track)) + 0.5) / track.fps
    windows = [window(times, part.start, part.end) for part in style.parts]
    share = (1 - torch.stack(windows).sum(0)).clamp_min(0)
    for part, weight in zip(style.parts, windows, strict=True):
        share = share + weight
        track = blend(track, replace(make(part.style), prompt=track.prompt), weight / share.clamp_min(1e-6))
    return track


def window(times: Tensor, start: float, end: float | None) -> Tensor:
    """Return 1 between ``start`` and ``end`` and 0 elsewhere (F,), half at both, for times (F,) in seconds.

    The windows of parts that follow each other add up to 1. Nothing fades in at 0 s.
    """
    begun = smoothstep((times - start) / TRANSITION + 0.5) if start > 0 else torch.ones_like(times)
    return begun if end is None else begun * (1 - smoothstep((times - end) / TRANSITION + 0.5))
