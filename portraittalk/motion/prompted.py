"""Adding the expression and the gestures that a prompt asks for to a motion track."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..models.face_basis import FaceBasis
from ..smooth import smoothstep
from ..types import Style
from .geometry import EYES_OPEN, SMILES
from .manner import Manner, gesture
from .timed import over_time
from .track import MotionTrack

FADE_IN = 0.6  # seconds from the portrait's expression in the first frame to the full prompted expression
ASKED_SMILE = 0.5  # coefficient of a prompted smile from which the portrait's own is kept, too
OPENING = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jawOpen", "mouthUpperUp", "mouthLowerDown"))]
MEETING = 0.03  # lip aperture below which speech brings lips together, whatever is asked
PAUSE, CHANGE = 0.5, 0.3  # seconds for which lips meet at least in a pause, and in which they begin to do what is asked
LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]


def with_style(track: MotionTrack, style: Style, text_scale: float, basis: FaceBasis) -> MotionTrack:
    """Return the track with the style's expression and gestures, unless it already carries those of the same prompt.

    The rest of the style's manner acts where the track is made from speech, see ``speech_to_motion``.
    """
    words = " - ".join(filter(None, (style.prompt, style.negative_prompt)))
    if not text_scale or track.prompt == words:
        return track
    if style.parts:
        return replace(over_time(lambda part: with_style(track, part, text_scale, basis), style), prompt=words)
    if style.expression is None:
        return track
    manner, expression = Manner.of(style, text_scale), scaled(style.expression.to(track.expression), text_scale)
    expression[OPENING] *= manner.rest  # "a wide smile with closed lips"
    return replace(with_gestures(with_expression(track, expression, basis), manner), prompt=words)


def scaled(expression: Tensor, scale: float) -> Tensor:
    """Return an expression (T,) times ``scale``; of an eyeBlink coefficient, what closes the lids is scaled."""
    result = scale * expression
    closing = expression[LIDS] - EYES_OPEN
    result[LIDS] = torch.where(closing > 0, EYES_OPEN + scale * closing, result[LIDS])
    return result


def with_expression(track: MotionTrack, prompted: Tensor, basis: FaceBasis) -> MotionTrack:
    """Return the track with the ``prompted`` expression (T,) added, in the order of ``EXPRESSION_NAMES``.

    Who is asked to smile does not give up the portrait's smile while speaking. Lips that are asked to be apart are so
    in silence; while speaking, they still meet where speech brings them together, and open less beyond its own opening.
    """
    frames = torch.arange(len(track))
    onset = smoothstep(frames / (FADE_IN * track.fps))[:, None].to(track.expression)
    added = onset * prompted.to(track.expression)
    count = len(ARKIT_NAMES)
    added[:, OPENING] *= _opening_share(track, added[:, OPENING], basis)[:, None]
    asked = (added[:, SMILES].mean(1) / ASKED_SMILE).clamp(0, 1)
    return replace(
        track,
        expression=(track.expression + added[:, :count]).clamp_max(1),
        gaze=track.gaze + added[:, count : count + 2],
        rotation=track.rotation + added[:, count + 2 :],
        relaxed=track.relaxed * (1 - asked),
    )


def _opening_share(track: MotionTrack, prompted: Tensor, basis: FaceBasis) -> Tensor:
    """Return how much of a prompted opening of the lips each frame shows, (F,) in 0..1.

    prompted: (F, K), the coefficients ``OPENING``. They add to speech by the root of the sum of squares.
    """
    asked = prompted.clamp_min(0) @ basis.aperture[OPENING].to(prompted)
    spoken = basis.asked_aperture(track.expression.to(basis.aperture)).to(prompted)
    share = (torch.hypot(spoken, asked) - spoken) / asked.clamp_min(1e-6)
    apart = smoothstep(spoken / MEETING)
    pause, change = (2 * round(seconds * track.fps / 2) + 1 for seconds in (PAUSE, CHANGE))
    speaking = max_pool1d(apart[None], pause, 1, pause // 2)
    speaking = avg_pool1d(speaking, change, 1, change // 2, count_include_pad=False)[0]
    return torch.where(asked > 0, share * (1 - speaking * (1 - apart)), 1.0)


def with_gestures(track: MotionTrack, manner: Manner) -> MotionTrack:
    """Return the track with nodding, shaking and swaying added, and with lips that meet in silence if asked for."""
    times = torch.arange(len(track)) / track.fps
    onset = smoothstep(times / FADE_IN)[:, None]
    track = replace(track, rest=track.rest * (1 - (1 - manner.rest) * onset[:, 0].to(track.rest)))
    if not manner.gestures:
        return track
    return replace(track, rotation=track.rotation + (onset * gesture(times, manner)).to(track.rotation))
