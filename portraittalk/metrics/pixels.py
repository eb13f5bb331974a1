"""Image differences (L1, PSNR, SSIM) over the whole picture or a mask, and frame-to-frame jumps at window borders."""

import math

import torch
from torch import Tensor

from ..compositing.draw import fill
from ..face import topology

MOUTH_MARGIN = 1.5  # scale of the mouth region relative to the outer lips
REGION_SIZE = 64
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels


def l1(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Return the mean absolute difference of pictures (..., 3, H, W) in 0..1, weighted by a mask (..., 1, H, W)."""
    return _mean((first - second).abs(), mask)


def psnr(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Return the PSNR in dB of pictures (..., 3, H, W) in 0..1, weighted by a mask; infinite if they are equal."""
    error = _mean((first - second).square(), mask)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Return the SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) of pictures (N, 3, H, W) in 0..1, at most 1.

    As in the paper: a Gaussian window of 11 pixels with sigma 1.5, constants 0.01 and 0.03, no padding.
    mask: (N, 1, H, W), weights of the window centres.
    """
    axis = torch.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    line = torch.exp(-axis.square() / (2 * SSIM_SIGMA**2))
    window = (torch.outer(line, line) / line.sum().square()).expand(3, 1, -1, -1).to(first)

    def average(picture: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(picture, window, groups=3)

    a, b = average(first), average(second)
    variance_a, variance_b = average(first * first) - a * a, average(second * second) - b * b
    covariance = average(first * second) - a * b
    numerator = (2 * a * b + 0.01**2) * (2 * covariance + 0.03**2)
    values = numerator / ((a * a + b * b + 0.01**2) * (variance_a + variance_b + 0.03**2))
    edge = SSIM_WINDOW // 2
    return _mean(values, None if mask is None else mask[..., edge:-edge, edge:-edge])


def sharpness(first: Tensor, second: Tensor, mask: Tensor) -> float:
    """Return how sharp pictures (N, 3, H, W) are where a mask (N, 1, H, W) is set, relative to others of the same size.

    The ratio of their Laplacian energies, so 1 is equally sharp, and 0 is without detail. An error such as ``l1`` is
    lower for a haze than for teeth that stand a little beside the real ones; this figure tells them apart. nan where
    the mask is empty.
    """
    inner = mask[..., 1:-1, 1:-1]
    energies = [(laplacian(pictures).square() * inner).sum() for pictures in (first, second)]
    return (energies[0] / energies[1]).item() if mask.any() else math.nan


def mouth_region(landmarks: Tensor, crop_size: int) -> Tensor:
    """Return masks (F, 1, S, S) in 0..1 of the enlarged outer lips. landmarks: (F, 478, 3) in crop pixels."""
    lips = landmarks[:, topology.LIPS_OUTER, :2]
    centre = lips.mean(1, keepdim=True)
    region = fill((centre + MOUTH_MARGIN * (lips - centre)) * (REGION_SIZE / crop_size), REGION_SIZE)
    return torch.nn.functional.interpolate(region[:, None], (crop_size, crop_size), mode="bilinear")


def seam_ratio(frames: Tensor, borders: list[int]) -> float:
    """Return the mean jump of frames (F, 3, H, W) at window borders divided by that elsewhere; 1: no visible seam.

    borders: indices of the first frame of each window. The jump of a frame is its absolute difference from the mean of
    its two neighbours, so that steady motion does not count.
    """
    jumps = (frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs().flatten(1).mean(1)  # of frames 1 to F - 2
    at_border = torch.zeros(len(jumps), dtype=torch.bool)
    for border in borders:
        at_border[max(border - 2, 0) : border] = True  # the frames on both sides
    return (jumps[at_border].mean() / jumps[~at_border].mean()).item()


def laplacian(pictures: Tensor) -> Tensor:
    """Return the Laplacian (..., H - 2, W - 2) of pictures (..., H, W)."""
    above, below = pictures[..., :-2, 1:-1], pictures[..., 2:, 1:-1]
    left, right = pictures[..., 1:-1, :-2], pictures[..., 1:-1, 2:]
    return 4 * pictures[..., 1:-1, 1:-1] - above - below - left - right


def _mean(values: Tensor, mask: Tensor | None) -> float:
    if mask is None:
        return values.mean().item()
    weights = mask.expand_as(values)
    return ((values * weights).sum() / weights.sum()).item()
