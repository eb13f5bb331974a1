"""Filling in unknown pixels smoothly."""

from torch import Tensor

from ..face.guided import box_mean
from .planes import halved, resized

RELAXED, AT_LAST = 4, 1  # smoothing steps per level, and at the finest one


def filled(picture: Tensor, known: Tensor) -> Tensor:
    """Return a picture (C, H, W) with its unknown pixels filled in smoothly from the known ones.

    known: (1, H, W) in 0..1. Known pixels stay as they are. Colours are averaged down to ever coarser levels until
    every pixel knows one, and interpolated back up (pull-push; Gortler et al. 1996); a few steps towards the mean of
    the neighbours at each level take away the blocks.
    """
    levels = []
    colours, weight = picture * known, known
    while True:
        levels.append((colours, weight))
        if max(weight.shape[-2:]) == 1 or float(weight.amin()) > 0.5:
            break
        colours, weight = halved(colours), halved(weight)
        more = (4 * weight).clamp_max(1) / weight.clamp_min(1e-6)
        colours, weight = colours * more, weight * more
    colours, weight = levels.pop()
    result = colours / weight.clamp_min(1e-6)
    for number, (colours, weight) in reversed(list(enumerate(levels))):
        unknown = 1 - weight
        result = resized(result, weight.shape[-2:]) * unknown + colours
        for _ in range(RELAXED if number else AT_LAST):
            result = box_mean(result, 1).mul_(unknown).add_(colours)
    return result
