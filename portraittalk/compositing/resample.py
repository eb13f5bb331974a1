"""Twice as many pixels of a picture, worked out once, so that every frame can be sampled linearly."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOBES = 3  # of the Lanczos filter
SHARPER = 1.25  # factor of its second lobe, which makes up for what linear sampling blurs
LARGEST_DOUBLED = 2**21  # pixels of a picture; their doubled colours take 128 MB


def doubled(pixels: Tensor) -> Tensor:
    """Return a picture (1, C, n, m) at twice the density: (1, C, 2 n, 2 m), every other pixel as it was.

    The pixels between are found by a sharpened Lanczos filter for the first three channels, the colours, and by linear
    interpolation for others. Sampled linearly at any place, a photograph is nearer the truth than by bicubic sampling,
    and as sharp everywhere as bicubic sampling is on average.
    """
    places = torch.arange(LOBES) + 0.5
    lanczos = torch.sinc(places) * torch.sinc(places / LOBES)
    lanczos[1] *= SHARPER
    linear = torch.zeros(LOBES)
    linear[0] = 1.0
    found = [_doubled(part, half) for part, half in ((pixels[:, :3], lanczos), (pixels[:, 3:], linear)) if part.numel()]
    return torch.cat(found, 1).contiguous()


def _doubled(pixels: Tensor, half: Tensor) -> Tensor:
    """half: (L,) weights of the pixels on one side of the place between two, the nearest first."""
    weights = (half / (2 * half.sum())).tolist()
    for axis in (-1, -2):
        between = _between(pixels, weights, axis)
        pixels = torch.stack((pixels, between), -1 if axis == -1 else -2).flatten(axis - 1, axis)
    return pixels


def _between(pixels: Tensor, weights: list[float], axis: int) -> Tensor:
    """Return the weighted sum at the place after each pixel along an axis; those at the border are repeated."""
    before, after, size = len(weights) - 1, len(weights), pixels.shape[axis]
    margin = (before, after, 0, 0) if axis == -1 else (0, 0, before, after)
    padded = F.pad(pixels, margin, mode="replicate")
    total = torch.zeros_like(pixels)
    for distance, weight in enumerate(weights):
        for start in (before - distance, after + distance):
            total.add_(padded.narrow(axis, start, size), alpha=weight)
    return total
