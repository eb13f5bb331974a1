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
    found = pixels.new_empty(*pixels.shape[:3], 2, 2 * pixels.shape[3])
    for channels, half in ((slice(0, 3), lanczos), (slice(3, None), linear)):
        part, rows = pixels[:, channels], found[:, channels]
        if part.numel():
            weights = (half / (2 * half.sum())).tolist()
            between = _between(part, weights, -1, torch.empty_like(part))
            # Complex numbers are the fastest way of interleaving two tensors.
            wide = torch.view_as_real(torch.complex(part.contiguous(), between)).flatten(-2)
            rows[..., 0, :] = wide
            _between(wide, weights, -2, rows[..., 1, :])
    return found.flatten(2, 3)


def _between(pixels: Tensor, weights: list[float], axis: int, out: Tensor) -> Tensor:
    """Write the weighted sum at the place after each pixel along an axis; those at the border are repeated.

    weights: of the pixels on either side of it, the nearest first. Returns ``out``.
    """
    before, after, size = len(weights) - 1, len(weights), pixels.shape[axis]
    margin = (before, after, 0, 0) if axis == -1 else (0, 0, before, after)
    padded = F.pad(pixels, margin, mode="replicate")
    out.zero_()
    for distance, weight in enumerate(weights):
        for start in (before - distance, after + distance) if weight else ():
            out.add_(padded.narrow(axis, start, size), alpha=weight)
    return out
