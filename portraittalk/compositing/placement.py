"""Resampling of what is known on the aligned crop's square to the pixels of the picture."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face.align import bounds, scale_of, to_crop
from ..smooth import smoothstep
from ..types import Crop
from .head import Box

FADE = 0.05  # width of the feathered border, as a fraction of the crop's side


class Placement:
    """Resampling of fields (F, C, n, n) on the crop's square, for any n, to the pixels of a box in the picture.

    Fields are feathered to zero at the border of the square. Its methods take positions ``at`` in the square, (h, w, 2)
    or (F, h, w, 2) in -1..1, that the pixels of the box show: ``grid``, or where a turned head has moved them.
    """

    def __init__(self, crop: Crop, like: Tensor, box: Box | None = None) -> None:
        x0, y0, x1, y1 = bounds(crop) if box is None else box
        columns = torch.arange(x0, x1, dtype=torch.float64) + 0.5
        rows = torch.arange(y0, y1, dtype=torch.float64) + 0.5
        points = to_crop(torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1), crop)
        self.grid = (points / crop.size * 2 - 1).to(like)
        self._side = crop.size / scale_of(crop)

    def window(self) -> Tensor:
        """Return the feather mask (h, w) at the pixels of the box: 1 inside the crop, 0 outside."""
        inner = (1 - self.grid.abs().amax(-1)) / (2 * FADE)
        return smoothstep(inner)

    def inside(self, reach: float = 1.0) -> tuple[slice, slice]:
        """Return the rows and columns of the box within ``reach`` of the middle of the square; 1 is its border."""
        return span(self.grid, -reach, reach, -reach, reach)

    def flow(self, field: Tensor, at: Tensor) -> Tensor:
        """Sample a field (F, C, n, n): (F, C, h, w)."""
        at = at.expand(len(field), -1, -1, -1)
        return sampled(field * fade(field.shape[-1]).to(field), at, "bilinear", "zeros")

    def add(self, field: Tensor, boxes: Tensor, at: Tensor | None = None) -> Tensor:
        """Add a field to the pixels of the box (F, C, h, w) in place, processing only the pixels that change."""
        size = field.shape[-1]
        field = field * fade(size).to(field)
        if size > self._side:  # downscaling needs antialiasing
            size = max(round(self._side), 1)
            field = F.interpolate(field, (size, size), mode="bicubic", antialias=True) * fade(size).to(field)
        rows, columns, shown = self.part(field, self.grid if at is None else at, "bicubic")
        boxes[:, :, rows, columns].add_(shown)
        return boxes

    def mix(self, picture: Tensor, share: Tensor, boxes: Tensor, at: Tensor) -> None:
        """Blend a picture (F, 3, n, n) into the box (F, 3, h, w) in place, by a mask ``share`` (F, 1, n, n)."""
        size = picture.shape[-1]
        share = share * fade(size).to(share)
        if size > self._side:
            size = max(round(self._side), 1)
            picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True)
            share = F.interpolate(share, (size, size), mode="bilinear", antialias=True)
        rows, columns, share = self.part(share, at)
        grid = at[..., rows, columns, :].expand(len(picture), -1, -1, -1)
        if grid.numel():
            shown = sampled(picture, grid)
            boxes[:, :, rows, columns] = boxes[:, :, rows, columns].lerp(shown, share)

    def part(self, field: Tensor, at: Tensor, mode: str = "bilinear") -> tuple[slice, slice, Tensor]:
        """Return the rows and columns of the box where a field (F, C, n, n) is not zero, and the field there."""
        used = field.detach().abs().amax((0, 1)) > 0
        rows, columns = self._reached(used, at) if used.any() else (slice(0, 0), slice(0, 0))
        grid = at[..., rows, columns, :].expand(len(field), -1, -1, -1)
        if not grid.numel():
            return rows, columns, field.new_zeros((*field.shape[:2], *grid.shape[1:3]))
        return rows, columns, sampled(field, grid, mode, "zeros")

    def _reached(self, used: Tensor, at: Tensor) -> tuple[slice, slice]:
        """Return the rows and columns of the box that can be affected by the ``used`` cells (n, n) of a field."""
        per_cell = 2 / used.shape[-1]
        rows, columns = used.any(1).nonzero(), used.any(0).nonzero()
        left, right = (columns.min().item() - 2) * per_cell - 1, (columns.max().item() + 3) * per_cell - 1
        top, bottom = (rows.min().item() - 2) * per_cell - 1, (rows.max().item() + 3) * per_cell - 1
        return span(at, left, right, top, bottom)


def span(at: Tensor, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
    """Return the rows and columns of positions (h, w, 2) or (F, h, w, 2) that reach into a rectangle."""
    x, y = at.unbind(-1)
    reached = (x > left) & (x < right) & (y > top) & (y < bottom)
    if reached.ndim == 3:
        reached = reached.any(0)
    spans = []
    for line in (reached.any(1), reached.any(0)):
        indices = line.nonzero()[:, 0]
        spans.append(slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0))
    return spans[0], spans[1]


def fade(size: int) -> Tensor:
    """Return the feather mask (size, size): 1 inside the crop, smoothly down to exactly 0 in the outermost pixels."""
    across = torch.arange(size)
    rise = smoothstep(torch.minimum(across, across.flip(0)) / (FADE * size))
    return rise[:, None] * rise


def sampled(pixels: Tensor, grid: Tensor, mode: str = "bicubic", padding: str = "border") -> Tensor:
    """Sample pixels (F, C, n, m) at a grid (F, h, w, 2) of positions in -1..1: (F, C, h, w)."""
    return F.grid_sample(pixels, grid, mode=mode, padding_mode=padding, align_corners=False)
