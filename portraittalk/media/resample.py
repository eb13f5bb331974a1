"""Audio resampling: torchaudio's where it can be imported, else an implementation of the same formula."""

import importlib
import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# Half-width of the filter in zero crossings, and cutoff relative to the lower Nyquist frequency: torchaudio's defaults.
ZERO_CROSSINGS = 6
ROLLOFF = 0.99
MOST_PHASES = 1024  # of the polyphase filter; the usual sample rates have fewer
SAMPLES_AT_ONCE = 1 << 16


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample audio.

    waveform: (C, T) float at ``from_rate`` Hz. Returns (C, ceil(T * to_rate / from_rate)).
    """
    if from_rate == to_rate:
        return waveform
    implementation = torchaudio_resample() or sinc_resample
    return implementation(waveform, from_rate, to_rate)


@cache
def torchaudio_resample() -> Callable[[Tensor, int, int], Tensor] | None:
    """Return ``torchaudio.functional.resample``, or None if torchaudio is missing or incompatible with torch."""
    try:
        return importlib.import_module("torchaudio.functional").resample
    except Exception:  # a torchaudio built for another torch fails in many ways: OSError, AttributeError, RuntimeError
        return None


def sinc_resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample by band-limited interpolation (J. O. Smith, "Digital Audio Resampling") with a Hann-windowed sinc.

    With the rates reduced to a ratio p : q, output sample n lies at input position n * p / q, so the filter repeats
    after q outputs: one strided convolution with the q phases as output channels computes them all. Unusual rates, such
    as 44,099 Hz, have too many phases: there a separate filter is computed per output sample.
    Arguments and result as for ``resample``.
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
    """Return the filter of each phase (target, 2 * reach + source) and its reach in input samples to either side."""
    reach = _reach(source, target)
    taps = torch.arange(-reach, reach + source, dtype=torch.float64)
    delays = torch.arange(target, dtype=torch.float64) * (source / target)
    return _filter(taps[None] - delays[:, None], source, target), reach


def _one_by_one(waveform: Tensor, part: range, source: int, target: int) -> Tensor:
    """Return the output samples ``part`` (C, n), with a separate filter for each."""
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
    """Return the cutoff relative to the input's Nyquist frequency."""
    return min(source, target) / source * ROLLOFF


def _filter(delays: Tensor, source: int, target: int) -> Tensor:
    """Return the windowed sinc at delays in input samples."""
    cutoff = _cutoff(source, target)
    time = (delays * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    return torch.sinc(time) * torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2 * cutoff
