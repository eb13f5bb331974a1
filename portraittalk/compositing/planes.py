"""Masks and planes of pixels: growing, resizing, and how far each pixel is from others."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

JUMPS = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across)


def dilated(mask: Tensor, reach: int) -> Tensor:
    """Return a mask (..., h, w) grown by a number of pixels: the largest value of the square around each, as float."""
    across = F.max_pool2d(mask.float(), (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(across, (2 * reach + 1, 1), 1, (reach, 0))


def resized(planes: Tensor, size: float | torch.Size) -> Tensor:
    """Return planes (C, h, w) reduced by a factor, or enlarged to a size."""
    if isinstance(size, torch.Size):
        return planes if planes.shape[-2:] == size else F.interpolate(planes[None], size, mode="bilinear")[0]
    if size == 1:
        return planes
    return F.interpolate(planes[None], [math.ceil(n * size) for n in planes.shape[-2:]], mode="area")[0]


def to_nearest(known: Tensor) -> Tensor:
    """Return the offset (h, w, 2), x and y, from each cell to the nearest known one, by jump flooding (Rong and Tan
    2006)."""
    height, width = known.shape
    y, x = torch.meshgrid(*(torch.arange(n, device=known.device).float() for n in (height, width)), indexing="ij")
    cells = torch.stack((x, y))
    nearest = torch.where(known, cells, cells.new_tensor(-4.0 * (height + width)))
    step = 2 ** max(max(height, width) // 2, 1).bit_length()
    while step >= 1:
        for down, across in JUMPS:
            dy, dx = down * step, across * step
            if abs(dy) >= height or abs(dx) >= width:
                continue
            here = (..., _span(height, dy), _span(width, dx))
            there = (..., _span(height, -dy), _span(width, -dx))
            before, found = nearest[here], nearest[there]
            closer = (found - cells[here]).square().sum(0) < (before - cells[here]).square().sum(0)
            nearest[here] = torch.where(closer, found, before)
        step //= 2
    return (nearest - cells).movedim(0, -1)


def _span(size: int, shift: int) -> slice:
    """Return the places of a line that have another place ``shift`` further on."""
    return slice(max(-shift, 0), size - max(shift, 0))
