"""How far pictures are apart, as a whole or in a region, and how steadily they change."""

import math

import torch
from torch import Tensor

from ..compositing.draw import fill
from ..face import topology

MOUTH_MARGIN = 1.5  # how much larger than the outer lips the mouth region is
REGION_SIZE = 64
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels


def l1(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Mean absolute difference of pictures (..., 3, H, W) in 0..1, weighted by a mask (..., 1, H, W)."""
    return _mean((first - second).abs(), mask)


def psnr(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of pictures (..., 3, H, W) in 0..1, weighted by a mask; infinite where equal."""
    error = _mean((first - second).square(), mask)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004) of pictures (N, 3, H, W) in 0..1, at most 1.

    As there: a Gaussian window of 11 pixels with a deviation of 1.5, constants 0.01 and 0.03, only whole windows.
    mask: (N, 1, H, W), weights of the windows' middles.
    """
    axis = torch.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    line = torch.exp(-axis.square() / (2 * SSIM_SIGMA**2))
    window = (torch.outer(line, line) / line.sum().square()).expand(3, 1, -1, -1).to(first)

    def average(picture: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(picture, window, groups=3)

    a, b = average(first), average(second)
    spread_a, spread_b = average(first * first) - a * a, average(second * second) - b * b
    common = average(first * second) - a * b
    likeness = (2 * a * b + 0.01**2) * (2 * common + 0.03**2)
    values = likeness / ((a * a + b * b + 0.01**2) * (spread_a + spread_b + 0.03**2))
    edge = SSIM_WINDOW // 2
    return _mean(values, None if mask is None else mask[..., edge:-edge, edge:-edge])


def mouth_region(landmarks: Tensor, crop_size: int) -> Tensor:
    """The outer lips, enlarged: landmarks (F, 478, 3) in crop pixels -> (F, 1, S, S) in 0..1."""
    lips = landmarks[:, topology.LIPS_OUTER, :2]
    centre = lips.mean(1, keepdim=True)
    region = fill((centre + MOUTH_MARGIN * (lips - centre)) * (REGION_SIZE / crop_size), REGION_SIZE)
    return torch.nn.functional.interpolate(region[:, None], (crop_size, crop_size), mode="bilinear")


def seam_ratio(frames: Tensor, borders: list[int]) -> float:
    """How much more pictures (F, 3, H, W) jump where a window begins than elsewhere; 1 is no more.

    borders: numbers of the frames at which windows begin. A jump is how far a frame lies from the mean of its two
    neighbours, so that steady motion is none.
    """
    jumps = (frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs().flatten(1).mean(1)  # of frames 1 to F - 2
    at_border = torch.zeros(len(jumps), dtype=torch.bool)
    for border in borders:
        at_border[max(border - 2, 0) : border] = True  # the frames on both sides of it
    return (jumps[at_border].mean() / jumps[~at_border].mean()).item()


def _mean(values: Tensor, mask: Tensor | None) -> float:
    if mask is None:
        return values.mean().item()
    weights = mask.expand_as(values)
    return ((values * weights).sum() / weights.sum()).item()
