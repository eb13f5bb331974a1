"""Filling in unknown pixels smoothly."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean

RELAXED, AT_LAST = 4, 1  # smoothing steps per level, and at the finest one


def filled(picture: Tensor, known: Tensor) -> Tensor:
    """Return a picture (C, H, W) with its unknown pixels filled in smoothly from the known ones.

    known: (1, H, W) in 0..1. Known pixels stay as they are. Colours are averaged down to ever coarser levels until
    every pixel knows one, and interpolated back up (pull-push; Gortler et al. 1996); a few steps towards the mean of
    the neighbours at each level take away the blocks.
    """
    levels = []
    colours, weight = picture[None] * known, known[None]
    while True:
        levels.append((colours, weight))
        if max(weight.shape[-2:]) == 1 or bool((weight > 0.5).all()):
            break
        colours, weight = (F.avg_pool2d(part, 2, ceil_mode=True, count_include_pad=False) for part in (colours, weight))
        more = (4 * weight).clamp_max(1) / weight.clamp_min(1e-6)
        colours, weight = colours * more, weight * more
    colours, weight = levels.pop()
    result = colours / weight.clamp_min(1e-6)
    for number, (colours, weight) in reversed(list(enumerate(levels))):
        guess = F.interpolate(result, weight.shape[-2:], mode="bilinear", align_corners=False)
        result = torch.addcmul(colours, 1 - weight, guess)
        for _ in range(RELAXED if number else AT_LAST):
            result = torch.addcmul(colours, 1 - weight, box_mean(result[0], 1)[None])
    return result[0]
