"""How far pictures are apart, as a whole or in a region, and how steadily they change."""

import math

import torch
from torch import Tensor

from ..face import topology
from ..face.draw import fill

MOUTH_MARGIN = 1.5  # how much larger than the outer lips the mouth region is
REGION_SIZE = 64


def l1(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Mean absolute difference of pictures (..., 3, H, W) in 0..1, weighted by a mask (..., 1, H, W)."""
    return _mean((first - second).abs(), mask)


def psnr(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of pictures (..., 3, H, W) in 0..1, weighted by a mask; infinite where equal."""
    error = _mean((first - second).square(), mask)
    return math.inf if error == 0 else -10 * math.log10(error)


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
