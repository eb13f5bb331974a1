"""The openings of a face, mouth and eyes: their edges, what is above, below and behind them.

Everything is given as fractions of the crop's side, x to the right and y down; the face stands upright, so that an
edge is a height over x.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..face import topology as mesh
from ..smooth import smoothstep

ROWS = (0.25, 0.5, 0.75)  # between the edges, where what is behind an opening is held
IRIS_REACH = 2.2  # of its radius: the white of the eye follows the iris so far from its centre
REACH_BESIDE = 0.03  # how far beyond an opening's corners the sheets above and below become one
REACH, FADE = 0.04, 0.06  # how far from an edge they are apart, and over how much more they become one
# What moves with the skull, whatever the face does: corners of the eyes, the bridge and the base of the nose.
SKULL = (33, 133, 263, 362, 168, 6, 197, 98, 2, 327)


@dataclass(frozen=True)
class Opening:
    """upper, lower: landmarks of the edges, left to right in the picture, their corners shared. carrier: landmarks
    that move as what is behind does. iris: landmarks of what moves behind it by itself, its centre first."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    carrier: tuple[int, ...]
    iris: tuple[int, ...] = ()


MOUTH = Opening(mesh.LIPS_INNER_UPPER, mesh.LIPS_INNER_LOWER, mesh.NOSE_BASE_LINE)
RIGHT = Opening(mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER, (33, 133), mesh.IRIS_RIGHT)
LEFT = Opening(mesh.EYE_LEFT_UPPER[::-1], mesh.EYE_LEFT_LOWER[::-1], (362, 263), mesh.IRIS_LEFT)
OPENINGS = (MOUTH, RIGHT, LEFT)


def sides(points: Tensor, centres: Tensor) -> Tensor:
    """points: (F, 478, 2), centres: (g,) of cells -> (F, 2, g, g): how far each cell lies above the upper and below the
    lower edge of the opening that it is nearest to."""
    mouth, right, left = (_beside(points, opening, centres) for opening in OPENINGS)
    middle = points[:, (133, 362), 0].mean(1)[:, None, None, None]
    eyes = torch.where(centres < middle, right, left)
    under_eyes, over_mouth = points[:, (33, 263), 1].mean(1), points[:, (78, 308), 1].mean(1)
    both = torch.where(centres[:, None] < ((under_eyes + over_mouth) / 2)[:, None, None, None], eyes, mouth)
    # Far from an opening only the side counts: where two openings meet, nothing may lie inside of either.
    above, below = both[:, :1], both[:, 1:]
    return torch.cat((torch.where(below > REACH, -below, above), torch.where(above > REACH, -above, below)), 1)


def nearness(points: Tensor, centres: Tensor) -> Tensor:
    """Where the sheets above and below the openings are apart: (F, 1, g, g), from 1 at the edges down to 0."""
    near = []
    for opening in OPENINGS:
        left, right = (points[:, corner, 0, None] for corner in (opening.upper[0], opening.upper[-1]))  # (F, 1)
        beyond = torch.maximum(left - centres, centres - right).clamp_min(0)  # (F, g)
        away = _beside(points, opening, centres).amax(1)  # (F, g, g)
        near.append(smoothstep(1 - beyond / REACH_BESIDE)[:, None] * smoothstep(1 - (away - REACH) / FADE))
    return torch.stack(near).amax(0)[:, None]


def one_sided(points: Tensor) -> Tensor:
    """Which landmarks, of those that move with the face, tell about what is above and what is below the openings:
    points (478, 2) -> (478, 2) of 0 and 1, columns above and below. Only near an opening is a landmark one-sided."""
    counts = points.new_ones(len(points), 2)
    for opening in OPENINGS:
        upper, lower = (points[edge, :][None] for edge in (opening.upper, opening.lower))
        top, bottom = (height_over(edge, points[None, :, 0])[0] for edge in (upper, lower))  # (478,)
        middle = (top + bottom) / 2
        along = (points[:, 0] > upper[0, 0, 0]) & (points[:, 0] < upper[0, -1, 0])
        along &= torch.maximum(top - points[:, 1], points[:, 1] - bottom) < REACH
        is_lower = points[:, 1] > middle
        is_lower[list(opening.upper)], is_lower[list(opening.lower)] = False, True
        corners = [opening.upper[0], opening.upper[-1]]
        along[list(opening.upper + opening.lower)] = True
        along[corners] = False
        counts[:, 0] *= ~(along & is_lower)
        counts[:, 1] *= ~(along & ~is_lower)
    return counts


def behind_openings(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Where what is behind the openings lies: start (1, 478, 2), end (F, 478, 2) -> points (F, P, 2) of the target and
    the points (F, P, 2) of the reference that they show.

    It moves with the skull, the irises as their landmarks do, and the edges slide over it. Where they open further
    than in the reference, what can be seen there is stretched.
    """
    turn = _turn(start[:, SKULL], end[:, SKULL])  # (F, 1)
    irises = mesh.IRIS_RIGHT + mesh.IRIS_LEFT
    points, shows = [end[:, irises]], [start[:, irises].expand(len(end), -1, -1)]
    for opening in OPENINGS:
        came_from, went_to = (side[:, opening.carrier].mean(1, keepdim=True) for side in (start, end))

        edges = [
            _seen_through(opening, start, _carried(end[:, edge], came_from, went_to, turn))
            for edge in (opening.upper, opening.lower)
        ]
        if opening.iris:
            centre = end[:, opening.iris[:1]]
            radius = (end[:, opening.iris[1:]] - centre).norm(dim=-1).mean(1)[:, None]
            way = start[:, opening.iris[:1]] - _carried(centre, came_from, went_to, turn)
        for share in (0.0, *ROWS, 1.0):
            row = end[:, opening.upper].lerp(end[:, opening.lower], share)
            shown = edges[0].lerp(edges[1], share)
            if opening.iris:
                near = smoothstep((IRIS_REACH - (row - centre).norm(dim=-1) / radius) / (IRIS_REACH - 1))[..., None]
                shown = _seen_through(opening, start, shown + near * way)
            points.append(row)
            shows.append(shown)
    return torch.cat(points, 1), torch.cat(shows, 1)


def _carried(at: Tensor, came_from: Tensor, went_to: Tensor, turn: Tensor) -> Tensor:
    """Points (F, K, 2) of the target brought back to where the skull had them in the reference."""
    return came_from + torch.view_as_real(torch.view_as_complex((at - went_to).contiguous()) / turn)


def _seen_through(opening: Opening, start: Tensor, at: Tensor) -> Tensor:
    """Points (F, K, 2) of the reference, brought to within its opening: start (1, 478, 2)."""
    upper, lower = start[:, opening.upper], start[:, opening.lower]
    x, y = at.unbind(-1)
    x = torch.minimum(torch.maximum(x, upper[:, :1, 0]), upper[:, -1:, 0])
    top, bottom = (height_over(side.expand(len(at), -1, -1), x) for side in (upper, lower))
    return torch.stack((x, torch.minimum(torch.maximum(y, top), torch.maximum(top, bottom))), -1)


def _beside(points: Tensor, opening: Opening, centres: Tensor) -> Tensor:
    """How far cells lie above the upper and below the lower edge: (F, 2, g, g). Edges that cross meet half way."""
    at = centres.expand(len(points), -1)
    top, bottom = (height_over(points[:, edge], at) for edge in (opening.upper, opening.lower))  # (F, g)
    middle = (top + bottom) / 2
    top, bottom = torch.minimum(top, middle), torch.maximum(bottom, middle)
    down = centres[:, None]
    return torch.stack((top[:, None] - down, down - bottom[:, None]), 1)


def height_over(edge: Tensor, at: Tensor) -> Tensor:
    """The height y of an edge (F, K, 2), a line from left to right, over x = at (F, N): (F, N), level beyond its
    ends."""
    x, y = edge[:, :-1].unbind(-1)  # (F, K - 1)
    along, rise = (edge[:, 1:] - edge[:, :-1]).unbind(-1)
    passed = ((at[:, None] - x[..., None]) / along.clamp_min(1e-4)[..., None]).clamp(0, 1)  # (F, K - 1, N)
    return y[:, :1] + (passed * rise[..., None]).sum(1)


def _turn(start: Tensor, end: Tensor) -> Tensor:
    """The turn and growth of points (1, K, 2) to points (F, K, 2), by least squares, as complex factors (F, 1)."""
    before, after = (
        torch.view_as_complex((side - side.mean(1, keepdim=True)).contiguous()) for side in (start, end)
    )  # (., K)
    return (before.conj() * after).sum(1, keepdim=True) / before.abs().square().sum(1, keepdim=True).clamp_min(1e-12)
