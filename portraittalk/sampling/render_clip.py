"""Frames from a model of public weights: the clip is sampled as a whole, then decoded and pasted back in chunks."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..compositing.compose import CropData, crop_data, paste_back
from ..models.animate_net import Conditions
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Identity, SamplingSettings
from ..weights.model import ReferenceModel
from .clip import clip_noise, sample_clip
from .render import Output
from .windows import ring_windows

MARGIN = 0.1  # by which the face's box grows on each side, in parts of its own


def render_clip(
    model: ReferenceModel,
    identity: Identity,
    frames: int,
    conditions: Conditions,
    settings: SamplingSettings,
    output: Output,
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Tensor]:
    """The work behind ``pipeline.animate_by_speech``: chunks of at most ``settings.chunk`` frames.

    conditions: of all ``frames`` frames, but for the identity's tokens and reference. The latents of all frames are
    held until the last is decoded, some 64 kB a frame.
    """
    starts = range(0, frames, settings.chunk)
    windows = len(ring_windows(frames, settings.window, settings.overlap))
    total, done = settings.steps * windows + len(starts), 0

    def tick(preview: Tensor | None = None) -> None:
        nonlocal done
        done += 1
        progress(Progress("animate", done, total, preview))

    def tick_window(clean: Tensor) -> None:
        tick(
            None
            if model.fast_decoder is None
            else model.fast_decoder.decode(clean[:, :, 0].to(model.dtype))[0].float().cpu()
        )

    tokens = identity.tokens[None] if len(identity.tokens) else None
    conditions = replace(conditions, identity=tokens, reference=identity.reference).to(model.device, model.dtype)
    noise = clip_noise(settings.seed, frames, tuple(identity.latents.shape[1:]), model.config.animate_net.noise_limit)
    sampled = sample_clip(model.animate_net, conditions, noise.to(model.device), settings, on_window=tick_window)
    latents = sampled[0].transpose(0, 1)  # (F, C, h, w)
    decoder = model.fast_decoder if settings.fast_decode and model.fast_decoder else model.autoencoder
    data = crop_data(identity)
    for start in starts:
        with torch.no_grad():
            crops = decoder.decode(latents[start : start + settings.chunk].to(model.dtype)).float().clamp(0, 1)
        drawn = (pasted(crops, data) if output == "full" else crops).cpu()
        tick(drawn[-1])
        yield drawn


def pasted(crops: Tensor, data: CropData) -> Tensor:
    """Crops (n, 3, S, S) in the place of the picture's own: at its resolution, so that no detail of it stays behind."""
    side = max(data.native_size, data.crop.size)
    return paste_back(interpolate(crops, (side, side), mode="bicubic").clamp(0, 1), data)


def face_map(landmarks: Tensor, size: int) -> Tensor:
    """(1, size, size): 1 in the face's box, a little enlarged, and 0 around it. landmarks: (478, 3) in crop pixels."""
    low, high = landmarks[:, :2].amin(0), landmarks[:, :2].amax(0)
    grown = MARGIN * (high - low)
    left, top = (low - grown).round().clamp(0, size).long().tolist()
    right, bottom = (high + grown).round().clamp(0, size).long().tolist()
    drawn = torch.zeros(1, size, size)
    drawn[:, top:bottom, left:right] = 1
    return drawn
