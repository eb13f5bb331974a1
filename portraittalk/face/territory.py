"""Which pixels show which of several people: a matte tells people from background, not one from another.

Everybody's territory grows from the face: a pixel belongs to whoever is nearest along a path on which colours change
little (geodesic distances from seeds, as in Bai and Sapiro 2007). Borders between two people lie where colours do.
"""

import torch
from torch import Tensor

from ..smooth import smoothstep
from .align import eye_distance
from .topology import FACE_OVAL

CELLS = 16.0  # along an eye distance of the first person
MOST = 200  # along a side
EDGE = 3.0  # eye distances that a change from black to white in one channel is as far as
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
    eye = float(eye_distance(landmarks))
    ovals = [points[list(FACE_OVAL), :2].double().cpu() for points in (landmarks, *others)]
    ovals = [ovals[0], *(oval for oval in ovals[1:] if _is_near(oval, box, NEAR * eye))]
    if len(ovals) == 1:
        return picture.new_ones(1, y1 - y0, x1 - x0)
    every = torch.cat(ovals)
    low, high = every.amin(0).floor().long().tolist(), every.amax(0).ceil().long().tolist()
    height, width = picture.shape[-2:]
    left, top = max(min(low[0], x0), 0), max(min(low[1], y0), 0)
    right, bottom = min(max(high[0], x1), width), min(max(high[1], y1), height)
    density = min(CELLS / eye, MOST / max(bottom - top, right - left))
    size = [max(round(n * density), 2) for n in (bottom - top, right - left)]
    part = picture[:, top:bottom, left:right].float().cpu()
    colours = torch.nn.functional.interpolate(part[None], size, mode="area")[0]
    scale = torch.tensor([size[1] / (right - left), size[0] / (bottom - top)], dtype=torch.float64)
    corner = scale.new_tensor((left, top))
    distances = []
    for oval in ovals:
        cells = (oval - corner) * scale
        across = (cells.amax(0) - cells.amin(0)).prod().sqrt()  # a large face has much hair around it
        first = (ovals[0] - corner) * scale
        unit = eye * density * float(across / (first.amax(0) - first.amin(0)).prod().sqrt())
        distances.append(distance_from(inside(cells, size[0], size[1]), colours, unit))
    nearest = torch.stack(distances[1:]).amin(0)
    share = smoothstep((nearest - distances[0]) / SOFT + 0.5)[None, None]
    share = torch.nn.functional.interpolate(share, (bottom - top, right - left), mode="bilinear")[0]
    return share[:, y0 - top : y1 - top, x0 - left : x1 - left].to(picture)


def distance_from(seeds: Tensor, colours: Tensor, unit: float) -> Tensor:
    """Return how far cells (h, w) are from the nearest seed, along the shortest path, counting changes of colour.

    seeds: (h, w), True in at least one cell. colours: (3, h, w). unit: cells that are as far as a distance of 1.
    """
    distance = torch.where(seeds, 0.0, torch.inf).to(colours)
    height, width = seeds.shape
    edges = []
    for down, right in STEPS:
        first = slice(0, height - down), slice(max(-right, 0), width - max(right, 0))
        second = slice(down, height), slice(max(right, 0), width - max(-right, 0))
        change = (colours[(slice(None), *first)] - colours[(slice(None), *second)]).norm(dim=0)
        edges.append((first, second, (down * down + right * right) ** 0.5 / unit + EDGE * change))
    for _ in range(height * width):
        before = distance.clone()
        for first, second, cost in edges:
            distance[second] = torch.minimum(distance[second], distance[first] + cost)
            distance[first] = torch.minimum(distance[first], distance[second] + cost)
        if torch.equal(before, distance):
            break
    return distance


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
