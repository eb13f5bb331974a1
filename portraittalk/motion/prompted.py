"""What a prompt asks of a face, and how a motion track takes it on."""

from dataclasses import replace

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..smooth import smoothstep
from ..types import Style
from .track import MotionTrack

SETS_IN = 0.6  # seconds from the portrait's own expression, which the first frame shows, to what is asked for


def with_style(track: MotionTrack, style: Style, text_scale: float) -> MotionTrack:
    """The track with what the style's words ask of the face, unless it carries them already."""
    words = " - ".join(filter(None, (style.prompt, style.negative_prompt)))
    if style.expression is None or not text_scale or track.prompt == words:
        return track
    return replace(with_expression(track, text_scale * style.expression.to(track.expression)), prompt=words)


def with_expression(track: MotionTrack, asked: Tensor) -> MotionTrack:
    """The track with what a prompt asks for (T,), in the order of ``EXPRESSION_NAMES``, on top of its own motion."""
    frames = torch.arange(len(track))
    onset = smoothstep(frames / (SETS_IN * track.fps))[:, None].to(track.expression)
    added = onset * asked.to(track.expression)
    count = len(ARKIT_NAMES)
    return replace(
        track,
        expression=(track.expression + added[:, :count]).clamp_max(1),
        gaze=track.gaze + added[:, count : count + 2],
        rotation=track.rotation + added[:, count + 2 :],
    )
