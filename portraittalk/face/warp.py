"""The reference picture, warped so that its landmarks lie where the target's do.

The displacements known at the landmarks are spread over the crop from coarse to fine: each level is a normalised
Gaussian average of what the levels before it left over, so that the field is smooth far from the landmarks and exact at
them.
Points on the border of the crop that do not move hold the background still, and a window lets the field end in zero
there, so that the crop fits back into its picture. Nothing tears: the field is continuous, an opening mouth stretches
the line between its lips, and a closing one squeezes its inside into that line.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .topology import (
    EYE_LEFT_LOWER,
    EYE_LEFT_UPPER,
    EYE_RIGHT_LOWER,
    EYE_RIGHT_UPPER,
    FACE_OVAL,
    IRIS_LEFT,
    IRIS_RIGHT,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
)

SIGMAS = (0.16, 0.08, 0.04, 0.02, 0.012, 0.009)  # of the crop's side, one for each level
STIFFNESS = 0.1  # summed weight at which a level's correction fades out; less reaches further from the landmarks
LOWEST_EXPONENT = -40.0  # of a weight: the product of two stays a normal number, which CPUs are fast with
BORDER = 0.1  # width, as a fraction of the crop's side, over which the field falls to zero at the border
ANCHORS_PER_SIDE = 12
RIM = 0.15  # how far outside of the face oval a rim of points moves with it, as a fraction of its radius
SEAM_UPPER = LIPS_INNER_UPPER[1:-1] + EYE_RIGHT_UPPER[1:-1] + EYE_LEFT_UPPER[1:-1]
SEAM_LOWER = LIPS_INNER_LOWER[1:-1] + EYE_RIGHT_LOWER[1:-1] + EYE_LEFT_LOWER[1:-1]
MOUTH_ROWS = (0.25, 0.5, 0.75)


def flow_between(source: Tensor, target: Tensor, crop_size: int, flow_size: int = 64) -> Tensor:
    """The backward flow from a reference to its target landmarks.

    source: (478, 3), target: (F, 478, 3), both in crop pixels. flow_size: cells a side of the field.
    -> (F, 2, flow_size, flow_size) offsets (dx, dy) as fractions of the crop's side: target position p shows what the
    reference has at ``p + flow(p)``.
    """
    frames = len(target)
    anchors = _border_points(ANCHORS_PER_SIDE).to(target)
    start = source[None, :, :2] / crop_size
    end = _part_seams(start, target[..., :2] / crop_size, 1 / flow_size)
    points = torch.cat((_handles(end), anchors.expand(frames, -1, -1)), 1)  # (F, P, 2)
    wanted = torch.cat((_handles(start), anchors[None]), 1) - points
    centres = (torch.arange(flow_size, device=target.device, dtype=target.dtype) + 0.5) / flow_size
    away_squared = (points[..., None] - centres).square_()  # (F, P, 2, g)
    flow = wanted.new_zeros(frames, 2, flow_size, flow_size)
    for level, sigma in enumerate(SIGMAS):
        left_over = wanted - sample(flow, points)
        weights = (away_squared * (-0.5 / sigma**2)).clamp_min_(LOWEST_EXPONENT).exp_()
        flow = flow + _spread(left_over, weights, STIFFNESS if level else 1e-12)
    return flow * _window(centres)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """image: (3, S, S) or (F, 3, S, S) of any size S; flow: (F, 2, g, g) of ``flow_between`` -> (F, 3, S, S)."""
    images = image.expand(len(flow), *image.shape[-3:])
    size = images.shape[-1]
    offsets = F.interpolate(flow, (size, size), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    centres = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) / size
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) + offsets
    return F.grid_sample(images, (grid * 2 - 1).to(images), padding_mode="border", align_corners=False)


def sample(field: Tensor, points: Tensor) -> Tensor:
    """A field (F, C, g, g) read at points (F, P, 2) given as fractions of the crop's side -> (F, P, C)."""
    read = F.grid_sample(field, points[:, None] * 2 - 1, padding_mode="border", align_corners=False)
    return read[:, :, 0].transpose(1, 2)


def _spread(values: Tensor, weights: Tensor, stiffness: float) -> Tensor:
    """Normalised average of point values (F, P, 2) under separable weights (F, P, 2, g) in x and y -> (F, 2, g, g)."""
    across, down = weights[:, :, 0], weights[:, :, 1]  # (F, P, g)
    terms = torch.cat((values, torch.ones_like(values[..., :1])), -1)
    summed = down.transpose(1, 2) @ (terms[..., None] * across[:, :, None]).flatten(2)  # (F, g, 3 g)
    summed = summed.unflatten(2, (3, -1)).transpose(1, 2)
    return summed[:, :2] / (summed[:, 2:] + stiffness)


def _part_seams(start: Tensor, end: Tensor, cell: float) -> Tensor:
    """Keeps lips and lids that were apart one cell apart, or the field would have to show two places in one cell.

    start: (1, 478, 2), end: (F, 478, 2) -> (F, 478, 2). What was between them is squeezed into that cell.
    """
    between, apart = (side[:, SEAM_LOWER] - side[:, SEAM_UPPER] for side in (start, end))
    length = between.norm(dim=-1, keepdim=True)
    missing = (length.clamp_max(cell) - apart.norm(dim=-1, keepdim=True)).clamp_min(0)
    shift = missing / 2 * between / length.clamp_min(1e-6)
    parted = end.clone()
    parted[:, SEAM_UPPER] -= shift
    parted[:, SEAM_LOWER] += shift
    return parted


def _handles(landmarks: Tensor) -> Tensor:
    """Landmarks (F, 478, 2) and what else of a head has to move with them -> (F, P, 2).

    Irises end at the lids, or they would show through closed ones. Rows of points between the lips keep the line that
    an opening mouth stretches from doubling. Hair, ears and neck follow a rim outside of the face oval.
    """
    eyes = ((EYE_RIGHT_UPPER, EYE_RIGHT_LOWER, IRIS_RIGHT), (EYE_LEFT_UPPER, EYE_LEFT_LOWER, IRIS_LEFT))
    irises = [_between_lids(*(landmarks[:, part] for part in eye)) for eye in eyes]
    upper, lower = landmarks[:, LIPS_INNER_UPPER[1:-1]], landmarks[:, LIPS_INNER_LOWER[1:-1]]
    rows = [upper + share * (lower - upper) for share in MOUTH_ROWS]
    oval = landmarks[:, FACE_OVAL]
    oval = torch.stack((oval, (oval + oval.roll(-1, 1)) / 2), 2).flatten(1, 2)  # (F, 72, 2)
    rim = oval + RIM * (oval - oval.mean(1, keepdim=True))
    return torch.cat((landmarks[:, : IRIS_RIGHT[0]], *irises, *rows, oval[:, 1::2], rim), 1)


def _between_lids(upper: Tensor, lower: Tensor, points: Tensor) -> Tensor:
    """Points (F, K, 2) moved up or down to lie between two lids (F, 9, 2)."""
    width = (upper[:, -1:, 0] - upper[:, :1, 0]).abs()[..., None]  # (F, 1, 1)
    nearness = torch.softmax(-((points[:, :, None, 0] - upper[:, None, :, 0]) / (0.08 * width)).square(), -1)
    top, bottom = ((nearness * lid[:, None, :, 1]).sum(-1) for lid in (upper, lower))  # (F, K)
    height = torch.maximum(torch.minimum(points[..., 1], bottom), torch.minimum(top, bottom))
    return torch.stack((points[..., 0], height), -1)


def _border_points(per_side: int) -> Tensor:
    """Points all along the border of the unit square: (4 * per_side, 2)."""
    along = torch.arange(per_side) / per_side
    zero, one = torch.zeros(per_side), torch.ones(per_side)
    pairs = ((along, zero), (one, along), (1 - along, one), (zero, 1 - along))
    return torch.cat([torch.stack(pair, -1) for pair in pairs])


def _window(centres: Tensor) -> Tensor:
    """1 inside and smoothly 0 at the border, for cell centres (g,) -> (g, g)."""
    depth = (torch.minimum(centres, 1 - centres) / BORDER).clamp(0, 1)
    rise = depth.square() * (3 - 2 * depth)
    return rise[:, None] * rise
