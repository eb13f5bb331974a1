"""Adding the expression that a prompt asks for to a motion track."""

from dataclasses import replace

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..smooth import smoothstep
from ..types import Style
from .track import MotionTrack

FADE_IN = 0.6  # seconds from the portrait's expression in the first frame to the full prompted expression


def with_style(track: MotionTrack, style: Style, text_scale: float) -> MotionTrack:
    """Return the track with the style's expression, unless it already carries that of the same prompt."""
    words = " - ".join(filter(None, (style.prompt, style.negative_prompt)))
    if style.expression is None or not text_scale or track.prompt == words:
        return track
    return replace(with_expression(track, text_scale * style.expression.to(track.expression)), prompt=words)


def with_expression(track: MotionTrack, prompted: Tensor) -> MotionTrack:
    """Return the track with the ``prompted`` expression (T,) added, in the order of ``EXPRESSION_NAMES``."""
    frames = torch.arange(len(track))
    onset = smoothstep(frames / (FADE_IN * track.fps))[:, None].to(track.expression)
    added = onset * prompted.to(track.expression)
    count = len(ARKIT_NAMES)
    return replace(
        track,
        expression=(track.expression + added[:, :count]).clamp_max(1),
        gaze=track.gaze + added[:, count : count + 2],
        rotation=track.rotation + added[:, count + 2 :],
    )
