"""Resampling of what is known on the aligned crop's square to the pixels of the picture."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face.align import bounds, grid_to_crop, scale_of
from ..smooth import smoothstep
from ..types import Crop, MouthWindow
from .head import Box
from .warp import Span

Slices = tuple[slice, slice]  # rows and columns
STILL: Span = (0.0, 0.0, 0.0, 0.0)
FADE = 0.05  # width of the feathered border, as a fraction of the crop's side


class Placement:
    """Resampling of fields (F, C, n, n) on the crop's square, for any n, to the pixels of a box in the picture.

    Fields are feathered to zero at the border of the square. With a window, they are on this part of the square.
    Its methods take positions ``at`` in the square, (h, w, 2)
    or (F, h, w, 2) in -1..1, that the pixels of the box show: ``grid``, or where a turned head has moved them.
    """

    def __init__(self, crop: Crop, like: Tensor, box: Box | None = None, window: MouthWindow | None = None) -> None:
        x0, y0, x1, y1 = bounds(crop) if box is None else box
        columns = torch.arange(x0, x1, dtype=torch.float64) + 0.5
        rows = torch.arange(y0, y1, dtype=torch.float64) + 0.5
        grid = (grid_to_crop(columns, rows, crop) / crop.size * 2 - 1).to(like)
        self.grid = grid.movedim(-1, 0).contiguous().movedim(0, -1)  # sampling and adding are faster with x and y apart
        # The inverse, from the square to places in the box.
        matrix = crop.matrix.cpu().double()
        inverse = torch.linalg.inv(matrix[:, :2]) * (crop.size / 2)
        middle = inverse @ (1 - 2 * matrix[:, 2] / crop.size) - torch.tensor((x0, y0), dtype=torch.float64)
        self._to_box = torch.cat((inverse, middle[:, None]), 1).tolist()
        self._side = crop.size / scale_of(crop)
        self._shrinking: dict[tuple[int, int, str], Tensor] = {}
        self._in_window: tuple[float, Tensor, list[float]] | None = None
        if window is not None:
            # A position in the square, u, is at u / side + offset in the window.
            offset = (1 - 2 * window.corner) / window.side - 1
            self._in_window = window.side, offset.to(like), offset.tolist()
            self._side *= window.side

    def window(self) -> Tensor:
        """Return the feather mask (h, w) at the pixels of the box: 1 inside the crop, 0 outside."""
        inner = (1 - self.grid.abs().amax(-1)) / (2 * FADE)
        return smoothstep(inner)

    def inside(self, span: Span, shift: Span = STILL, of: Slices | None = None) -> Slices:
        """Return the rows and columns of the box, or of these ``of`` it, that can look into a part of the square.

        span: x0, x1, y0 and y1 of the part. shift: least and largest offset along x, and along y, from where a pixel is
        to where it looks.
        """
        left, right, top, bottom = span[0] - shift[1], span[1] - shift[0], span[2] - shift[3], span[3] - shift[2]
        corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
        (xx, xy, x_offset), (yx, yy, y_offset) = self._to_box
        columns = [xx * x + xy * y + x_offset for x, y in corners]
        rows = [yx * x + yy * y + y_offset for x, y in corners]
        whole = (slice(0, self.grid.shape[0]), slice(0, self.grid.shape[1])) if of is None else of
        found = []
        for places, within in zip((rows, columns), whole, strict=True):
            start = min(max(math.floor(min(places)), within.start), within.stop)
            stop = max(min(math.ceil(max(places)), within.stop), start)
            found.append(slice(start - within.start, stop - within.start) if of else slice(start, stop))
        return found[0], found[1]

    def flow(self, field: Tensor, at: Tensor) -> Tensor:
        """Sample a field (F, C, n, n): (F, C, h, w)."""
        at = at.expand(len(field), -1, -1, -1)
        return sampled(field * fade(field.shape[-1]).to(field), at, "bilinear", "zeros")

    def add(
        self,
        field: Tensor,
        boxes: Tensor,
        at: Tensor | None = None,
        of: Slices | None = None,
        shift: Span = STILL,
        mode: str = "bicubic",
    ) -> Tensor:
        """Add a field to the pixels of the box (F, C, h, w) in place, processing only the pixels that change.

        at, of: where these pixels look, and which rows and columns they are, if not those of the whole box. shift: see
        ``inside``.
        """
        size = field.shape[-1]
        field = field * fade(size).to(field)
        if size > self._side:  # downscaling needs antialiasing
            size = max(round(self._side), 1)
            field = self._smaller(field, size, "bicubic") * fade(size).to(field)
        rows, columns, shown = self.part(field, self.grid if at is None else at, mode, of, shift)
        boxes[:, :, rows, columns].add_(shown)
        return boxes

    def mix(
        self, picture: Tensor, share: Tensor, boxes: Tensor, at: Tensor, of: Slices | None = None, shift: Span = STILL
    ) -> None:
        """Blend a picture (F, 3, n, n) into the box (F, 3, h, w) in place, by a mask ``share`` (F, 1, n, n)."""
        size = picture.shape[-1]
        share = share * fade(size).to(share)
        if size > self._side:
            size = max(round(self._side), 1)
            picture, share = self._smaller(picture, size, "bicubic"), self._smaller(share, size, "bilinear")
        rows, columns, share = self.part(share, at, "bilinear", of, shift)
        grid = self._own(at[..., rows, columns, :]).expand(len(picture), -1, -1, -1)
        if grid.numel():
            shown = sampled(picture, grid)
            boxes[:, :, rows, columns] = boxes[:, :, rows, columns].lerp(shown, share)

    def part(
        self, field: Tensor, at: Tensor, mode: str = "bilinear", of: Slices | None = None, shift: Span = STILL
    ) -> tuple[slice, slice, Tensor]:
        """Return the rows and columns of the box where a field (F, C, n, n) is not zero, and the field there."""
        used = field.detach().abs().amax((0, 1)) > 0
        rows, columns = slice(0, 0), slice(0, 0)
        if used.any():
            rows, columns = self.inside(self._in_square(_span_of(used)), shift, of)
        grid = self._own(at[..., rows, columns, :]).expand(len(field), -1, -1, -1)
        if not grid.numel():
            return rows, columns, field.new_zeros((*field.shape[:2], *grid.shape[1:3]))
        return rows, columns, sampled(field, grid, mode, "zeros")

    def _smaller(self, field: Tensor, size: int, mode: str) -> Tensor:
        """Return a field (F, C, n, n) at a smaller ``size``, antialiased, by two matrix products instead of torch's
        interpolation, which takes twice as long."""
        key = (field.shape[-1], size, mode)
        if key not in self._shrinking:
            pixels = torch.eye(key[0])[None, None]
            shrunk = F.interpolate(pixels, (size, key[0]), mode=mode, antialias=True)[0, 0]
            self._shrinking[key] = shrunk.to(field)
        matrix = self._shrinking[key]
        return matrix @ (field @ matrix.T)

    def _own(self, at: Tensor) -> Tensor:
        """Return positions in the window, if there is one, of positions (..., 2) in the square."""
        return at if self._in_window is None else at / self._in_window[0] + self._in_window[1]

    def _in_square(self, span: Span) -> Span:
        """Return the part of the square of a part of the window."""
        if self._in_window is None:
            return span
        side, _, (x, y) = self._in_window
        left, right, top, bottom = span
        return side * (left - x), side * (right - x), side * (top - y), side * (bottom - y)


def _span_of(used: Tensor) -> Span:
    """Return the part of the square that can be affected by the ``used`` cells (n, n) of a field."""
    per_cell = 2 / used.shape[-1]
    rows, columns = used.any(1).nonzero()[:, 0].tolist(), used.any(0).nonzero()[:, 0].tolist()
    return (
        (columns[0] - 2) * per_cell - 1,
        (columns[-1] + 3) * per_cell - 1,
        (rows[0] - 2) * per_cell - 1,
        (rows[-1] + 3) * per_cell - 1,
    )


def fade(size: int) -> Tensor:
    """Return the feather mask (size, size): 1 inside the crop, smoothly down to exactly 0 in the outermost pixels."""
    across = torch.arange(size)
    rise = smoothstep(torch.minimum(across, across.flip(0)) / (FADE * size))
    return rise[:, None] * rise


def sampled(pixels: Tensor, grid: Tensor, mode: str = "bicubic", padding: str = "border") -> Tensor:
    """Sample pixels (F, C, n, m) at a grid (F, h, w, 2) of positions in -1..1: (F, C, h, w)."""
    return F.grid_sample(pixels, grid, mode=mode, padding_mode=padding, align_corners=False)
