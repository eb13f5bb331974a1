"""Conversion between ComfyUI's tensor layouts and the library's; no other module converts them.

ComfyUI: IMAGE (B, H, W, C), MASK (B, H, W), AUDIO {"waveform": (B, C, T), "sample_rate"}. Library: images
(B, 3, H, W), masks (H, W), ``Audio``. Both use float32: images and masks in 0..1, audio in -1..1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..portraittalk.checks import check_type
from ..portraittalk.errors import MediaError, MotionError
from ..portraittalk.media.audio import Audio, audio_from_waveform
from ..portraittalk.media.tensors import check_layout, check_levels, check_waveform


def to_library(image: Tensor, name: str = "image") -> Tensor:
    """Convert IMAGE (B, H, W, C) to (B, 3, H, W) on the CPU; alpha is dropped, greyscale becomes RGB.

    name: of the input, for errors. Raises MediaError unless there are 1, 3 or 4 channels with values in 0..1.
    """
    check_image(image, name)
    pixels = image[..., :3].detach()
    check_levels(pixels, _input(name))
    return pixels.float().cpu().permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()


def check_image(image: Any, name: str = "image") -> None:
    """Raise MediaError unless ``image`` has the layout of an IMAGE; ``to_library`` checks the values as well."""
    check_layout(image, _input(name), "B H W C")
    if image.shape[-1] not in (1, 3, 4):
        raise MediaError(
            f"{_input(name)} has {image.shape[-1]} channels in its shape {tuple(image.shape)}, which is (B, H, W, C): "
            "connect a picture of 1, 3 or 4 channels."
        )


def to_comfy(images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Convert (B, 3, H, W) to IMAGE (B, H, W, 3) on ``device``, clamped to 0..1."""
    return images.detach().float().clamp(0, 1).permute(0, 2, 3, 1).contiguous().to(device)


class FrameCollector:
    """Collects chunks (n, 3, H, W) of ``count`` frames in total in one preallocated IMAGE (count, H, W, 3).

    allocate: returns the tensor of a shape, on the CPU; by default it is in memory, on ``device``.
    """

    def __init__(
        self,
        count: int,
        device: torch.device | str = "cpu",
        allocate: Callable[[tuple[int, ...]], Tensor] | None = None,
    ) -> None:
        self._count, self._device = count, device
        self._allocate = allocate or (lambda shape: torch.empty(shape, device=device))
        self._frames: Tensor | None = None
        self._done = 0

    def passing(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the chunks as they are and keep a copy of each."""
        for chunk in chunks:
            images = to_comfy(chunk, self._device)
            if self._frames is None:
                self._frames = self._allocate((self._count, *images.shape[1:]))
            self._frames[self._done : self._done + len(images)] = images
            self._done += len(images)
            yield chunk

    def collect(self, chunks: Iterable[Tensor]) -> Tensor:
        """Keep all chunks and return the IMAGE, see ``frames``."""
        for _ in self.passing(chunks):
            pass
        return self.frames()

    def frames(self) -> Tensor:
        """Return the IMAGE. Raises MediaError if the number of frames differs from the expected one."""
        if self._frames is None or self._done != self._count:
            raise MediaError(f"Expected {self._count} frames but received {self._done}.")
        return self._frames


def mask_to_library(mask: Tensor, name: str = "mask") -> Tensor:
    """Convert MASK (B, H, W), (B, 1, H, W) or (H, W) to (H, W) in 0..1 on the CPU: the first mask of the batch.

    name: of the input, for errors. Raises MediaError for an empty batch, and for NaN and infinity.
    """
    layouts = {2: "H W", 4: "B 1 H W"}
    check_layout(mask, _input(name), layouts.get(getattr(mask, "ndim", 3), "B H W"))
    first = mask.detach().reshape(-1, *mask.shape[-2:])[0].float().cpu()
    if not first.isfinite().all():
        raise MediaError(f"{_input(name)} contains NaN or infinity: look for the cause in what made it.")
    return first.clamp(0, 1)


def mask_to_comfy(alpha: Tensor) -> Tensor:
    """Convert alpha (1, H, W), 1 where opaque, to MASK (1, H, W), 1 where transparent, as in ComfyUI's Load Image."""
    return 1 - alpha


def audio_to_library(audio: Mapping[str, Any] | None, name: str = "audio") -> Audio:
    """Convert AUDIO to Audio. name: of the input, for errors.

    Raises MediaError for a value of another form, missing, empty or too short audio, and for NaN or infinity.
    """
    if audio is None:
        raise MediaError(f"{_input(name)} is empty, as for a video with no sound: connect a node that outputs audio.")
    check_type(_input(name), audio, Mapping, "a dictionary of waveform and sample_rate", MediaError)
    for key in ("waveform", "sample_rate"):
        if key not in audio:
            raise MediaError(f"{_input(name)} has no '{key}': connect a node that outputs audio.")
    check_waveform(audio["waveform"], _input(name), "batch channels samples")
    return audio_from_waveform(audio["waveform"], audio["sample_rate"], _input(name))


def audio_to_comfy(audio: Audio) -> dict[str, Any]:
    """Convert Audio to AUDIO with a batch size of one."""
    return {"waveform": audio.waveform[None], "sample_rate": audio.sample_rate}


def numbers_to_library(values: Any, name: str) -> list[Any]:
    """Convert a FLOAT to a list: one number, or several as a list, tensor or pandas series, as curve editors give.

    name: of the input, for errors. Raises MotionError for anything else; the numbers themselves are not checked.
    """
    listed = values.tolist() if hasattr(values, "tolist") else values
    while isinstance(listed, (list, tuple)) and len(listed) == 1 and isinstance(listed[0], (list, tuple)):
        listed = listed[0]
    if isinstance(listed, (int, float)):
        return [listed]
    check_type(_input(name), listed, (list, tuple), "a number or a list of numbers", MotionError)
    return list(listed)


def _input(name: str) -> str:
    return f"The input '{name}'"
