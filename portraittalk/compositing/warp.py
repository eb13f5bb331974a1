"""Warping the reference picture so that its landmarks move to those of the target.

Lips and lids slide over what is behind them, so a single continuous flow field cannot move a face: when an eye closes,
the upper lid moves down over the eyeball to the lower lid, which hardly moves. The face is therefore moved as three
*sheets*: everything above the seams of mouth and eyes, everything below them, and what is visible in the openings. Each
has a smooth flow field, and the edges in the target decide which sheet a pixel shows.

Displacements known at landmarks are interpolated over the crop from coarse to fine: each level is a normalised Gaussian
average of the residuals of the levels before, so a field is smooth far from the landmarks and exact at them. Fixed
points on the crop's border keep the background still, and a window takes the fields to zero there, so that the crop
fits back into its picture. Away from the openings the sheets coincide. Landmarks that a face hides, because it looks to
the side, count for nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.topology import FACE_OVAL, IRIS_RIGHT
from ..face.turned import looks_aside, seen_share
from ..smooth import smoothstep
from .openings import above_lashes, behind_openings, nearness, one_sided, sides, tucked_lips
from .planes import dilated

COARSE_SIGMAS = (0.16, 0.08)  # one per level, as fractions of the crop's side; the sheets share these levels
FINE_SIGMAS = (0.04, 0.02, 0.012, 0.009)
STIFFNESS = 0.1  # summed weight below which a level's correction fades out; lower values reach further
LOWEST_EXPONENT = -30.0  # of a weight: sums of products of two and a residual are not denormal, which is slow on CPUs
BORDER = 0.1  # width, as a fraction of the crop's side, over which the fields fall to zero at the border
ANCHORS_PER_SIDE = 12
RIM = 0.15  # distance outside the face oval of a rim of points that moves with it, as a fraction of its radius
EDGE_DIFFERENCE = 0.25  # difference of two sheets at an edge, in pixels, from which the edge is antialiased
FINER = 2  # cells of the flow of a face that looks to the side, per cell: far edges of lips are steep

SHEETS = 3  # above, below, behind
SAME = 1e-6  # difference of sheets, in sides of the crop, that does not count
INSIDE = 1.5  # cells around an opening in which what is behind it may be seen
Span = tuple[float, float, float, float]  # a part of the crop's square -1..1: x0, x1, y0 and y1


def flow_between(source: Tensor, target: Tensor, crop_size: float, flow_size: int = 64) -> Tensor:
    """Return the backward flow (F, 8, flow_size, flow_size) from a reference to target landmarks.

    source: (478, 3), target: (F, 478, 3), both in crop pixels. flow_size: cells per side; the flow of a face that looks
    to the side has ``FINER`` times as many. All channels are fractions of the crop's side. 0..5: offsets (dx, dy) of
    the sheets above, below and behind; the target position p shows the reference at ``p + offset(p)``. 6: how far p
    lies above the upper edge of its opening; 7: how far below the lower edge; both are negative inside the opening.
    """
    reference, end = source[None, :, :2] / crop_size, target[..., :2] / crop_size
    start, end = above_lashes(reference, end)
    anchors = _border_points(ANCHORS_PER_SIDE).to(target).expand(len(target), -1, -1)
    points = torch.cat((_handles(end), anchors), 1)  # (F, P, 2)
    wanted = torch.cat((_handles(tucked_lips(start, end)), anchors), 1) - points
    centres = (torch.arange(flow_size, device=target.device, dtype=target.dtype) + 0.5) / flow_size
    all_points = _counts(source, points.shape[1])  # (P, 1)
    flow = torch.zeros(len(target), 1, 2, flow_size, flow_size).to(target)
    flow = _refine(flow, points, wanted, all_points, centres, COARSE_SIGMAS, 1e-12)
    counts = all_points.repeat(1, 2)
    counts[: IRIS_RIGHT[0]] *= one_sided(reference[0])[: IRIS_RIGHT[0]]
    behind, shows = behind_openings(start, end)
    sheet_counts = torch.cat((all_points, counts), 1)  # (P, 3)
    merged, *separate = _refine(
        flow.expand(-1, 3, -1, -1, -1), points, wanted, sheet_counts, centres, FINE_SIGMAS
    ).unbind(1)
    inside = _refine(flow, behind, shows - behind, torch.ones_like(behind[0, :, :1]), centres, FINE_SIGMAS)
    near = nearness(end, centres)  # (F, 1, g, g)
    sheets = [torch.lerp(merged, sheet, near) for sheet in separate]
    window = _window(centres)
    offsets = torch.cat([sheet * window for sheet in (*sheets, inside[:, 0])], 1)
    if looks_aside(source) > 0:
        fine = FINER * flow_size
        offsets = F.interpolate(offsets, (fine, fine), mode="bilinear", align_corners=False)
        centres = (torch.arange(fine, device=target.device, dtype=target.dtype) + 0.5) / fine
    return torch.cat((offsets, sides(end, centres)), 1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Warp an image (3, S, S) of any size S by a flow (F, 8, g, g) from ``flow_between``: (F, 3, S, S)."""
    size = image.shape[-1]
    centres = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) / size
    at_rest = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    offsets = F.interpolate(flow[:, :2], (size, size), mode="bilinear", align_corners=False)

    def sampled(positions: Tensor) -> Tensor:
        grid = (positions * 2 - 1).to(image)
        images = image.expand(len(grid), -1, -1, -1)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    edges = []
    for left, right, top, bottom in where_sheets_differ(flow):
        rows, columns = (
            slice(max(math.floor((low + 1) / 2 * size), 0), max(math.ceil((high + 1) / 2 * size), 0))
            for low, high in ((top, bottom), (left, right))
        )
        grid = at_rest[rows, columns].expand(len(flow), -1, -1, -1) * 2 - 1
        fields = F.grid_sample(flow, grid, padding_mode="border", align_corners=False)
        shown = show_sheets(fields, size)
        offsets[..., rows, columns] = shown.offsets
        edges.append((rows, columns, shown))
    warped = sampled(at_rest + offsets.permute(0, 2, 3, 1))
    for rows, columns, shown in edges:
        _, down, across = shown.edges
        places = at_rest[rows, columns][down, across, None] + shown.edge_offsets
        shown.mix_edges(warped[..., rows, columns], sampled(places[None])[0])
    return warped


def where_sheets_differ(flow: Tensor) -> list[Span]:
    """Return the parts of the square, x0, x1, y0 and y1 in -1..1, in which a flow (F, 8, g, g) has several sheets.

    Eyes and mouth are apart, unless the rows between them differ as well.
    """
    above, others = flow[:, None, :2], flow[:, 2 : 2 * SHEETS].unflatten(1, (SHEETS - 1, 2))
    up, down = flow[:, 6:].unbind(1)
    opened = dilated(up + down < -SAME, 1) > 0  # not beside the corners
    inside = opened & (torch.maximum(up, down) < INSIDE / flow.shape[-1])
    separate = ((above - others[:, :1]).abs().amax((1, 2)) > SAME) | (
        inside & ((above - others[:, 1:]).abs().amax((1, 2)) > SAME)
    )
    separate = separate.any(0)  # (g, g)
    rows = separate.any(1).tolist()
    windows, start = [], None
    for row, differs in enumerate([*rows, False]):
        if differs and start is None:
            start = row
        elif not differs and start is not None:
            columns = separate[start:row].any(0).nonzero()[:, 0]
            windows.append((int(columns[0]), int(columns[-1]) + 1, start, row))
            start = None
    per_cell = 2 / flow.shape[-1]
    return [tuple((at + beyond) * per_cell - 1 for at, beyond in zip(w, (-1, 1, -1, 1), strict=True)) for w in windows]  # type: ignore[misc]  # four


@dataclass(frozen=True)
class ShownSheets:
    """The sheets that pixels show.

    offsets: (F, 2, h, w) of the sheet that covers most of a pixel. edges: frame, row and column, (K,) each, of pixels
    that several sheets share. edge_offsets: (K, 3, 2) offsets of all sheets there. shares: (K, 3) their coverage.
    """

    offsets: Tensor
    edges: tuple[Tensor, Tensor, Tensor]
    edge_offsets: Tensor
    shares: Tensor

    def mix_edges(self, pictures: Tensor, sampled: Tensor) -> None:
        """Set the edge pixels of pictures (F, C, h, w) in place to a mix of the pixels (C, K, 3) of their sheets."""
        frames, rows, columns = self.edges
        pictures[frames, :, rows, columns] = (sampled * self.shares).sum(-1).T


def show_sheets(fields: Tensor, size: float) -> ShownSheets:
    """Select the sheet of every pixel. fields: (F, 8, h, w), a flow at every pixel. size: pixels per crop side."""
    above, below, behind = fields[:, :6].unflatten(1, (SHEETS, 2)).unbind(1)
    up, down = fields[:, 6] * size, fields[:, 7] * size  # pixels
    inside = torch.maximum(up, down) < 0
    offsets = torch.where((up > down)[:, None], above, below)
    offsets = torch.where(inside[:, None], behind, offsets)
    differ = (above - below).abs().amax(1) * size > EDGE_DIFFERENCE
    edges = ((torch.minimum(up.abs(), down.abs()) < 0.5) & differ).nonzero(as_tuple=True)
    frames, rows, columns = edges
    covered = torch.stack((up[edges], down[edges]), -1).add_(0.5).clamp_(0, 1)
    covered = covered / covered.sum(-1, keepdim=True).clamp_min(1)
    shares = torch.cat((covered, 1 - covered.sum(-1, keepdim=True)), -1)
    return ShownSheets(offsets, edges, fields[frames, :6, rows, columns].unflatten(1, (SHEETS, 2)), shares)


def sample(field: Tensor, points: Tensor) -> Tensor:
    """Sample a field (F, C, g, g) at points (F, P, 2), given as fractions of the crop's side: (F, P, C)."""
    sampled = F.grid_sample(field, points[:, None] * 2 - 1, padding_mode="border", align_corners=False)
    return sampled[:, :, 0].transpose(1, 2)


def _refine(
    flow: Tensor,
    points: Tensor,
    wanted: Tensor,
    counts: Tensor,
    centres: Tensor,
    sigmas: tuple[float, ...],
    first_stiffness: float = STIFFNESS,
) -> Tensor:
    """Add levels to fields (F, N, 2, g, g) to make them ``wanted`` (F, P, 2) at points (F, P, 2).

    counts: (P, N), 0 for points that a field ignores. sigmas: of the levels' Gaussians.
    """
    away_squared = (points[..., None] - centres).square_()  # (F, P, 2, g)
    for level, sigma in enumerate(sigmas):
        residual = wanted[:, :, None] - sample(flow.flatten(1, 2), points).unflatten(2, (-1, 2))  # (F, P, N, 2)
        flow = flow + _spread(residual, counts, away_squared, sigma, STIFFNESS if level else first_stiffness)
    return flow


def _spread(values: Tensor, counts: Tensor, away_squared: Tensor, sigma: float, stiffness: float) -> Tensor:
    """Return normalised Gaussian averages (F, N, 2, g, g) of point values (F, P, N, 2), counted by ``counts`` (P, N).

    away_squared: (F, P, 2, g), squared distances of the points from the columns and from the rows of the grid.
    """
    terms = (torch.cat((values, torch.ones_like(values[..., :1])), -1) * counts[..., None]).flatten(2)  # (F, P, 3 N)
    (count, points, kinds), cells = terms.shape, away_squared.shape[-1]
    summed = values.new_empty(count, cells, kinds * cells)
    weights, spread = torch.empty_like(away_squared[0]), values.new_empty(points, kinds, cells)
    # One frame at a time: this stays in the processor's cache, and no frame depends on the others.
    for away, term, out in zip(away_squared, terms, summed, strict=True):
        torch.mul(away, -0.5 / sigma**2, out=weights).clamp_min_(LOWEST_EXPONENT).exp_()
        across, down = weights.unbind(1)  # (P, g)
        torch.mul(term[..., None], across[:, None], out=spread)
        torch.mm(down.T, spread.flatten(1), out=out)
    summed = summed.unflatten(2, (-1, 3, cells)).permute(0, 2, 3, 1, 4)  # (F, N, 3, g, g)
    return summed[:, :, :2] / (summed[:, :, 2:] + stiffness)


def _handles(landmarks: Tensor) -> Tensor:
    """Return control points (F, P, 2): landmarks (F, 478, 2) without the irises, and points on and around the oval.

    Hair, ears and neck follow a rim outside the face oval.
    """
    oval = landmarks[:, FACE_OVAL]
    oval = torch.stack((oval, (oval + oval.roll(-1, 1)) / 2), 2).flatten(1, 2)  # (F, 72, 2)
    rim = oval + RIM * (oval - oval.mean(1, keepdim=True))
    return torch.cat((landmarks[:, : IRIS_RIGHT[0]], oval[:, 1::2], rim), 1)


def _counts(source: Tensor, count: int) -> Tensor:
    """Return how far each of ``count`` control points counts, (P, 1) in 0..1: those that a face hides do not.

    source: (478, 3) landmarks of the reference.
    """
    seen = seen_share(source)
    oval = seen[list(FACE_OVAL)]
    oval = torch.stack((oval, torch.minimum(oval, oval.roll(-1))), 1).flatten()  # (72,)
    handles = torch.cat((seen[: IRIS_RIGHT[0]], oval[1::2], oval))
    return torch.cat((handles, handles.new_ones(count - len(handles))))[:, None]


def _border_points(per_side: int) -> Tensor:
    """Return points (4 * per_side, 2) along the border of the unit square."""
    along = torch.arange(per_side) / per_side
    zero, one = torch.zeros(per_side), torch.ones(per_side)
    pairs = ((along, zero), (one, along), (1 - along, one), (zero, 1 - along))
    return torch.cat([torch.stack(pair, -1) for pair in pairs])


def _window(centres: Tensor) -> Tensor:
    """Return a window (g, g), 1 inside and smoothly 0 at the border, for cell centres (g,)."""
    rise = smoothstep(torch.minimum(centres, 1 - centres) / BORDER)
    return rise[:, None] * rise
