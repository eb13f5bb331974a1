"""Putting motion tracks together: parts of several tracks, and tracks made longer."""

from dataclasses import replace
from typing import Literal

import torch

from ..arkit import ARKIT_NAMES
from ..errors import MotionError
from ..smooth import smoothstep
from .track import MotionTrack, concatenate
from .transform import blend, resample

Ending = Literal["hold", "loop", "fade"]
ENDINGS: tuple[Ending, ...] = ("hold", "loop", "fade")
JOIN_SECONDS = 0.4  # over which the end of a loop becomes its beginning
FADE_SECONDS = 0.6

_EYES = tuple(number for number, name in enumerate(ARKIT_NAMES) if name.startswith(("eye", "brow")))


def combine(mouth: MotionTrack, head: MotionTrack | None = None, eyes: MotionTrack | None = None) -> MotionTrack:
    """Return a track with the lower face of ``mouth``, the pose of ``head``, and lids, gaze and brows of ``eyes``.

    Parts that are None are those of ``mouth``. The others are resampled to its frame rate and, where they are shorter,
    held at their last frame.
    """
    result = mouth
    if head is not None:
        pose = extend(resample(head, mouth.fps), len(mouth), "hold")[: len(mouth)]
        result = replace(result, rotation=pose.rotation, translation=pose.translation)
    if eyes is not None:
        looks = extend(resample(eyes, mouth.fps), len(mouth), "hold")[: len(mouth)]
        expression = result.expression.clone()
        expression[:, _EYES] = looks.expression[:, _EYES].to(expression)
        result = replace(result, expression=expression, gaze=looks.gaze, blink=looks.blink)
    return result


def extend(track: MotionTrack, frames: int, how: Ending | str) -> MotionTrack:
    """Return the track, made ``frames`` long if it is shorter.

    how: "hold" repeats the last frame with its eyes open, "loop" begins again, "fade" returns to the portrait as it is.
    Raises MotionError for another word.
    """
    if how not in ENDINGS:
        raise MotionError(
            f"The ending of a motion track must be {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, not {how}."
        )
    missing = frames - len(track)
    if missing <= 0:
        return track
    if how == "loop":
        return _looped(track, frames)
    last = _eyes_open(track[-1:])
    held = concatenate([track, *[last] * missing])
    if how == "hold":
        return held
    since = (torch.arange(frames) - len(track) + 1).clamp_min(0) / (FADE_SECONDS * track.fps)
    return blend(held, held.each(torch.zeros_like), smoothstep(since))


def _looped(track: MotionTrack, frames: int) -> MotionTrack:
    """Repeat the track; the first frames of each repetition come out of the end of the one before."""
    join = min(round(JOIN_SECONDS * track.fps), len(track) // 2)
    # The last frames are blended with the first ones, so a repetition begins after these.
    share = smoothstep((torch.arange(join) + 1) / (join + 1))
    end = blend(track[-join:], track[:join], share) if join else track[:0]
    turn = concatenate([track[join:-join], end]) if join else track
    turns = -(-(frames - join) // len(turn))
    return concatenate([track[:join], *[turn] * turns])[:frames]


def _eyes_open(track: MotionTrack) -> MotionTrack:
    """Return the track without blinks: a held frame must not be one."""
    expression = track.expression.clone()
    blinks = [number for number, name in enumerate(ARKIT_NAMES) if name.startswith("eyeBlink")]
    expression[:, blinks] = 0
    return replace(track, expression=expression, blink=torch.zeros_like(track.blink))
