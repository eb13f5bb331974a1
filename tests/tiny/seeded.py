"""Weights for networks whose published ones cannot be had here: a formula's, the same on every machine."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def seeded(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Published keys with their shapes -> tensors that keep a signal's size through the layers."""
    state = {}
    for number, (key, shape) in enumerate(sorted(shapes.items())):
        if key.startswith("classifier"):  # large, and read by nobody
            state[key] = torch.zeros(()).expand(tuple(shape))
            continue
        value = noise(shape, number)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
        elif key.endswith(("bias", "running_mean")):
            state[key] = 0.2 * (value - 0.5)
        elif len(shape) == 1 or key.startswith("lin"):
            state[key] = 0.5 + value
        else:
            state[key] = (2 * value - 1) * math.sqrt(6 / math.prod(shape[1:]))
    return state


def noise(shape: Sequence[int], number: int = 0) -> Tensor:
    """Float32 in 0..1 that only the shape and the number decide, not a generator of some version of torch."""
    steps = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return ((12.9898 * steps + 78.233 * number).sin() * 43758.5453).frac().abs().float().reshape(tuple(shape))
