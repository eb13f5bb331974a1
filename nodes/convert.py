"""Conversion between ComfyUI's tensor layouts and the library's; no other module converts them.

ComfyUI: IMAGE (B, H, W, C), MASK (B, H, W), AUDIO {"waveform": (B, C, T), "sample_rate"}. Library: images
(B, 3, H, W), masks (H, W), ``Audio``. Both use float32: images and masks in 0..1, audio in -1..1.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..portraittalk.errors import MediaError
from ..portraittalk.media.audio import Audio, audio_from_waveform


def to_library(image: Tensor) -> Tensor:
    """Convert IMAGE (B, H, W, C) to (B, 3, H, W) on the CPU; alpha is dropped, greyscale becomes RGB.

    Raises MediaError unless there are 1, 3 or 4 channels.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise MediaError(
            f"An IMAGE must be (B, H, W, C) with 1, 3 or 4 channels, not {tuple(image.shape)}: connect a picture."
        )
    pixels = image[..., :3].detach().float().cpu().permute(0, 3, 1, 2)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def to_comfy(images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Convert (B, 3, H, W) to IMAGE (B, H, W, 3) on ``device``, clamped to 0..1."""
    return images.detach().float().clamp(0, 1).permute(0, 2, 3, 1).contiguous().to(device)


def frames_to_comfy(chunks: Iterable[Tensor], count: int, device: torch.device | str = "cpu") -> Tensor:
    """Collect chunks (n, 3, H, W) of ``count`` frames in total into one preallocated IMAGE (count, H, W, 3).

    Raises MediaError if the number of frames differs from ``count``.
    """
    frames: Tensor | None = None
    done = 0
    for chunk in chunks:
        images = to_comfy(chunk, device)
        if frames is None:
            frames = torch.empty((count, *images.shape[1:]), device=device)
        frames[done : done + len(images)] = images
        done += len(images)
    if frames is None or done != count:
        raise MediaError(f"Expected {count} frames but received {done}.")
    return frames


def mask_to_library(mask: Tensor) -> Tensor:
    """Convert MASK (B, H, W) or (H, W) to (H, W) on the CPU: the first mask of the batch."""
    return mask.detach().float().cpu().reshape(-1, *mask.shape[-2:])[0]


def mask_to_comfy(alpha: Tensor) -> Tensor:
    """Convert alpha (1, H, W), 1 where opaque, to MASK (1, H, W), 1 where transparent, as in ComfyUI's Load Image."""
    return 1 - alpha


def audio_to_library(audio: dict[str, Any] | None) -> Audio:
    """Convert AUDIO to Audio. Raises MediaError for missing, empty or too short audio and for NaN or infinity."""
    if audio is None:
        raise MediaError("The AUDIO input is empty, as for a video with no sound: connect a node that outputs audio.")
    return audio_from_waveform(audio["waveform"], audio["sample_rate"])


def audio_to_comfy(audio: Audio) -> dict[str, Any]:
    """Convert Audio to AUDIO with a batch size of one."""
    return {"waveform": audio.waveform[None], "sample_rate": audio.sample_rate}
