"""Operations on whole motion tracks: smoothing, scaling, blending and resampling."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import HIGHEST_FPS, LOWEST_FPS, check_real
from ..errors import MotionError
from .track import MOST_FRAMES, TENSORS, MotionTrack, concatenate


def smooth(track: MotionTrack, seconds: float) -> MotionTrack:
    """Smooth expression, rotation and translation with a Gaussian, without delay.

    seconds: standard deviation of the Gaussian. Blinks, gaze and the tongue, which are naturally
    fast, are not changed.
    """
    sigma = seconds * track.fps
    if sigma <= 0:
        return track
    smoothed: dict[str, Any] = {
        name: low_pass(getattr(track, name), sigma) for name in ("expression", "rotation", "translation")
    }
    return replace(track, **smoothed)


def scale(track: MotionTrack, expression: float = 1.0, head: float = 1.0) -> MotionTrack:
    """Scale the expression, how far the tongue rises and the smile relaxes, which stay in 0..1, and head motion."""
    return replace(
        track,
        expression=(track.expression * expression).clamp(0, 1),
        tongue=(track.tongue * expression).clamp(0, 1),
        relaxed=(track.relaxed * expression).clamp(0, 1),
        rotation=track.rotation * head,
        translation=track.translation * head,
    )


def blend(first: MotionTrack, second: MotionTrack, weight: float | Tensor) -> MotionTrack:
    """Interpolate from ``first`` (weight 0) to ``second`` (weight 1). weight: a number, or one per frame (F,).

    Raises MotionError if the tracks differ in length or frame rate.
    """
    if len(first) != len(second) or first.fps != second.fps:
        raise MotionError(
            f"Motion tracks of {len(first)} frames at {first.fps:g} fps and {len(second)} frames at {second.fps:g} fps "
            "cannot be blended: cut or resample one of them first."
        )
    share = torch.as_tensor(weight).to(first.blink).expand(len(first))

    def mix(a: Tensor, b: Tensor) -> Tensor:
        return torch.lerp(a, b, share.view(-1, *[1] * (a.dim() - 1)))

    mixed: dict[str, Any] = {name: mix(getattr(first, name), getattr(second, name)) for name in TENSORS}
    return replace(first, **mixed)


def resample(track: MotionTrack, fps: float) -> MotionTrack:
    """Resample to another frame rate by linear interpolation.

    Raises MotionError for a frame rate that no track may have, and for a result of more than ``MOST_FRAMES`` frames.
    """
    for rate in (track.fps, fps):
        check_real("The frame rate of a motion track", rate, LOWEST_FPS, HIGHEST_FPS, MotionError)
    if fps == track.fps:
        return track
    count = max(1, round(len(track) * fps / track.fps))
    if count > MOST_FRAMES:
        raise MotionError(
            f"A motion track of {len(track)} frames at {track.fps:g} fps has {count} frames at {fps:g} fps, more than "
            f"{MOST_FRAMES}: cut it, or choose a lower frame rate."
        )
    # Frame k covers the time from k / fps to (k + 1) / fps in both tracks, so frame centres are aligned.
    position = ((torch.arange(count, dtype=torch.double) + 0.5) * (track.fps / fps) - 0.5).clamp(0, len(track) - 1)
    before = position.floor().long()
    after = (before + 1).clamp_max(len(track) - 1)

    def interpolated(values: Tensor) -> Tensor:
        part = (position - before).to(values).view(-1, *[1] * (values.dim() - 1))
        return torch.lerp(values[before], values[after], part)

    return replace(track.each(interpolated), fps=fps)


def fit_to_speech(track: MotionTrack, frames: int, fps: float) -> MotionTrack:
    """Resample a track to the frame rate of a speech of ``frames`` frames.

    Both lengths were rounded to whole frames, so up to one frame of the track may be missing at the end; the last frame
    is then repeated. A track shorter than that stays shorter. Raises MotionError as ``resample`` does.
    """
    fitted = resample(track, fps)
    missing = frames - len(fitted)
    if 0 < missing <= math.ceil(fps / track.fps):
        return concatenate([fitted, *[fitted[-1:]] * missing])
    return fitted


def low_pass(values: Tensor, sigma: float) -> Tensor:
    """Low-pass values (F, C) along F with a Gaussian; the ends are replicated."""
    reach = max(1, round(3 * sigma))
    steps = torch.arange(-reach, reach + 1).to(values)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    padded = F.pad(values.T[:, None], (reach, reach), mode="replicate")  # (C, 1, F + 2 reach)
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T
