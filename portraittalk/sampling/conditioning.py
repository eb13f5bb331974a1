"""Conditions of a clip sampled in windows: projected once, then looked up by frame index."""

from dataclasses import replace

import torch
from torch import Tensor

from ..models.animate_net import AnimateNet, Conditions, PreparedConditions
from ..types import Scales
from .denoise import ConditionsAt

CACHED_FRAMES = 128  # longest clip whose keys, values and map features are cached


def cached_conditions(net: AnimateNet, conditions: Conditions, scales: Scales) -> ConditionsAt:
    """Return a lookup: frame indices -> cached keys, values and map features.

    Keys and values of the reference are computed once. Those of the frames, and their map features, are also cached for
    clips of at most ``CACHED_FRAMES`` frames (2.5 MB per frame in half precision at the size of Stable Diffusion 1.5);
    for longer clips they are recomputed for each window, at 0.1 % of its operations. A pose guider normalises over all
    frames of a window, so its features are cached per window.
    """
    speech, drawn = conditions.speech, conditions.map
    frames = max(1 if values is None else values.shape[1] for values in (speech, drawn))
    if frames <= CACHED_FRAMES and net.guider != "pose":
        prepared = net.prepare(conditions, scales)
        return lambda indices: prepared.at(_indices(indices))
    per_frame = Conditions(
        speech=speech if speech is not None and speech.shape[1] > 1 else None,
        map=drawn if drawn is not None and drawn.shape[1] > 1 else None,
    )
    shared = net.prepare(
        replace(
            conditions,
            speech=speech if per_frame.speech is None else None,
            map=drawn if per_frame.map is None else None,
        ),
        scales,
    )
    cache: dict[tuple[int, ...], PreparedConditions] = {}
    keep_all = frames <= CACHED_FRAMES and net.config.shift == 0

    def window(indices: Tensor | slice) -> PreparedConditions:
        indices = _indices(indices)
        key = tuple(indices.tolist())
        if key in cache:
            return cache[key]
        prepared = shared.at(indices).joined(net.prepare(at_frames(per_frame, indices), scales))
        if not keep_all:
            cache.clear()
        if keep_all or net.guider == "pose":  # the unconditional branch needs a pose guider's features once more
            cache[key] = prepared
        return prepared

    return window


def _indices(frames: Tensor | slice) -> Tensor:
    assert isinstance(frames, Tensor), "cached conditions need frame indices; a clip sampled as a whole has none"
    return frames


def guided_conditions(
    net: AnimateNet, conditions: Conditions, scales: Scales, guidance_scale: float
) -> tuple[ConditionsAt, ConditionsAt | None]:
    """Return the lookups of the conditional and the unconditional branch of CFG; None without guidance.

    The unconditional branch keeps drawn poses, whose features are those of the conditional one.
    """
    cond = cached_conditions(net, conditions, scales)
    if guidance_scale == 1:
        return cond, None
    uncond = cached_conditions(net, unconditional(conditions), scales)
    if net.guider != "pose":
        return cond, uncond
    return cond, lambda frames: replace(uncond(frames), guides=cond(frames).guides)


def unconditional(conditions: Conditions) -> Conditions:
    """Return the unconditional branch of CFG for public weights: silence, no person, no map."""
    silence = None if conditions.speech is None else torch.zeros_like(conditions.speech[:, :1])
    no_identity = None if conditions.identity is None else torch.zeros_like(conditions.identity)
    return replace(conditions, speech=silence, identity=no_identity, map=None, reference={})


def at_frames(conditions: Conditions, indices: Tensor) -> Conditions:
    """Select speech and maps by frame index."""
    speech, drawn = conditions.speech, conditions.map
    return Conditions(
        speech=None if speech is None else speech[:, indices], map=None if drawn is None else drawn[:, indices]
    )
