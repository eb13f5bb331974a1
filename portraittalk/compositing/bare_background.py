"""Finding what shows nothing but background beside a person, by its colours.

A matte is soft where hair is, and often far beyond. Whether such a pixel is hair or wall is decided by where else near
it its colour is found: more in the person or more in the background (local colour histograms, as in Bai et al. 2009).
What counts as background must also go on from what surely is, so that nothing that a person wears is taken for it.
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean
from ..smooth import smoothstep
from .filling import filled
from .planes import dilated, resized

BINS = 12  # of a histogram, for each of the three colours
HISTOGRAM = 0.2  # eye distances between histograms
AROUND = 1  # of these to each side that a histogram covers
SAMPLES = 8  # pixels along one that are counted, at most
LEAST, MOST = 0.02, 0.8  # share of the person that a pixel has at least; with more, it is never bare
FAINT, AWAY = 0.25, 0.1  # share below which a pixel is bare, so many eye distances away from shares of MOST
LIKELY = 0.8  # probability from which a pixel counts as background
FEW = 1.0  # samples that nothing can be told from
SMOOTH = 0.02  # eye distances to each side over which such pixels are counted
MAJORITY = 0.5  # share of them around a pixel that counts as one
SURE = (0.6, 0.95)  # share of these at which the background begins to be bare, and is bare
DENSITY = 48.0  # cells an eye distance in which background is followed
WHOLE = 0.999  # share of a cell that counts as all
SPREAD = 6  # cells to each side in which colours of the background vary
JUMP, VARYING = 0.01, 2.0  # squared difference of colours between cells, and what is added relative to that variance
EVEN = (0.0015, 0.004)  # relative variance of an even background, at most, and of one with structure, at least
DARK = 0.05  # what is added to the squared colour that it is relative to
FOG = 1.0  # eye distances over which background is followed
GAP = 2  # cells to each side over which background goes on behind a jump
THIN = 2  # cells to each side that a hair is compared with
HAIR = 0.08  # share of the person's colour from which a pixel may be a hair
VARIED = 4.0  # times the variance of the background from which it is
NOTHING = 1e-3  # share of a cell of which nothing is known
PLAIN = 0.02  # squared difference of colours below which person and background look alike


def bare_background(picture: Tensor, matte: Tensor, eye: float, rim: int) -> Tensor:
    """Return where a picture (3, H, W) shows nothing but background: (1, H, W) in 0..1, less where that is not sure.

    Beside an even background that is left open where the matte is faint: it is easily filled in, and loose hair moves.

    matte: (1, H, W) in 0..1, how much of each pixel a person covers. eye: the distance of the eyes in pixels. rim:
    pixels around the matte that may be hair which it misses; what is twice as far away surely is background.
    """
    near = dilated(matte > 0, rim)
    bare = 1 - near
    unsure = ((near > 0) & (matte < MOST))[0].nonzero().T
    bare[0, unsure[0], unsure[1]] = _likely(picture, matte, eye, unsure)
    away = dilated(matte >= MOST, max(round(AWAY * eye), 1)) == 0
    bare = torch.where(away & (matte < FAINT), 1.0, bare)

    scale = min(DENSITY / eye, 1)
    share = resized(bare, scale)
    sums = resized(torch.cat((picture, picture.square().sum(0, keepdim=True))) * bare, scale)
    sure = resized((dilated(matte > 0, 2 * rim) == 0).to(bare), scale) > WHOLE
    colours = sums[:3] / share.clamp_min(NOTHING)
    varying, _ = _varying(colours, sure)
    reached = _followed(colours, share > 0.5, sure, varying, round(FOG * eye * scale))
    uneven = torch.div(*_varying(colours, reached > 0))
    uneven = smoothstep((uneven - EVEN[0]) / (EVEN[1] - EVEN[0]))
    reached, uneven = (resized(planes, picture.shape[-2:]) for planes in (reached, uneven))
    bare = bare * (reached > 0.5)

    reach = max(round(SMOOTH * eye), 1)
    bare = (box_mean(bare, reach) > MAJORITY).to(bare)
    person = resized(picture, scale), resized((matte > 0.95).to(matte), scale) > WHOLE
    bare[0, unsure[0], unsure[1]] *= 1 - _strands(picture, sums, share, sure, person, unsure)
    bare = ((box_mean(bare, reach) - SURE[0]) / (SURE[1] - SURE[0])).clamp(0, 1)
    return torch.where(near > 0, bare * uneven, bare)


def _likely(picture: Tensor, matte: Tensor, eye: float, pixels: Tensor) -> Tensor:
    """Return which pixels (2, N) probably are background by their colours and the matte: (N,), 0 or 1."""
    size = max(round(HISTOGRAM * eye), 1)
    rows, columns = pixels
    counts = _counts(picture, matte, size)
    flat = rows * picture.shape[2] + columns
    bins, weights = _corners(picture.flatten(1).index_select(1, flat))
    places = bins + BINS**3 * ((rows // size) * -(-picture.shape[2] // size) + columns // size)
    found = (one.index_select(0, places.flatten()).view_as(weights) for one in counts.flatten(1))
    behind, before = ((one * weights).sum(0) for one in found)
    share = matte.flatten().index_select(0, flat).clamp_min(LEAST)
    behind, before = behind * (1 - share), before * share
    return (behind > LIKELY * (behind + before + FEW)).to(picture)


def _counts(picture: Tensor, matte: Tensor, size: int) -> Tensor:
    """Return how many samples of each colour the background and the person have about each cell: (2, C, BINS**3).

    size: pixels along a cell; the C cells are counted row by row. What may be either counts little.
    """
    height, width = picture.shape[-2:]
    rows, columns = -(-height // size), -(-width // size)
    every = max(size // SAMPLES, 1)
    down, across = (torch.arange(0, n, every, device=picture.device) for n in (height, width))
    cells = ((down // size)[:, None] * columns + across // size).flatten()
    share = matte[0, ::every, ::every].flatten()
    bins, weights = _corners(picture[:, ::every, ::every].flatten(1))
    places = (bins + BINS**3 * cells).flatten()
    found = picture.new_zeros(2, rows + 2 * AROUND, columns + 2 * AROUND, BINS**3)
    inner = found[:, AROUND : AROUND + rows, AROUND : AROUND + columns]
    for counts, one in zip(inner, ((1 - share).square(), share**4), strict=True):
        own = picture.new_zeros(rows * columns * BINS**3).index_add_(0, places, (weights * one).flatten())
        counts.copy_(own.view_as(counts))
    for dim, count in ((1, rows), (2, columns)):
        total = found.narrow(dim, 0, count).clone()
        for first in range(1, 2 * AROUND + 1):
            total += found.narrow(dim, first, count)
        found = total
    return found.flatten(1, 2)


def _corners(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bins (8, N) around colours (3, N) in 0..1, and their weights (8, N)."""
    at = colours.clamp(0, 1) * (BINS - 1)
    low = at.floor().clamp_max(BINS - 2)
    upper = at - low
    red, green, blue = torch.stack((1 - upper, upper), 1)  # (2, N) each
    weights = (red[:, None] * green)[:, :, None] * blue  # (2, 2, 2, N)
    lowest = ((low[0] * BINS + low[1]) * BINS + low[2]).long()
    steps = torch.tensor([(r * BINS + g) * BINS + b for r, g, b in product((0, 1), repeat=3)], device=colours.device)
    return lowest + steps[:, None], weights.flatten(0, 2)


def _varying(colours: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variance of the colours (3, h, w) of some cells (1, h, w) around each cell, and their mean square plus
    DARK: (1, h, w) each."""
    weight = box_mean(cells.to(colours), SPREAD).clamp_min(NOTHING)
    mean = box_mean(colours * cells, SPREAD) / weight
    square = box_mean(colours.square().sum(0, keepdim=True) * cells, SPREAD) / weight
    varying = (square - mean.square().sum(0, keepdim=True)).clamp_min(0)
    varying, square = filled(torch.cat((varying, square)), cells.to(colours)).split(1)
    return varying, square + DARK


def _followed(colours: Tensor, bare: Tensor, sure: Tensor, varying: Tensor, steps: int) -> Tensor:
    """Return what of bare cells (1, h, w) goes on from sure ones without a jump of colours: (1, h, w), 0 or 1.

    An earring that the matte misses is surrounded by background, but does not go on from any. colours: (3, h, w).
    varying: (1, h, w), their variance.
    """
    height, width = sure.shape[-2:]
    known = torch.cat((colours, torch.ones_like(varying))) * sure
    known = F.pad(known, (1,) * 4).flatten(1).T.contiguous()  # (cells, 4), the last value above 0 for those reached
    rows, columns = (bare & ~sure)[0].nonzero().T
    cells = (rows + 1) * (width + 2) + columns + 1
    around = [down * (width + 2) + across for down, across in product((-1, 0, 1), repeat=2)]
    own, limit = colours[:, rows, columns].T, (JUMP + VARYING * varying)[0, rows, columns]
    for _ in range(steps):
        near = torch.zeros_like(known[: len(cells)])
        for step in around:
            near += known.index_select(0, cells + step)
        apart = (own - near[:, :3] / near[:, 3:].clamp_min(1)).square().sum(1)
        more = (near[:, 3] > 0) & (apart < limit)
        if not more.any():
            break
        known[cells[more]] = F.pad(own[more], (0, 1), value=1.0)
        cells, own, limit = cells[~more], own[~more], limit[~more]
    reached = known[:, 3].view(1, height + 2, width + 2)[:, 1:-1, 1:-1]
    return 1 - dilated(dilated(reached, GAP) == 0, GAP)


def _strands(
    picture: Tensor, sums: Tensor, share: Tensor, sure: Tensor, person: tuple[Tensor, Tensor], pixels: Tensor
) -> Tensor:
    """Return which pixels (2, N) are single hairs before an even background: (N,), 0 or 1.

    Their colours lie on the way from the mean colour of the bare background around them to the person's, further than
    this background varies. sums: (4, h, w), colours and squared colours of what is bare, of which the cells have a
    share (1, h, w). sure: (1, h, w), cells that surely are background. person: colours of the cells, and which are the
    person's.
    """
    weight = box_mean(share, THIN)
    mean, square = (box_mean(sums, THIN) / weight.clamp_min(NOTHING)).split((3, 1))
    varied = (square - mean.square().sum(0, keepdim=True)).clamp_min(0)
    varied = torch.maximum(varied, filled(varied, sure.to(varied)))
    cells = torch.cat((mean, filled(person[0], person[1].to(mean)) - mean, varied, weight))
    rows, columns = (
        ((at + 0.5) * (n / full)).long()
        for at, n, full in zip(pixels, share.shape[-2:], picture.shape[-2:], strict=True)
    )
    places = rows * share.shape[-1] + columns
    mean, line, varied, weight = cells.flatten(1).index_select(1, places).split((3, 3, 1, 1))
    change = picture.flatten(1).index_select(1, pixels[0] * picture.shape[-1] + pixels[1]) - mean
    way = (change * line).sum(0) / (line.square().sum(0) + PLAIN)
    return ((way > HAIR) & (change.square().sum(0) > VARIED * varied[0]) & (weight[0] > NOTHING)).to(picture)
