"""The layouts of ComfyUI and of the library, converted here and nowhere else.

ComfyUI: IMAGE (B, H, W, C), MASK (B, H, W), AUDIO {"waveform": (B, C, T), "sample_rate"}. The library: images
(B, 3, H, W), masks (H, W), ``Audio``. Values are float32 in 0..1 in both, sound in -1..1.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..portraittalk.errors import MediaError
from ..portraittalk.media.audio import Audio, audio_from_waveform


def to_library(image: Tensor) -> Tensor:
    """IMAGE (B, H, W, C) with 1, 3 or 4 channels -> (B, 3, H, W) on the CPU; alpha is left out, grey becomes RGB."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise MediaError(f"An IMAGE has the shape (B, H, W, 3), not {tuple(image.shape)}; connect a picture here.")
    pixels = image[..., :3].detach().float().cpu().permute(0, 3, 1, 2)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def to_comfy(images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """(B, 3, H, W) -> IMAGE (B, H, W, 3) in 0..1 on ``device``."""
    return images.detach().float().clamp(0, 1).permute(0, 2, 3, 1).contiguous().to(device)


def frames_to_comfy(chunks: Iterable[Tensor], count: int, device: torch.device | str = "cpu") -> Tensor:
    """Chunks (n, 3, H, W) of ``count`` frames in all -> one IMAGE (count, H, W, 3), written in place as they come."""
    frames: Tensor | None = None
    done = 0
    for chunk in chunks:
        images = to_comfy(chunk, device)
        if frames is None:
            frames = torch.empty((count, *images.shape[1:]), device=device)
        frames[done : done + len(images)] = images
        done += len(images)
    if frames is None or done != count:
        raise MediaError(f"{count} frames were expected, {done} came.")
    return frames


def mask_to_library(mask: Tensor) -> Tensor:
    """MASK (B, H, W) or (H, W) -> (H, W) on the CPU, the first of the batch."""
    return mask.detach().float().cpu().reshape(-1, *mask.shape[-2:])[0]


def mask_to_comfy(alpha: Tensor) -> Tensor:
    """Alpha (1, H, W), 1 where the picture is opaque -> MASK (1, H, W), 1 where it is transparent, as core has it."""
    return 1 - alpha


def audio_to_library(audio: dict[str, Any] | None) -> Audio:
    """AUDIO -> Audio. Raises MediaError for sound that is empty or holds no numbers."""
    if audio is None:
        raise MediaError("The AUDIO input is empty: the video it comes from has no sound.")
    return audio_from_waveform(audio["waveform"], audio["sample_rate"])


def audio_to_comfy(audio: Audio) -> dict[str, Any]:
    """Audio -> AUDIO with a batch of one."""
    return {"waveform": audio.waveform[None], "sample_rate": audio.sample_rate}
