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
MOST_PHASES = 1024  # of the output, more than the usual rates have
SAMPLES_AT_ONCE = 1 << 16


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
    repeats after q outputs: one strided convolution whose q channels are the phases gives them all. Odd rates, such as
    44,099, have too many phases: there every output sample gets its own filter.
    """
    divisor = math.gcd(from_rate, to_rate)
    source, target = from_rate // divisor, to_rate // divisor
    length = math.ceil(target * waveform.shape[-1] / source)
    if target > MOST_PHASES:
        starts = range(0, length, SAMPLES_AT_ONCE)
        parts = [range(start, min(start + SAMPLES_AT_ONCE, length)) for start in starts]
        return torch.cat([_one_by_one(waveform, part, source, target) for part in parts], -1)
    kernel, reach = _phases(source, target)
    padded = torch.nn.functional.pad(waveform, (reach, reach + source))
    phases = torch.nn.functional.conv1d(padded[:, None], kernel.to(waveform)[:, None], stride=source)  # (C, q, T / p)
    return phases.transpose(1, 2).reshape(waveform.shape[0], -1)[:, :length]


@cache
def _phases(source: int, target: int) -> tuple[Tensor, int]:
    """The filter of each phase (target, 2 * reach + source), and how many samples it looks to either side."""
    reach = _reach(source, target)
    taps = torch.arange(-reach, reach + source, dtype=torch.float64)
    delays = torch.arange(target, dtype=torch.float64) * (source / target)
    return _filter(taps[None] - delays[:, None], source, target), reach


def _one_by_one(waveform: Tensor, part: range, source: int, target: int) -> Tensor:
    """The output samples ``part`` (C, n)."""
    reach = _reach(source, target)
    count = waveform.shape[-1]
    numbers = torch.arange(part.start, part.stop, device=waveform.device) * source
    nearest = (numbers // target)[:, None] + torch.arange(-reach, reach + 1, device=waveform.device)  # (n, taps)
    delays = nearest - numbers[:, None].double() / target
    weights = _filter(delays, source, target) * ((nearest >= 0) & (nearest < count))
    return torch.einsum("cnk,nk->cn", waveform[:, nearest.clamp(0, count - 1)], weights.to(waveform))


def _reach(source: int, target: int) -> int:
    return math.ceil(ZERO_CROSSINGS / _cutoff(source, target))


def _cutoff(source: int, target: int) -> float:
    """As a part of the input's Nyquist rate."""
    return min(source, target) / source * ROLLOFF


def _filter(delays: Tensor, source: int, target: int) -> Tensor:
    """The windowed sinc at delays given in input samples."""
    cutoff = _cutoff(source, target)
    time = (delays * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    return torch.sinc(time) * torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2 * cutoff
