"""Conditions of a clip that is sampled window by window: projected once, looked up by frame index."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions, PreparedConditions
from ..types import Scales

CACHED_FRAMES = 128  # longest clip whose keys, values and map features are cached


def cached_conditions(
    net: AnimateNet, conditions: Conditions, scales: Scales
) -> Callable[[Tensor | slice], PreparedConditions]:
    """A lookup from frame indices to cached keys, values and map features.

    Keys and values of the reference are computed once. Those of frames, and features of their maps, are computed once
    and cached as well, 2.5 MB a frame in half precision at the size of Stable Diffusion 1.5, for clips of at most
    ``CACHED_FRAMES`` frames; for a longer clip they are computed for each window, for 0.1 % of its operations. A pose
    guider normalises over the frames of a window together: its features are cached window by window.
    """
    speech, drawn = conditions.speech, conditions.map
    frames = max(1 if given is None else given.shape[1] for given in (speech, drawn))
    if frames <= CACHED_FRAMES and net.guider != "pose":
        prepared = net.prepare(conditions, scales)
        return lambda indices: prepared.at(_indices(indices))
    moving = Conditions(
        speech=speech if speech is not None and speech.shape[1] > 1 else None,
        map=drawn if drawn is not None and drawn.shape[1] > 1 else None,
    )
    still = net.prepare(
        replace(
            conditions,
            speech=speech if moving.speech is None else None,
            map=drawn if moving.map is None else None,
        ),
        scales,
    )
    cache: dict[tuple[int, ...], PreparedConditions] = {}

    def window(indices: Tensor | slice) -> PreparedConditions:
        indices = _indices(indices)
        key = tuple(indices.tolist())
        if key in cache:
            return cache[key]
        found = still.at(indices).joined(net.prepare(at_frames(moving, indices), scales))
        if frames <= CACHED_FRAMES and net.config.shift == 0:
            cache[key] = found
        return found

    return window


def _indices(frames: Tensor | slice) -> Tensor:
    assert isinstance(frames, Tensor), "clips that are sampled as a whole have no cached frames"
    return frames


def unconditional(net: AnimateNet, conditions: Conditions) -> Conditions:
    """The conditions that a clip of public weights is guided away from: silence, no person, no map; a pose is kept."""
    silence = None if conditions.speech is None else torch.zeros_like(conditions.speech[:, :1])
    no_identity = None if conditions.identity is None else torch.zeros_like(conditions.identity)
    drawn = conditions.map if net.guider == "pose" else None
    return replace(conditions, speech=silence, identity=no_identity, map=drawn, reference={})


def at_frames(conditions: Conditions, indices: Tensor) -> Conditions:
    """Speech and maps of the frames with these indices."""
    speech, drawn = conditions.speech, conditions.map
    return Conditions(
        speech=None if speech is None else speech[:, indices], map=None if drawn is None else drawn[:, indices]
    )
