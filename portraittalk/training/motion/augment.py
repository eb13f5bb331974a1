"""Augmentation of a recording's mel powers (J, bands) to other voices, rooms, microphones and noise; labels stay exact.

The motion network must generalise from one speaker with tracked lips to all voices. Scaling the frequency axis imitates
another vocal tract length and pitch; the rest imitates recording conditions.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...speech.mel import hz_to_mel, mel_to_hz

LARGEST_WARP = 0.2  # natural logarithm of the largest scaling of the frequency axis
FRAME_SECONDS = 0.01
REVERB_FRAMES = 40
GRAIN_FRAMES = 6000


def uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def augment(power: Tensor, level: float, sample_rate: int, generator: Generator) -> Tensor:
    """Return a random variation of a recording. level: active speech power (``speech.features.level_gain``)."""

    def chance(probability: float) -> bool:
        return torch.rand((), generator=generator).item() < probability

    power = warp_bands(power, math.exp(uniform(-LARGEST_WARP, LARGEST_WARP, generator)), sample_rate)
    power = power * decibels(random_curve(power.shape[1], 5.0, generator))
    if chance(0.2):
        power = reverberate(power, uniform(0.15, 0.7, generator), uniform(0.05, 0.4, generator))
    if chance(0.6):
        power = power + noise(power.shape, level * 10 ** (-uniform(8, 45, generator) / 10), generator)
    if chance(0.25):
        edges = mel_to_hz(torch.linspace(0, 1, power.shape[1]) * hz_to_mel(torch.tensor(sample_rate / 2)))
        kept = (edges > uniform(50, 350, generator)) & (edges < uniform(3200, 7000, generator))
        power = power * torch.where(kept, 1.0, 1e-7)
    return power * 10 ** (0.3 * torch.randn((), generator=generator).item())


def warp_bands(power: Tensor, factor: float, sample_rate: int) -> Tensor:
    """Multiply all frequencies by ``factor``; bands from above half the sample rate become silent."""
    bands = power.shape[1]
    top = hz_to_mel(torch.tensor(sample_rate / 2))
    centres = mel_to_hz(torch.arange(1, bands + 1) / (bands + 1) * top)
    positions = hz_to_mel(centres / factor) / top * (bands + 1) - 1
    below = positions.floor().clamp(0, bands - 1).long()
    share = (positions - below).clamp(0, 1)
    warped = power[:, below] * (1 - share) + power[:, (below + 1).clamp(max=bands - 1)] * share
    return warped * (positions < bands)


def random_curve(bands: int, spread: float, generator: Generator) -> Tensor:
    """Return a smooth random curve (bands,) with a standard deviation of about ``spread``: four cosines."""
    axis = torch.linspace(0, math.pi, bands)
    weights = torch.randn(4, generator=generator) * spread / torch.tensor([1.0, 1.5, 2.0, 3.0])
    return sum(weight * torch.cos((order + 1) * axis) for order, weight in enumerate(weights))


def decibels(values: Tensor) -> Tensor:
    return 10 ** (values / 10)


def reverberate(power: Tensor, seconds: float, strength: float) -> Tensor:
    """Add a tail that decays by 60 dB in ``seconds``. strength: its energy relative to the direct sound."""
    decay = 10 ** (-6 * FRAME_SECONDS / seconds)
    tail = decay ** torch.arange(1, REVERB_FRAMES + 1)
    kernel = torch.cat((tail.flip(0) / tail.sum() * strength, torch.ones(1)))
    padded = F.pad(power.T[:, None], (REVERB_FRAMES, 0))  # (bands, 1, J)
    return F.conv1d(padded, kernel.view(1, 1, -1))[:, 0].T


def noise(shape: torch.Size | tuple[int, int], level: float, generator: Generator) -> Tensor:
    """Return noise (J, bands) with a random spectrum and a mean power of ``level`` per frame, steady or modulated."""
    frames, bands = shape
    colour = decibels(random_curve(bands, 8.0, generator))
    colour = colour / colour.sum() * level
    steady = grain(bands)
    first = int(torch.randint(len(steady) - frames + 1, (), generator=generator))
    swell = torch.ones(frames)
    if torch.rand((), generator=generator).item() < 0.4:
        slow = F.interpolate(
            torch.randn(1, 1, max(2, frames // 25), generator=generator), size=frames, mode="linear", align_corners=True
        )
        swell = decibels(6 * slow[0, 0])
    return colour * steady[first : first + frames] * swell[:, None]


@cache
def grain(bands: int) -> Tensor:
    """Return 60 s of white noise powers (GRAIN_FRAMES, bands) with mean 1."""
    generator = Generator().manual_seed(0)
    return torch.rand(3, GRAIN_FRAMES, bands, generator=generator).clamp(min=1e-6).log().neg().mean(0)
