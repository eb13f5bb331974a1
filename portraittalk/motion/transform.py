"""Changes to whole motion tracks: smoothing, scaling, blending, another frame rate."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import MotionError
from .track import TENSORS, MotionTrack, concatenate


def smooth(track: MotionTrack, seconds: float) -> MotionTrack:
    """Low-passes expression, rotation and translation, without delay.

    seconds: standard deviation of the Gaussian. Blinks and gaze are quick by nature and stay as they are.
    """
    sigma = seconds * track.fps
    if sigma <= 0:
        return track
    slow: dict[str, Any] = {
        name: _gaussian(getattr(track, name), sigma) for name in ("expression", "rotation", "translation")
    }
    return replace(track, **slow)


def scale(track: MotionTrack, expression: float = 1.0, head: float = 1.0) -> MotionTrack:
    """Stronger or weaker expression (its coefficients stay within 0..1) and head motion."""
    return replace(
        track,
        expression=(track.expression * expression).clamp(0, 1),
        rotation=track.rotation * head,
        translation=track.translation * head,
    )


def blend(first: MotionTrack, second: MotionTrack, weight: float | Tensor) -> MotionTrack:
    """``first`` where weight is 0, ``second`` where it is 1. weight: a number, or one per frame (F,).

    Raises MotionError where the tracks differ in length or frame rate.
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
    """The same motion at another frame rate, read between the frames where needed. Raises MotionError for fps <= 0."""
    if not fps > 0:
        raise MotionError(f"A motion track cannot have {fps:g} fps: the frame rate must be above 0.")
    if fps == track.fps:
        return track
    count = max(1, round(len(track) * fps / track.fps))
    # Both tracks' frame k stands for the time from k / fps to (k + 1) / fps, so their middles are compared.
    position = ((torch.arange(count, dtype=torch.double) + 0.5) * (track.fps / fps) - 0.5).clamp(0, len(track) - 1)
    before = position.floor().long()
    after = (before + 1).clamp_max(len(track) - 1)

    def read(values: Tensor) -> Tensor:
        part = (position - before).to(values).view(-1, *[1] * (values.dim() - 1))
        return torch.lerp(values[before], values[after], part)

    return replace(track.each(read), fps=fps)


def fit_to_speech(track: MotionTrack, frames: int, fps: float) -> MotionTrack:
    """The track at the frame rate of a speech of ``frames`` frames.

    Both lengths were rounded to whole frames, so that up to one frame of the track may be missing at its end: then the
    last one is held. A track that is shorter still stays so. Raises MotionError for fps <= 0.
    """
    fitted = resample(track, fps)
    missing = frames - len(fitted)
    if 0 < missing <= math.ceil(fps / track.fps):
        return concatenate([fitted, *[fitted[-1:]] * missing])
    return fitted


def _gaussian(values: Tensor, sigma: float) -> Tensor:
    """values: (F, C), low-passed along F; the ends are repeated beyond themselves."""
    reach = max(1, round(3 * sigma))
    steps = torch.arange(-reach, reach + 1).to(values)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    padded = F.pad(values.T[:, None], (reach, reach), mode="replicate")  # (C, 1, F + 2 reach)
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T
