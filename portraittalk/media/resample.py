"""Changing the sample rate: torchaudio's resampler where it imports, else the same formula here."""

import importlib
import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# Half-width of the filter in zero crossings, and the cutoff as a part of the lower Nyquist rate: torchaudio's defaults.
ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample sound.

    waveform: (C, T) float, ``from_rate`` samples a second. Returns (C, ceil(T * to_rate / from_rate)).
    """
    if from_rate == to_rate:
        return waveform
    implementation = torchaudio_resample() or sinc_resample
    return implementation(waveform, from_rate, to_rate)


@cache
def torchaudio_resample() -> Callable[[Tensor, int, int], Tensor] | None:
    """``torchaudio.functional.resample``, or None where torchaudio is missing or does not fit the installed torch."""
    try:
        return importlib.import_module("torchaudio.functional").resample
    except Exception:  # a torchaudio built for another torch fails in many ways: OSError, AttributeError, RuntimeError
        return None


def sinc_resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Band-limited interpolation (J. O. Smith, "Digital Audio Resampling") with a Hann-windowed sinc; as ``resample``.

    With the rates reduced to a ratio p : q, output sample n lies at input position n * p / q, so that the filter
    repeats after q outputs: one strided convolution whose q channels are the phases gives them all.
    """
    divisor = math.gcd(from_rate, to_rate)
    source, target = from_rate // divisor, to_rate // divisor
    kernel, reach = _phases(source, target)
    length = waveform.shape[-1]
    padded = torch.nn.functional.pad(waveform, (reach, reach + source))
    phases = torch.nn.functional.conv1d(padded[:, None], kernel.to(waveform)[:, None], stride=source)  # (C, q, T / p)
    return phases.transpose(1, 2).reshape(waveform.shape[0], -1)[:, : math.ceil(target * length / source)]


@cache
def _phases(source: int, target: int) -> tuple[Tensor, int]:
    """The filter of each phase (target, 2 * reach + source), and how many samples it looks to either side."""
    cutoff = min(source, target) * ROLLOFF  # as a part of source * target, the rate at which both grids meet
    reach = math.ceil(ZERO_CROSSINGS * source / cutoff)
    taps = torch.arange(-reach, reach + source, dtype=torch.float64) / source
    delays = torch.arange(target, dtype=torch.float64) / target
    time = ((taps[None] - delays[:, None]) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
    return torch.sinc(time) * window * (cutoff / source), reach
