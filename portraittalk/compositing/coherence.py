"""Continuing lines and edges straight into what is hidden, and telling them from texture.

Hidden cells are filled from the border inwards, each with the mean of the filled ones around it that lie in the
direction of the lines there (coherence transport; Bornemann and Maerz 2007). The direction is carried along with the
colours, so a line stays straight. Where there are no lines the result is calm; texture is lost.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean
from ..smooth import smoothstep
from .filling import filled
from .planes import distances, resized

DENSITY = 96.0  # cells an eye distance
RADIUS = 5  # cells around a cell from which its colour is taken
SHARP = 2.5  # inverse of the width in cells of the strip along a line from which it is
AVERAGED = 2  # cells to each side over which directions are averaged twice
NOISE = 1e-4  # squared gradient that has no direction
DEEPEST = 0.45  # eye distances from the border up to which lines are continued
KNOWN = 0.999  # known share of a cell that counts as known
TEXTURE_DENSITY = 48.0  # cells an eye distance
TEXTURE_REACH = 10  # of these to each side in which texture is looked for
TEXTURE = (0.0008, 0.0032)  # squared gradient across the main direction at which texture begins, and is texture
GRAIN = (0.001, 0.003)  # squared gradient in the main direction up to which all is the grain of a wall, and is not
MANY = (0.12, 0.27)  # the same relative to that in the main direction: lines have one direction, texture has many


def straightened(picture: Tensor, known: Tensor, wanted: Tensor, eye: float) -> Tensor:
    """Return a picture (3, H, W) with the lines of its known part continued into the rest.

    known: (1, H, W), 0 or 1. wanted: (1, H, W), above 0 where lines may be continued; elsewhere, and further inside,
    the filling is smooth. eye: the distance of the eyes in pixels.
    """
    scale = min(DENSITY / eye, 1)
    colours, seen = resized(picture, scale), resized(known, scale) > KNOWN
    # On every other cell, where it costs a quarter.
    away = 2 * distances(resized(seen.to(colours), 0.5)[0] > 0.5, DEEPEST * eye * scale / 2 + 2)
    depth = resized(away[None], seen.shape[-2:])[0]
    hidden = ~seen[0] & (resized(wanted, scale)[0] > 0) & (depth <= DEEPEST * eye * scale)
    directions, _ = tensors(colours, seen, AVERAGED)
    planes = torch.cat((colours * seen, directions, seen.to(colours)))
    planes = _transported(planes, hidden, depth)
    return torch.where(known > 0, picture, resized(filled(planes[:3], planes[6:]), picture.shape[-2:]))


def _transported(planes: Tensor, hidden: Tensor, depth: Tensor) -> Tensor:
    """Return planes (7, h, w), colours, structure tensor and what is there, with hidden cells filled in.

    hidden: (h, w), bool. depth: (h, w), cells to the border. They are filled one ring of cells after the other.
    """
    height, width = hidden.shape
    rows, columns = hidden.nonzero().T
    rings = depth[rows, columns].ceil().long()
    order = rings.argsort(stable=True)
    whole = F.pad(planes, (RADIUS,) * 4)
    down, across = _disc(planes)
    steps = (down * whole.shape[2] + across).long()
    nearness = 1 / (down.square() + across.square()).sqrt()
    flat = whole.flatten(1).T.contiguous()  # (cells, 7), so that what belongs to a cell lies together
    cells = ((rows + RADIUS) * whole.shape[2] + columns + RADIUS)[order]
    for ring in cells.split(rings.bincount().tolist()):
        places = ring[:, None] + steps
        near = flat.index_select(0, places.flatten()).view(*places.shape, len(planes))  # (n, neighbours, 7)
        weight = near[..., 6] * nearness
        found = torch.bmm(weight[:, None], near)[:, 0]
        xx, xy, yy = (found[:, 3:6] / weight.sum(1, keepdim=True).clamp_min(1e-6)).unbind(1)
        turned = 0.5 * torch.atan2(2 * xy, xx - yy)[:, None]
        coherence = ((xx - yy).square() + 4 * xy.square()).sqrt() / (xx + yy + NOISE)
        beside = SHARP * coherence[:, None] * (across * turned.cos() + down * turned.sin())
        along = torch.exp(-0.5 * beside.square()) + 1e-6  # and neighbours beside the line, if there are no others
        weight = weight * along
        total = weight.sum(1, keepdim=True)
        flat[ring] = torch.bmm(weight[:, None], near)[:, 0] / total.clamp_min(1e-12)
        flat[ring, 6] = (total[:, 0] > 0).to(flat)
    return flat.T.view_as(whole)[:, RADIUS : RADIUS + height, RADIUS : RADIUS + width]


def structure(picture: Tensor, known: Tensor, eye: float) -> tuple[Tensor, Tensor]:
    """Return how much the known part of a picture (3, H, W) about each pixel is even, and how much it is texture
    without lines: (1, H, W) each in 0..1, continued smoothly into the rest.

    Gradients of texture are strong in all directions, or, in the grain of an even wall, weak in all; those of lines and
    edges are strong in one.
    """
    scale = min(TEXTURE_DENSITY / eye, 1)
    found, weight = tensors(resized(picture, scale), resized(known, scale) > KNOWN, TEXTURE_REACH)
    mean, difference = (found[0] + found[2]) / 2, (found[0] - found[2]) / 2
    spread = (difference.square() + found[1].square()).sqrt()
    least, most = mean - spread, mean + spread
    ratio = least / (most + NOISE)
    enough = (weight > 0.2).to(found)
    least, most, ratio = filled(torch.stack((least, most, ratio)) * enough, enough)
    even = 1 - _rising(most, GRAIN)
    texture = torch.maximum(_rising(least, TEXTURE), even) * _rising(ratio, MANY)
    even, texture = resized(torch.stack((even, texture)), picture.shape[-2:])[:, None]
    return even, texture


def _rising(values: Tensor, limits: tuple[float, float]) -> Tensor:
    return smoothstep((values - limits[0]) / (limits[1] - limits[0]))


def tensors(colours: Tensor, known: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Return the structure tensor (3, h, w), xx, xy and yy, of colours (3, h, w), averaged over the known cells around
    each, and the known share (1, h, w) of these.

    known: (1, h, w), bool; gradients count where all neighbours of a cell are known. reach: cells to each side.
    """
    across = colours[:, 1:-1, 2:] - colours[:, 1:-1, :-2]
    down = colours[:, 2:, 1:-1] - colours[:, :-2, 1:-1]
    whole = known[:, 1:-1, 2:] & known[:, 1:-1, :-2] & known[:, 2:, 1:-1] & known[:, :-2, 1:-1]
    products = torch.stack((across.square().sum(0), (across * down).sum(0), down.square().sum(0)))
    planes = F.pad(torch.cat((products * whole, whole.to(products))), (1,) * 4)
    planes = box_mean(box_mean(planes, reach), reach)
    return planes[:3] / planes[3:].clamp_min(1e-3), planes[3:]


def _disc(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the steps, down and across, from a cell to those around it within RADIUS."""
    line = torch.arange(-RADIUS, RADIUS + 1).to(like)
    down, across = (steps.flatten() for steps in torch.meshgrid(line, line, indexing="ij"))
    inside = (down.square() + across.square() > 0) & (down.square() + across.square() <= RADIUS**2)
    return down[inside], across[inside]
