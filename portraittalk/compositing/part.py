"""The part of a picture that the frames of a portrait can change, and how it is drawn.

Positions are those of the aligned crop's square, -1..1. A pixel of a frame looks at where the turned head has come from
and, there, at where the expression has come from; both fields are smooth and known on coarse grids. Only pixels near
the person are sampled, because the others show the background, which stands still.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face.align import bounds, scale_of
from ..types import Crop, MouthWindow
from .backdrop import Backdrop
from .beyond import beyond_border
from .head import Box
from .lids import Lids
from .placement import Placement, Slices, sampled
from .resample import LARGEST_DOUBLED, doubled
from .warp import SHEETS, show_sheets, where_sheets_differ

SUPPORT = 3  # pixels around a position that sampling reads
ROWS = 48  # of a band, whose part of the source stays in the processor's cache for all frames
REACHES = (4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, math.inf)  # pixels for which bands are worked out


Instead = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Drawn:
    """What is drawn in a window of the crop, for F frames.

    residual: (F, 3, n, n), added to the warped picture. picture: (F, 3, n, n) in 0..1, shown instead of it by the mask
    ``weight`` (F, 1, n, n).
    """

    window: MouthWindow
    residual: Tensor
    picture: Tensor
    weight: Tensor

    def __getitem__(self, frames: slice) -> "Drawn":
        return Drawn(self.window, self.residual[frames], self.picture[frames], self.weight[frames])


class Part:
    """The part of a picture, a pixel box, that the frames of a portrait can change.

    margin: pixels around the box that its frames can show, see ``beyond_border``. backdrop: what stands still
    behind the person; without it everything moves. turning: box of the head that can turn, within.
    """

    def __init__(
        self,
        portrait: Tensor,
        crop: Crop,
        box: Box,
        margin: int = 0,
        backdrop: Backdrop | None = None,
        turning: Box | None = None,
    ) -> None:
        self.box = x0, y0, x1, y1 = box
        self._crop = crop
        self._native_size = max(math.ceil(crop.size / scale_of(crop) - 1e-3), 1)
        self._placement = Placement(crop, portrait, box)
        self._picture = portrait[None, :, y0:y1, x0:x1].contiguous()
        layers, first = (portrait, (0, 0)) if backdrop is None else (backdrop.layers, backdrop.box[:2])
        # (1, 3 or 4, n, m): colours, the background's share
        source = beyond_border(layers, first, crop.image_size, box, margin)
        height, width = source.shape[-2:]
        # Linear sampling of twice the pixels is as sharp as bicubic sampling, and takes a third of the time.
        self._density = 2 if height * width <= LARGEST_DOUBLED else 1
        self._source = doubled(source) if self._density == 2 else source
        self._background = None if backdrop is None else backdrop.within(box).contiguous()
        self._distance = None if backdrop is None else backdrop.distance(box)
        self._head = (
            None
            if turning is None
            else (slice(turning[1] - y0, turning[3] - y0), slice(turning[0] - x0, turning[2] - x0))
        )
        self._interpolation: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._changing = torch.zeros(self._picture.shape[-2:], dtype=torch.bool, device=portrait.device)
        cx0, cy0, cx1, cy1 = bounds(crop)
        self._changing[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0] = True
        if self._head is not None:
            self._changing[self._head] = True
        # The positions in the sampled source, in -1..1, are an affine function of those in the square.
        size, matrix = torch.tensor((width, height), dtype=torch.float64), crop.matrix.cpu().double()
        to_pixels = torch.linalg.inv(matrix[:, :2]) * (crop.size / 2)
        corner = size.new_tensor((x0 - margin, y0 - margin))
        corner = corner + (0.25 if self._density == 2 else 0)  # every other of the doubled pixels is one of the source
        offset = to_pixels @ (1 - 2 * matrix[:, 2] / crop.size) - corner
        self._to_source = (2 / size[:, None] * to_pixels).tolist()
        self._source_offset = (2 / size * offset - 1).tolist()
        self._rest = self._in_source(self._placement.grid)  # (h, w, 2)
        self._in_window: tuple[MouthWindow, Placement] | None = None
        self._bands: dict[float, list[Slices]] = {}
        self._inside = max(margin - SUPPORT, 0)  # pixels that can be looked away without looking out of the source
        # Sampling is not exact even at rest: what it takes from the picture is given back.
        self._correction = self._picture - self._colours(self._rest[None], slice(None), slice(None))

    def draw(
        self,
        boxes: Tensor,
        flow: Tensor,
        residual: Tensor,
        instead: Instead | None,
        turn: Tensor | None,
        within: bool,
        blink: tuple[Lids, Tensor] | None,
        drawn: Drawn | None = None,
    ) -> None:
        """Write the box (F, 3, h, w) in 0..1 of frames.

        turn: (F, 2, n, m) from ``Head.offsets``, or None for the portrait's pose. within: only the crop may change.
        blink: lids and their closure (F, 2). drawn: in a window, over everything else.
        """
        shift, reach = (0.0, 0.0, 0.0, 0.0), 0.0
        if turn is not None:
            turn = turn * (2 / self._crop.size)
            shift, reach = _extent(turn), _farthest(turn)
        rows, columns = self._placement.inside((-1, 1, -1, 1), shift)
        at = self._turned(turn, self._placement.grid, len(flow), within)(rows, columns)  # (F, h, w, 2)
        expression, edges = self._placement.flow(self._moved_in_source(2 * flow[:, :2]), at), []  # (F, 2, h, w)
        for window in where_sheets_differ(flow):
            down, across = self._placement.inside(window, shift, (rows, columns))
            shown = show_sheets(self._placement.flow(flow, at[:, down, across]), self._native_size)
            expression[:, :, down, across] = self._moved_in_source(2 * shown.offsets)
            number, ys, xs = shown.edges
            if len(number):
                base = at[:, down, across][number, ys, xs, None]  # (K, 1, 2)
                place = (number, ys + (rows.start + down.start), xs + (columns.start + across.start))
                edges.append((place, base + 2 * shown.edge_offsets, shown.shares))
        turned = self._turned(None if turn is None else self._moved_in_source(turn), self._rest, len(flow), within)
        farthest = (reach + _farthest(2 * flow[:, : 2 * SHEETS])) * self._native_size / 2
        bands = self._within(farthest)
        for down, across in beside(bands, self._picture.shape[-2:]):
            boxes[..., down, across] = self._picture[..., down, across]
        for down, across in bands:
            looked = turned(down, across)
            ours, theirs = zip(*(_overlap(band, crop) for band, crop in ((down, rows), (across, columns))), strict=True)
            looked[:, ours[0], ours[1]] += expression[..., theirs[0], theirs[1]].movedim(1, -1)
            colours = self._colours(looked, down, across, farthest)
            torch.clamp(colours.add_(self._correction[..., down, across]), 0, 1, out=boxes[..., down, across])
        for place, positions_of_sheets, shares in edges:
            self._mix_edges(boxes, place, positions_of_sheets, shares)
        inner = boxes[:, :, rows, columns]
        if blink is not None:
            lids, closure = blink
            lids.close(inner, (at.movedim(-1, -3) + 1) / 2 + self._placement.flow(flow[:, :2], at), closure)
        self._placement.add(residual, inner, at, (rows, columns), shift, "bilinear")
        if instead is not None:
            self._placement.mix(*instead, inner, at, (rows, columns), shift)
        if drawn is not None:
            placement = self._placement_in(drawn.window)
            placement.add(drawn.residual, inner, at, (rows, columns), shift, "bilinear")
            placement.mix(drawn.picture, drawn.weight, inner, at, (rows, columns), shift)
        inner.clamp_(0, 1)

    def _placement_in(self, window: MouthWindow) -> Placement:
        if self._in_window is None or self._in_window[0] is not window:
            self._in_window = window, Placement(self._crop, self._picture, self.box, window)
        return self._in_window[1]

    def _turned(self, turn: Tensor | None, rest: Tensor, count: int, within: bool) -> Callable[[slice, slice], Tensor]:
        """Return a function of rows and columns of the box that returns where they look in F frames: (F, h, w, 2).

        turn: (F, 2, n, m) on the cells of ``Head``. rest: (h, w, 2), where the box looks at rest, in the coordinates of
        ``turn``. count: F.
        """
        if turn is None:
            return lambda rows, columns: rest[rows, columns].expand(count, -1, -1, -1).clone()
        down, across = self._interpolating(turn.shape[2], turn.shape[3])
        # Two matrix products are several times faster than torch's interpolation, and x and y apart than side by side.
        lines = (turn @ across.T).transpose(0, 1)  # (2, F, n, w)
        ways = rest.movedim(-1, 0)

        def looked(rows: slice, columns: slice) -> Tensor:
            found = lines.new_empty(2, count, rows.stop - rows.start, columns.stop - columns.start)
            for start in range(rows.start, rows.stop, ROWS):
                some = slice(start, min(start + ROWS, rows.stop))
                cells = self._cells_about(some, lines.shape[2])
                height = down[some, cells].expand(count, -1, -1)
                out = found[:, :, some.start - rows.start : some.stop - rows.start]
                for at, line, part in zip(ways, lines, out, strict=True):
                    torch.baddbmm(at[some, columns].expand_as(part), height, line[:, cells, columns], out=part)
            if within:
                at_rest = ways[:, None, rows, columns]
                found = at_rest + (found - at_rest) * self._placement.window()[rows, columns]
            return found.movedim(0, -1)

        return looked

    def _cells_about(self, rows: slice, count: int) -> slice:
        """Return which of the head's ``count`` cells along y the motion of rows of the box depends on."""
        assert self._head is not None  # only parts with a head are turned
        inside = self._head[0]
        per_row = (count - 1) / max(inside.stop - inside.start - 1, 1)
        first = math.floor((rows.start - inside.start) * per_row) - 1
        last = math.floor((rows.stop - 1 - inside.start) * per_row) + 2
        first = min(max(first, 0), count - 1)
        return slice(first, min(max(last, first), count - 1) + 1)

    def _interpolating(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return the matrices (h, rows) and (w, columns) of linear interpolation from the head's cells to the box.

        The cells at the ends lie on the borders of the head's part; outside of it nothing moves.
        """
        assert self._head is not None  # only parts with a head are turned
        if (rows, columns) not in self._interpolation:
            found = []
            for cells, inside, size in zip((rows, columns), self._head, self._picture.shape[-2:], strict=True):
                matrix = torch.zeros(size, cells)
                fine = inside.stop - inside.start
                matrix[inside] = F.interpolate(torch.eye(cells)[None], fine, mode="linear", align_corners=True)[0].T
                found.append(matrix.to(self._picture))
            self._interpolation[rows, columns] = found[0], found[1]
        return self._interpolation[rows, columns]

    def _in_source(self, positions: Tensor) -> Tensor:
        """Return positions (..., 2) in the square as positions in the sampled source, in -1..1."""
        moved = self._moved_in_source(positions.movedim(-1, 0)[None])[0].movedim(0, -1)
        return moved + moved.new_tensor(self._source_offset)

    def _moved_in_source(self, offsets: Tensor) -> Tensor:
        """Return offsets (F, 2, ...) in the square as offsets in the source."""
        x, y = offsets.unbind(1)
        (xx, xy), (yx, yy) = self._to_source
        return torch.stack((torch.add(x * xx, y, alpha=xy), torch.add(x * yx, y, alpha=yy)), 1)

    def _within(self, farthest: float) -> list[Slices]:
        """Return the bands, rows and their columns, that can show something else when nothing moves further than some
        pixels."""
        reach = next(reach for reach in REACHES if reach >= farthest)
        if reach not in self._bands:
            changing = self._changing
            if self._distance is not None:
                changing = changing & (self._distance <= reach + SUPPORT)
            self._bands[reach] = []
            changing = changing.cpu()  # once, so that a GPU need not be waited for row by row
            for start in range(0, len(changing), ROWS):
                lines = changing[start : start + ROWS]
                columns = lines.any(0).nonzero()[:, 0]
                if len(columns):
                    rows, span = slice(start, start + len(lines)), slice(int(columns[0]), int(columns[-1]) + 1)
                    self._bands[reach].append((rows, span))
        return self._bands[reach]

    def _colours(self, grid: Tensor, rows: slice, columns: slice, farthest: float = 0.0) -> Tensor:
        """Return the colours (F, 3, h, w) of rows and columns of the box that look at positions (F, h, w, 2) of the
        source.

        farthest: pixels that these are away from the pixels that show them, at most.
        """
        person, share = self._sampled(grid, farthest < self._inside)
        return person if self._background is None else person.addcmul_(share, self._background[:, rows, columns])

    def _sampled(self, grid: Tensor, inside: bool = False) -> tuple[Tensor, Tensor]:
        """Sample the source at positions (F, h, w, 2) in it: the person's part (F, 3, h, w), or everything if there is
        no background, and the background's share (F, 1, h, w) or nothing.

        inside: whether all positions are known to lie inside the source, which is faster by a quarter.
        """
        padding = "zeros" if inside else "border"
        source = self._source.expand(len(grid), -1, -1, -1)
        if self._density == 2:
            found = sampled(source, grid, "bilinear", padding)
            return found[:, :3], found[:, 3:]
        colours = sampled(source[:, :3], grid, "bicubic", padding)
        return colours, sampled(source[:, 3:], grid, "bilinear", padding) if source.shape[1] > 3 else colours[:, :0]

    def _mix_edges(
        self, boxes: Tensor, place: tuple[Tensor, Tensor, Tensor], positions: Tensor, shares: Tensor
    ) -> None:
        """Set pixels that several sheets share, at places (frame, row and column, (K,) each) of the box, in place.

        positions: (K, 3, 2) that each sheet shows there. shares: (K, 3) of the sheets.
        """
        number, ys, xs = place
        person, share = self._sampled(self._in_source(positions)[None])  # (1, 3, K, 3), (1, 1, K, 3)
        mixed = (person * shares).sum(-1)
        if self._background is not None:
            mixed = mixed + (share * shares).sum(-1) * self._background[:, ys, xs]
        boxes[number, :, ys, xs] = (mixed[0] + self._correction[0, :, ys, xs]).T


def beside(bands: list[Slices], size: tuple[int, int] | torch.Size) -> Iterator[Slices]:
    """Yield the parts of a picture of (height, width) that are not in bands, which follow each other downwards."""
    height, width = size
    end = 0
    for rows, columns in bands:
        yield slice(end, rows.start), slice(0, width)
        yield rows, slice(0, columns.start)
        yield rows, slice(columns.stop, width)
        end = rows.stop
    yield slice(end, height), slice(0, width)


def _overlap(first: slice, second: slice) -> tuple[slice, slice]:
    """Return what two slices share, as a slice of each."""
    start, stop = max(first.start, second.start), min(first.stop, second.stop)
    stop = max(start, stop)
    return slice(start - first.start, stop - first.start), slice(start - second.start, stop - second.start)


def _extent(turn: Tensor) -> tuple[float, float, float, float]:
    """Return least and largest offset along x, and along y, of offsets (F, 2, n, m) that fade to 0."""
    low, high = turn.amin((0, 2, 3)).clamp_max(0).tolist(), turn.amax((0, 2, 3)).clamp_min(0).tolist()
    return low[0], high[0], low[1], high[1]


def _farthest(offsets: Tensor) -> float:
    """Return a bound of the length of offsets (F, 2 n, h, w)."""
    return math.sqrt(2) * float(offsets.abs().max())
