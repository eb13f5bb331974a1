"""Whether the lips move as they should: how well two curves of ``motion.geometry.lip_aperture`` agree."""

import torch
from torch import Tensor


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two curves (F,); frames where either is NaN do not count. NaN where one is constant."""
    known = first.isfinite() & second.isfinite()
    pair = torch.stack((first[known], second[known])).double()
    return torch.corrcoef(pair)[0, 1].item() if known.sum() > 1 else float("nan")


def best_lag(first: Tensor, second: Tensor, reach: int = 5) -> tuple[int, float]:
    """The lag in frames, up to ``reach``, at which two curves (F,) correlate best, and how well.

    It is positive where ``second`` comes later than ``first``; 0 and NaN where one of them is constant.
    """
    best, found = 0, float("nan")
    for lag in range(-reach, reach + 1):
        early = first[max(0, -lag) : len(first) - max(0, lag)]
        late = second[max(0, lag) : len(second) - max(0, -lag)]
        value = correlation(early, late)
        if value > found or (found != found and value == value):
            best, found = lag, value
    return best, found
