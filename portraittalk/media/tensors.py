"""Checks of sound and pictures that are given as tensors, by other nodes and by users of the library.

The ``name`` of each function begins the sentence of its errors, such as "The portrait".
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..checks import check_type, check_whole
from ..errors import MediaError, PortraitTalkError

LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000  # Hz
UNDERSHOOT = -0.5  # lowest value that resampling and sharpening make of pictures in 0..1
BRIGHT = 2.0  # pictures with higher values are usual as long as few pixels have them


def check_sample_rate(sample_rate: Any, name: str) -> int:
    """Return a sample rate as an int. Raises MediaError unless it is a whole number of Hz that sound can have."""
    if isinstance(sample_rate, float) and sample_rate.is_integer():
        sample_rate = int(sample_rate)
    return check_whole(f"{name}: the sample rate in Hz", sample_rate, LOWEST_RATE, HIGHEST_RATE, MediaError)


def check_waveform(waveform: Any, name: str, layout: str = "channels samples") -> None:
    """Raise MediaError unless ``waveform`` is a tensor of real numbers with this layout.

    It may be empty, or hold NaN or infinity, which ``media.audio`` refuses.
    """
    shape = f"({layout.replace(' ', ', ')})"
    check_type(f"{name}: the waveform", waveform, Tensor, f"a tensor {shape}", MediaError)
    if waveform.ndim != len(layout.split()):
        raise MediaError(f"{name}: the waveform must have the shape {shape}, not {tuple(waveform.shape)}.")
    if waveform.is_complex() or waveform.dtype == torch.bool:
        raise MediaError(f"{name}: the waveform must hold real numbers, not {_dtype(waveform)}.")


def check_pictures(pixels: Any, name: str, layout: str = "3 H W") -> None:
    """Raise MediaError unless ``pixels`` is a tensor of this layout, such as "N 3 H W", with values in about 0..1."""
    check_layout(pixels, name, layout)
    check_levels(pixels, name)


def check_layout(pixels: Any, name: str, layout: str, error: type[PortraitTalkError] = MediaError) -> None:
    """Raise ``error`` unless ``pixels`` is a tensor of this layout: numbers are sizes, letters any size but 0."""
    sides = layout.split()
    shape = f"({', '.join(sides)})"
    check_type(name, pixels, Tensor, f"a tensor {shape}", error)
    if pixels.ndim != len(sides) or any(
        side.isdigit() and size != int(side) for side, size in zip(sides, pixels.shape, strict=True)
    ):
        raise error(f"{name} must have the shape {shape}, not {tuple(pixels.shape)}.")
    if not pixels.numel():
        raise error(f"{name} is empty: its shape is {tuple(pixels.shape)}.")


def check_levels(pixels: Tensor, name: str) -> None:
    """Raise MediaError unless a tensor holds floating-point numbers in about 0..1."""
    if not pixels.is_floating_point():
        raise MediaError(f"{name} must hold floating-point numbers from 0 to 1, not {_dtype(pixels)}.")
    low, high = (float(value) for value in pixels.aminmax())  # NaN if one value is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MediaError(f"{name} contains NaN or infinity: look for the cause in what made it.")
    if low < UNDERSHOOT or (high > BRIGHT and pixels.float().mean() > 1):
        raise MediaError(f"{name} has values from {low:g} to {high:g}, but pictures have 0 to 1: scale it first.")


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
