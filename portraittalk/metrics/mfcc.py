"""MFCCs for SyncNet, as computed by ``python_speech_features`` with its default settings."""

import math

import torch
from torch import Tensor

SAMPLE_RATE = 16000
FRAME, STEP = 400, 160  # samples: 25 ms windows every 10 ms
FFT = 512
FILTERS, CEPSTRA, LIFTER = 26, 13, 22
PREEMPHASIS = 0.97
LEAST = torch.finfo(torch.float64).eps  # replaces an energy of 0 before the logarithm


def mfcc(samples: Tensor) -> Tensor:
    """Return the MFCCs (N, 13) float64, 100 per second, of audio (T,) at 16 kHz with full scale -32768..32767.

    The first coefficient is the log energy. N = 1 + ceil((T - 400) / 160). Rectangular windows, power spectra of a
    512-point FFT divided by 512, 26 triangular filters evenly spaced on the mel scale 2595 log10(1 + f / 700) from 0 to
    8 kHz, the orthonormal DCT-II of their logarithms, liftered by 1 + 11 sin(pi n / 22).
    """
    samples = samples.double()
    emphasised = torch.cat((samples[:1], samples[1:] - PREEMPHASIS * samples[:-1]))
    count = 1 + max(math.ceil((len(samples) - FRAME) / STEP), 0)
    padded = torch.nn.functional.pad(emphasised, (0, (count - 1) * STEP + FRAME - len(samples)))
    power = torch.fft.rfft(padded.unfold(0, FRAME, STEP), FFT).abs().square() / FFT  # (N, 257)
    logs = _floored(power @ _filters().T).log()  # (N, 26)
    cepstra = logs @ _cosines().T * (1 + LIFTER / 2 * torch.sin(torch.pi / LIFTER * torch.arange(CEPSTRA).double()))
    return torch.cat((_floored(power.sum(1, keepdim=True)).log(), cepstra[:, 1:]), 1)


def _floored(energies: Tensor) -> Tensor:
    return torch.where(energies == 0, LEAST, energies)


def _filters() -> Tensor:
    """Return the triangular filters (26, 257) over the FFT bins, their corners rounded down to bins."""
    mels = torch.linspace(0, 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700), FILTERS + 2, dtype=torch.float64)
    corners = ((FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE).floor()
    low, peak, high = (corners[first : FILTERS + first, None] for first in range(3))
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64)
    rising = (bins - low) / (peak - low) * ((bins >= low) & (bins < peak))
    falling = (high - bins) / (high - peak) * ((bins >= peak) & (bins < high))
    return rising + falling


def _cosines() -> Tensor:
    """Return the first 13 rows of the orthonormal DCT-II over 26 values."""
    rows, columns = torch.arange(CEPSTRA).double()[:, None], torch.arange(FILTERS).double()
    cosines = torch.cos(torch.pi * rows * (2 * columns + 1) / (2 * FILTERS)) * math.sqrt(2 / FILTERS)
    cosines[0] /= math.sqrt(2)
    return cosines
