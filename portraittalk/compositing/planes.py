"""Masks and planes of pixels: growing, resizing, and how far each pixel is from others."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def dilated(mask: Tensor, reach: int) -> Tensor:
    """Return a mask (..., h, w) grown by a number of pixels: the largest value of the square around each, as float."""
    grown = mask.to(torch.uint8) if mask.dtype == torch.bool else mask.float()  # a quarter of the memory
    return _line_max(_line_max(grown, reach, -1), reach, -2).float()


def _line_max(values: Tensor, reach: int, dim: int) -> Tensor:
    """Return the largest of the values up to ``reach`` before and after each along one dimension.

    Spans are joined to ones of up to twice the length, as in a sparse table, which takes a few operations for any
    reach; ``max_pool2d`` takes 10 to 50 times as long on a CPU.
    """
    size = values.shape[dim]
    reach = min(reach, size - 1)
    length = 1  # of the spans, each of which begins at its place
    while length < reach + 1:
        step = min(length, reach + 1 - length)
        joined = values.clone()
        here, there = values.narrow(dim, 0, size - step), values.narrow(dim, step, size - step)
        torch.maximum(here, there, out=joined.narrow(dim, 0, size - step))
        values, length = joined, length + step
    if not reach:
        return values
    # The span that ends at a place begins ``reach`` before it, or with the line.
    found = torch.empty_like(values)
    head, tail = values.narrow(dim, 0, reach), values.narrow(dim, reach, size - reach)
    torch.maximum(head, values.narrow(dim, 0, 1), out=found.narrow(dim, 0, reach))
    torch.maximum(tail, values.narrow(dim, 0, size - reach), out=found.narrow(dim, reach, size - reach))
    return found


def resized(planes: Tensor, size: float | torch.Size) -> Tensor:
    """Return planes (C, h, w) reduced by a factor, or enlarged to a size."""
    if isinstance(size, torch.Size):
        # Planes one by one: of three channels at once, torch takes three times as long on a CPU.
        return planes if planes.shape[-2:] == size else F.interpolate(planes[:, None], size, mode="bilinear")[:, 0]
    if size in (0.5, 1):
        return planes if size == 1 else halved(planes)
    return F.interpolate(planes[None], [math.ceil(n * size) for n in planes.shape[-2:]], mode="area")[0]


def halved(planes: Tensor) -> Tensor:
    """Return the means of planes (..., C, h, w) over squares of two pixels, which the last row and column may not fill.

    As ``avg_pool2d`` does, which takes several times as long on a CPU.
    """
    height, width = planes.shape[-2:]
    if height % 2 or width % 2:
        planes = F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate")
    left, right = planes[..., ::2], planes[..., 1::2]
    above, below = slice(0, None, 2), slice(1, None, 2)
    sums = (left[..., above, :] + right[..., above, :]).add_(left[..., below, :]).add_(right[..., below, :])
    return sums.mul_(0.25)


def distances(known: Tensor, limit: float) -> Tensor:
    """Return the distance (h, w) in cells from each cell to the nearest known one, where it is at most ``limit``.

    Further away it is larger than that. known: (h, w), bool. First the distance in each column is found, then the
    nearest of the columns (Saito and Toriwaki 1994).
    """
    height, width = known.shape
    most = math.floor(limit)
    away = torch.where(known, 0.0, 2.0 * limit + height + width)
    step = 1
    while step <= min(most, height - 1):
        nearer = away.clone()
        for here, there in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            torch.minimum(nearer[here], away[there] + step, out=nearer[here])
        away, step = nearer, 2 * step
    squared = away.square_()
    found = squared.clone()
    for step in range(1, min(most, width - 1) + 1):
        other = squared + step**2
        for here, there in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            torch.minimum(found[:, here], other[:, there], out=found[:, here])
    return found.sqrt_()
