"""Adding the expression and the gestures that a prompt asks for to a motion track."""

from dataclasses import replace

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..smooth import smoothstep
from ..types import Style
from .geometry import EYES_OPEN, SMILES
from .manner import Manner, gesture
from .timed import over_time
from .track import MotionTrack

FADE_IN = 0.6  # seconds from the portrait's expression in the first frame to the full prompted expression
ASKED_SMILE = 0.5  # coefficient of a prompted smile from which the portrait's own is kept, too
LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]


def with_style(track: MotionTrack, style: Style, text_scale: float) -> MotionTrack:
    """Return the track with the style's expression and gestures, unless it already carries those of the same prompt.

    The rest of the style's manner acts where the track is made from speech, see ``speech_to_motion``.
    """
    words = " - ".join(filter(None, (style.prompt, style.negative_prompt)))
    if not text_scale or track.prompt == words:
        return track
    if style.parts:
        return replace(over_time(lambda part: with_style(track, part, text_scale), style), prompt=words)
    if style.expression is None:
        return track
    prompted = with_expression(track, scaled(style.expression.to(track.expression), text_scale))
    return replace(with_gestures(prompted, Manner.of(style, text_scale)), prompt=words)


def scaled(expression: Tensor, scale: float) -> Tensor:
    """Return an expression (T,) times ``scale``; of an eyeBlink coefficient, what closes the lids is scaled."""
    result = scale * expression
    closing = expression[LIDS] - EYES_OPEN
    result[LIDS] = torch.where(closing > 0, EYES_OPEN + scale * closing, result[LIDS])
    return result


def with_expression(track: MotionTrack, prompted: Tensor) -> MotionTrack:
    """Return the track with the ``prompted`` expression (T,) added, in the order of ``EXPRESSION_NAMES``.

    Who is asked to smile does not give up the portrait's smile while speaking.
    """
    frames = torch.arange(len(track))
    onset = smoothstep(frames / (FADE_IN * track.fps))[:, None].to(track.expression)
    added = onset * prompted.to(track.expression)
    count = len(ARKIT_NAMES)
    asked = (added[:, SMILES].mean(1) / ASKED_SMILE).clamp(0, 1)
    return replace(
        track,
        expression=(track.expression + added[:, :count]).clamp_max(1),
        gaze=track.gaze + added[:, count : count + 2],
        rotation=track.rotation + added[:, count + 2 :],
        relaxed=track.relaxed * (1 - asked),
    )


def with_gestures(track: MotionTrack, manner: Manner) -> MotionTrack:
    """Return the track with nodding, shaking and swaying added, and with lips that meet in silence if asked for."""
    times = torch.arange(len(track)) / track.fps
    onset = smoothstep(times / FADE_IN)[:, None]
    track = replace(track, rest=track.rest * (1 - (1 - manner.rest) * onset[:, 0].to(track.rest)))
    if not manner.gestures:
        return track
    return replace(track, rotation=track.rotation + (onset * gesture(times, manner)).to(track.rotation))
