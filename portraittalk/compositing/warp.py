"""The reference picture, warped so that its landmarks lie where the target's do.

Lips and lids are edges that slide over what lies behind them, so no one continuous field can move a face: closing an
eye, the upper lid comes down over the eyeball to the lower lid, which hardly moves. So the face is moved as three
*sheets*: all that lies above the seams of mouth and eyes, all that lies below them, and what shows in the openings.
Each is a smooth field, and the target's own edges say which of them a pixel shows.

The displacements known at landmarks are spread over the crop from coarse to fine: each level is a normalised Gaussian
average of what the levels before it left over, so that a field is smooth far from the landmarks and exact at them.
Points on the border of the crop that do not move hold the background still, and a window lets the fields end in zero
there, so that the crop fits back into its picture. Away from the openings the sheets are one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.topology import FACE_OVAL, IRIS_RIGHT
from ..smooth import smoothstep
from .openings import behind_openings, nearness, one_sided, sides

COARSE_SIGMAS = (0.16, 0.08)  # of the crop's side, one for each level, the sheets still being one
FINE_SIGMAS = (0.04, 0.02, 0.012, 0.009)
STIFFNESS = 0.1  # summed weight at which a level's correction fades out; less reaches further from the landmarks
LOWEST_EXPONENT = -40.0  # of a weight: the product of two stays a normal number, which CPUs are fast with
BORDER = 0.1  # width, as a fraction of the crop's side, over which the fields fall to zero at the border
ANCHORS_PER_SIDE = 12
RIM = 0.15  # how far outside of the face oval a rim of points moves with it, as a fraction of its radius
UNSEEN = 0.25  # pixels by which two sheets may differ at an edge before it is drawn smoothly

SHEETS = 3  # above, below, behind


def flow_between(source: Tensor, target: Tensor, crop_size: int, flow_size: int = 64) -> Tensor:
    """The backward flow from a reference to its target landmarks.

    source: (478, 3), target: (F, 478, 3), both in crop pixels. flow_size: cells a side of the fields.
    -> (F, 8, flow_size, flow_size), everything as fractions of the crop's side. 0..5: offsets (dx, dy) of the sheet
    above, below and behind: target position p shows what the reference has at ``p + offset(p)``. 6: how far p lies
    above the upper edge of its opening; 7: how far below the lower edge; both negative inside of it.
    """
    start, end = source[None, :, :2] / crop_size, target[..., :2] / crop_size
    anchors = _border_points(ANCHORS_PER_SIDE).to(target).expand(len(target), -1, -1)
    points = torch.cat((_handles(end), anchors), 1)  # (F, P, 2)
    wanted = torch.cat((_handles(start), anchors[:1]), 1) - points
    centres = (torch.arange(flow_size, device=target.device, dtype=target.dtype) + 0.5) / flow_size
    whole = torch.ones_like(points[0, :, :1])  # (P, 1): every handle counts
    flow = torch.zeros(len(target), 1, 2, flow_size, flow_size).to(target)
    flow = _refine(flow, points, wanted, whole, centres, COARSE_SIGMAS, 1e-12)
    counts = whole.repeat(1, 2)
    counts[: IRIS_RIGHT[0]] = one_sided(start[0])[: IRIS_RIGHT[0]]
    behind, shows = behind_openings(start, end)
    every = torch.cat((whole, counts), 1)  # (P, 3)
    one, *two = _refine(flow.expand(-1, 3, -1, -1, -1), points, wanted, every, centres, FINE_SIGMAS).unbind(1)
    inside = _refine(flow, behind, shows - behind, torch.ones_like(behind[0, :, :1]), centres, FINE_SIGMAS)
    near = nearness(end, centres)  # (F, 1, g, g)
    apart = [torch.lerp(one, sheet, near) for sheet in two]
    window = _window(centres)
    return torch.cat((*(sheet * window for sheet in (*apart, inside[:, 0])), sides(end, centres)), 1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """image: (3, S, S) of any size S; flow: (F, 8, g, g) of ``flow_between`` -> (F, 3, S, S)."""
    size = image.shape[-1]
    fields = F.interpolate(flow, (size, size), mode="bilinear", align_corners=False)
    centres = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) / size
    at_rest = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    shown = show_sheets(fields, size)

    def read(positions: Tensor) -> Tensor:
        grid = (positions * 2 - 1).to(image)
        images = image.expand(len(grid), -1, -1, -1)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    warped = read(at_rest + shown.offsets.permute(0, 2, 3, 1))
    _, rows, columns = shown.edges
    shown.mix_edges(warped, read((at_rest[rows, columns, None] + shown.edge_offsets)[None])[0])
    return warped


@dataclass(frozen=True)
class ShownSheets:
    """What every pixel shows. offsets: (F, 2, h, w) of the sheet that covers most of it. edges: the frame, row and
    column, (K,) each, of pixels that several sheets share; edge_offsets: (K, 3, 2) and shares: (K, 3) of those."""

    offsets: Tensor
    edges: tuple[Tensor, Tensor, Tensor]
    edge_offsets: Tensor
    shares: Tensor

    def mix_edges(self, pictures: Tensor, read: Tensor) -> None:
        """Sets the edge pixels of pictures (F, C, h, w), in place, from what their sheets show: read (C, K, 3)."""
        frames, rows, columns = self.edges
        pictures[frames, :, rows, columns] = (read * self.shares).sum(-1).T


def show_sheets(fields: Tensor, size: float) -> ShownSheets:
    """fields: (F, 8, h, w), a flow read at every pixel; size: pixels along the crop's side."""
    above, below, behind = fields[:, :6].unflatten(1, (SHEETS, 2)).unbind(1)
    up, down = fields[:, 6] * size, fields[:, 7] * size  # pixels
    inside = torch.maximum(up, down) < 0
    offsets = torch.where((up > down)[:, None], above, below)
    offsets = torch.where(inside[:, None], behind, offsets)
    differ = (above - below).abs().amax(1) * size > UNSEEN
    edges = ((torch.minimum(up.abs(), down.abs()) < 0.5) & differ).nonzero(as_tuple=True)
    frames, rows, columns = edges
    covered = torch.stack((up[edges], down[edges]), -1).add_(0.5).clamp_(0, 1)
    covered = covered / covered.sum(-1, keepdim=True).clamp_min(1)
    shares = torch.cat((covered, 1 - covered.sum(-1, keepdim=True)), -1)
    return ShownSheets(offsets, edges, fields[frames, :6, rows, columns].unflatten(1, (SHEETS, 2)), shares)


def sample(field: Tensor, points: Tensor) -> Tensor:
    """A field (F, C, g, g) read at points (F, P, 2) given as fractions of the crop's side -> (F, P, C)."""
    read = F.grid_sample(field, points[:, None] * 2 - 1, padding_mode="border", align_corners=False)
    return read[:, :, 0].transpose(1, 2)


def _refine(
    flow: Tensor,
    points: Tensor,
    wanted: Tensor,
    counts: Tensor,
    centres: Tensor,
    sigmas: tuple[float, ...],
    first_stiffness: float = STIFFNESS,
) -> Tensor:
    """Adds levels to fields (F, N, 2, g, g), until they show ``wanted`` (F, P, 2) at points (F, P, 2).

    counts: (P, N), 0 for the points that are nothing to a field.
    """
    away_squared = (points[..., None] - centres).square_()  # (F, P, 2, g)
    for level, sigma in enumerate(sigmas):
        left_over = wanted[:, :, None] - sample(flow.flatten(1, 2), points).unflatten(2, (-1, 2))  # (F, P, N, 2)
        weights = (away_squared * (-0.5 / sigma**2)).clamp_min_(LOWEST_EXPONENT).exp_()
        flow = flow + _spread(left_over, counts, weights, STIFFNESS if level else first_stiffness)
    return flow


def _spread(values: Tensor, counts: Tensor, weights: Tensor, stiffness: float) -> Tensor:
    """Normalised averages of point values (F, P, N, 2), those counted by counts (P, N), under separable weights
    (F, P, 2, g) in x and y -> (F, N, 2, g, g)."""
    across, down = weights[:, :, 0], weights[:, :, 1]  # (F, P, g)
    terms = (torch.cat((values, torch.ones_like(values[..., :1])), -1) * counts[..., None]).flatten(2)  # (F, P, 3 N)
    summed = down.transpose(1, 2) @ (terms[..., None] * across[:, :, None]).flatten(2)  # (F, g, 3 N g)
    summed = summed.unflatten(2, (-1, 3, len(summed[0]))).permute(0, 2, 3, 1, 4)  # (F, N, 3, g, g)
    return summed[:, :, :2] / (summed[:, :, 2:] + stiffness)


def _handles(landmarks: Tensor) -> Tensor:
    """Landmarks (F, 478, 2) but the irises, and what else of a head has to move with them -> (F, P, 2).

    Hair, ears and neck follow a rim outside of the face oval.
    """
    oval = landmarks[:, FACE_OVAL]
    oval = torch.stack((oval, (oval + oval.roll(-1, 1)) / 2), 2).flatten(1, 2)  # (F, 72, 2)
    rim = oval + RIM * (oval - oval.mean(1, keepdim=True))
    return torch.cat((landmarks[:, : IRIS_RIGHT[0]], oval[:, 1::2], rim), 1)


def _border_points(per_side: int) -> Tensor:
    """Points all along the border of the unit square: (4 * per_side, 2)."""
    along = torch.arange(per_side) / per_side
    zero, one = torch.zeros(per_side), torch.ones(per_side)
    pairs = ((along, zero), (one, along), (1 - along, one), (zero, 1 - along))
    return torch.cat([torch.stack(pair, -1) for pair in pairs])


def _window(centres: Tensor) -> Tensor:
    """1 inside and smoothly 0 at the border, for cell centres (g,) -> (g, g)."""
    rise = smoothstep(torch.minimum(centres, 1 - centres) / BORDER)
    return rise[:, None] * rise
