"""The reference picture, warped so that its landmarks lie where the target's do.

The displacements known at the landmarks are spread over the crop from coarse to fine: each level is a normalised Gaussian
average of what the levels before it left over, so that the field is smooth far from the landmarks and exact at them.
Points on the border of the crop that do not move hold the background still, and a window lets the field end in zero
there, so that the crop fits back into its picture. Nothing tears: the field is continuous, an opening mouth stretches
the line between its lips, and a closing one squeezes its inside into that line.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SIGMAS = (0.16, 0.08, 0.04, 0.02, 0.012, 0.012)  # of the crop's side, one for each level
STIFFNESS = 0.1  # summed weight at which a level's correction fades out; less reaches further from the landmarks
LOWEST_EXPONENT = -40.0  # of a weight: the product of two stays a normal number, which CPUs are fast with
BORDER = 0.1  # width, as a fraction of the crop's side, over which the field falls to zero at the border
ANCHORS_PER_SIDE = 12


def flow_between(source: Tensor, target: Tensor, crop_size: int, flow_size: int = 64) -> Tensor:
    """The backward flow from a reference to its target landmarks.

    source: (478, 3), target: (F, 478, 3), both in crop pixels. flow_size: cells a side of the field.
    -> (F, 2, flow_size, flow_size) offsets (dx, dy) as fractions of the crop's side: target position p shows what the
    reference has at ``p + flow(p)``.
    """
    frames = len(target)
    anchors = _border_points(ANCHORS_PER_SIDE).to(target).expand(frames, -1, -1)
    points = torch.cat((target[..., :2] / crop_size, anchors), 1)  # (F, P, 2)
    wanted = torch.cat(((source[..., :2] - target[..., :2]) / crop_size, torch.zeros_like(anchors)), 1)
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
