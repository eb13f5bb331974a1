"""Whether the lips move as they should: how well two curves of ``motion.geometry.lip_aperture`` agree."""

import torch
from torch import Tensor


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two curves (F,); frames where either is NaN do not count. NaN where one is constant."""
    known = first.isfinite() & second.isfinite()
    pair = torch.stack((first[known], second[known])).double()
    return torch.corrcoef(pair)[0, 1].item() if known.sum() > 1 else float("nan")


def best_lag(first: Tensor, second: Tensor, reach: int = 5) -> tuple[int, float]:
    """The lag in frames by which ``second`` comes later than ``first``, up to ``reach``, that correlates best, and how well."""
    found = []
    for lag in range(-reach, reach + 1):
        a = first[max(0, -lag) : len(first) - max(0, lag)]
        b = second[max(0, lag) : len(second) - max(0, -lag)]
        found.append((correlation(a, b), lag))
    value, lag = max(pair for pair in found if pair[0] == pair[0]) if any(v == v for v, _ in found) else (float("nan"), 0)
    return lag, value
