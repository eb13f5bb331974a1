"""Which pixels show which of several people: a matte tells people from background, not one from another.

Everybody's territory grows from the face: a pixel belongs to whoever is nearest along a path on which colours change
little (geodesic distances from seeds, as in Bai and Sapiro 2007). Borders between two people lie where colours change.
What is near to one person alone tells the colours of that person's hair and clothes, and the way through the colours of
others is long.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..smooth import smoothstep
from .align import eye_distance
from .topology import FACE_OVAL

CELLS = 10.0  # along the smallest eye distance
MOST = 240  # along a side
AROUND = 2.5  # margin around the faces within which territories are worked out, in eye distances of the largest face
EDGE = 3.0  # eye distances that a change from black to white in one channel is as far as
FOREIGN = 8.0  # how much further it is through colours of the others
SURE = 1.5  # eye distances by which somebody is nearer whose colours a cell shows
BINS = 12  # of each channel, in which colours are counted
FEW = 1e-3  # share of the cells of a colour that tell nothing
HEAD, RAISED = 1.4, 0.12  # half axes of a head, of those of its face's oval, and how far it is raised
NEARER = 1.3  # ratio of eye distances from which the larger face surely is in front
NEAR = 6.0  # eye distances around a box within which somebody's face can matter in it
SOFT = 0.15  # difference of distances, in eye distances, over which one territory goes over into the other
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to neighbouring cells, and back

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the picture


def territory(picture: Tensor, landmarks: Tensor, others: Tensor, box: Box) -> Tensor:
    """Return how far each pixel of a box belongs to a person rather than to one of the others: (1, h, w) in 0..1.

    picture: (3, H, W). landmarks: (478, 3) of the person's face in its pixels. others: (N, 478, 3). It is 1 everywhere
    if nobody else is near, and where a pixel belongs to nobody it is that of the nearest person.
    """
    x0, y0, x1, y1 = box
    eyes = [float(eye_distance(points)) for points in (landmarks, *others)]
    ovals = [points[list(FACE_OVAL), :2].double().cpu() for points in (landmarks, *others)]
    near = [0, *(k for k in range(1, len(ovals)) if _is_near(ovals[k], box, NEAR * eyes[0]))]
    if len(near) == 1:
        return picture.new_ones(1, y1 - y0, x1 - x0)
    # The same part of the picture, whosever territory is asked for, so that all of them fit together.
    eyes, ovals = [eyes[k] for k in near], [ovals[k] for k in near]
    every, margin, (height, width) = torch.cat(ovals), AROUND * max(eyes), picture.shape[-2:]
    left, top = (max(int(v), 0) for v in (every.amin(0) - margin).tolist())
    right, bottom = (
        min(math.ceil(v), n) for v, n in zip((every.amax(0) + margin).tolist(), (width, height), strict=True)
    )
    density = min(CELLS / min(eyes), MOST / max(bottom - top, right - left))
    size = [max(round(n * density), 2) for n in (bottom - top, right - left)]
    colours = F.interpolate(picture[None, :, top:bottom, left:right].float().cpu(), size, mode="area")[0]
    scale = torch.tensor([size[1] / (right - left), size[0] / (bottom - top)], dtype=torch.float64)
    cells = [(oval - scale.new_tensor((left, top))) * scale for oval in ovals]
    people = [(inside(oval, size[0], size[1]), eye * density) for oval, eye in zip(cells, eyes, strict=True)]
    distances = torch.stack([distance_from(seed, unit, colours) for seed, unit in people])
    foreign = foreign_colours(distances, colours)
    before = heads_before(cells, eyes, size[0], size[1])
    foreign = torch.where(before >= 0, before, foreign)
    distances = torch.stack(
        [distance_from(*person, colours, theirs) for person, theirs in zip(people, foreign, strict=True)]
    )
    share = smoothstep((distances[1:].amin(0) - distances[0]) / SOFT + 0.5)
    # At the pixels of the box; beyond the part, the border's.
    rows = ((torch.arange(y0, y1) + 0.5 - top) / (bottom - top) * 2 - 1).float()
    columns = ((torch.arange(x0, x1) + 0.5 - left) / (right - left) * 2 - 1).float()
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[None]
    return F.grid_sample(share[None, None], grid, padding_mode="border", align_corners=False)[0].to(picture)


def distance_from(seeds: Tensor, unit: float, colours: Tensor, foreign: Tensor | None = None) -> Tensor:
    """Return how far cells (h, w) are from the nearest seed, along the shortest path, counting changes of colour.

    seeds: (h, w), True in at least one cell. unit: cells that are as far as a distance of 1. colours: (3, h, w).
    foreign: (h, w) in 0..1, through which the way is up to ``1 + FOREIGN`` times as far.
    """
    distance = torch.where(seeds, 0.0, torch.inf).to(colours)
    height, width = seeds.shape
    slow = torch.ones_like(distance) if foreign is None else 1 + FOREIGN * foreign
    edges = []
    for down, right in STEPS:
        first = slice(0, height - down), slice(max(-right, 0), width - max(right, 0))
        second = slice(down, height), slice(max(right, 0), width - max(-right, 0))
        change = (colours[(slice(None), *first)] - colours[(slice(None), *second)]).norm(dim=0)
        far = (down * down + right * right) ** 0.5 / unit * (slow[first] + slow[second]) / 2
        edges.append((first, second, far + EDGE * change))
    for _ in range(height * width):
        before = distance.clone()
        for first, second, cost in edges:
            distance[second] = torch.minimum(distance[second], distance[first] + cost)
            distance[first] = torch.minimum(distance[first], distance[second] + cost)
        if torch.equal(before, distance):
            break
    return distance


def foreign_colours(distances: Tensor, colours: Tensor) -> Tensor:
    """Return how far the colour of each cell is one of the others' rather than a person's, (N, h, w) in 0..1.

    What is much nearer to a person than to all others shows the person's colours. distances: (N, h, w), to each
    person's face. colours: (3, h, w).
    """
    low, _ = distances.topk(2, dim=0, largest=False)
    sure = (distances == low[0]) & (low[1] - low[0] > SURE)
    bins = (colours.clamp(0, 1) * (BINS - 1)).round().long()
    place = (bins[0] * BINS + bins[1]) * BINS + bins[2]
    counts = torch.stack([torch.bincount(place[one], minlength=BINS**3) for one in sure]).to(colours)
    counts = F.avg_pool3d(counts.view(-1, BINS, BINS, BINS), 3, 1, 1).flatten(1)
    counts = counts / counts.sum(1, keepdim=True).clamp_min(1)
    own = counts[:, place] / (counts.amax(0)[place] + FEW)
    return (1 - own - FEW / (counts.amax(0)[place] + FEW)).clamp_min(0)


def heads_before(ovals: list[Tensor], eyes: list[float], height: int, width: int) -> Tensor:
    """Return where heads are in front of those of people further away, (N, h, w): 0 for whose head it is, 1 for the
    others, -1 where there is none.

    ovals: (K, 2) of each face in cells. eyes: their eye distances: somebody whose is much larger is nearer.
    """
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    before = torch.full((len(eyes), height, width), -1.0)
    for own, (oval, eye) in enumerate(zip(ovals, eyes, strict=True)):
        low, high = oval.amin(0), oval.amax(0)
        half = (high - low) / 2
        middle = (low + high) / 2 - half * half.new_tensor((0.0, RAISED))
        head = ((torch.stack((xs, ys), -1) - middle) / half).norm(dim=-1) < HEAD
        further = [other for other, its in enumerate(eyes) if eye > NEARER * its]
        if further:
            before[own, head] = 0
            before[further] = torch.where(head, 1.0, before[further])
    return before


def inside(outline: Tensor, height: int, width: int) -> Tensor:
    """Return which cells (h, w) have their centre inside a closed outline (K, 2), at least that of its middle."""
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    first, second = outline, outline.roll(-1, 0)
    crosses = (first[:, 1, None, None] > ys) != (second[:, 1, None, None] > ys)
    rise = second[:, 1] - first[:, 1]
    slope = (second[:, 0] - first[:, 0]) / torch.where(rise == 0, 1.0, rise)
    at = first[:, 0, None, None] + (ys - first[:, 1, None, None]) * slope[:, None, None]
    cells = (crosses & (xs < at)).sum(0) % 2 == 1
    x, y = outline.mean(0).tolist()
    cells[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)] = True
    return cells


def _is_near(oval: Tensor, box: Box, reach: float) -> bool:
    low, high = oval.amin(0) - reach, oval.amax(0) + reach
    return bool(low[0] < box[2] and low[1] < box[3] and high[0] > box[0] and high[1] > box[1])
