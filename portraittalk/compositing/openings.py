"""The openings of a face (mouth and eyes): their edges, and what lies above, below and behind them.

Coordinates are fractions of the crop's side, x to the right and y down. The face is upright, so an edge is a function
y(x).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..face import topology as mesh
from ..face.align import eye_distance
from ..smooth import smoothstep

ROWS = (0.25, 0.5, 0.75)  # heights between the edges with control points for what is behind an opening
UPRIGHT, ROUNDING = 1e-6, 1e-3  # width below which a line is upright, and by which share of it a point may be beside it
IRIS_REACH = 2.2  # distance from the iris centre, in radii, up to which the white of the eye follows the iris
WIDER = 0.1  # growth of an opening over which the iris begins to stretch with it
LASHES, MOST_LASHES = 0.012, 0.3  # eye distances below an eye's upper edge that lashes take, and most of its height
REACH_BESIDE = 0.03  # distance beyond an opening's corners over which the sheets above and below merge
TUCK = 0.018  # eye distances of the edge of a lip that are hidden where parted lips close
PARTED = (0.02, 0.05)  # gap between the reference's lips from which their edges are hidden, and fully so
REACH, FADE = 0.04, 0.06  # distance from an edge up to which the sheets are separate, and over which they then merge
# Landmarks that move only with the skull: corners of the eyes, the bridge and the base of the nose.
SKULL = (33, 133, 263, 362, 168, 6, 197, 98, 2, 327)


@dataclass(frozen=True)
class Opening:
    """Landmark indices of an opening.

    upper, lower: of the edges, left to right in the picture, with shared corners. carrier: of points that move with
    what is behind the opening. iris: of the iris, which moves on its own behind the opening, its centre first.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    carrier: tuple[int, ...]
    iris: tuple[int, ...] = ()


MOUTH = Opening(mesh.LIPS_INNER_UPPER, mesh.LIPS_INNER_LOWER, mesh.NOSE_BASE_LINE)
RIGHT = Opening(mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER, (33, 133), mesh.IRIS_RIGHT)
LEFT = Opening(mesh.EYE_LEFT_UPPER[::-1], mesh.EYE_LEFT_LOWER[::-1], (362, 263), mesh.IRIS_LEFT)
OPENINGS = (MOUTH, RIGHT, LEFT)


def sides(points: Tensor, centres: Tensor) -> Tensor:
    """Return how far each cell lies above the upper and below the lower edge of its nearest opening: (F, 2, g, g).

    points: (F, 478, 2). centres: (g,) of the cells. Between cells, the two may be interpolated linearly: they then meet
    at the corners of an opening, not up to a cell beyond.
    """
    mouth, right, left = (
        _beside(points, opening, centres) + _past_corners(points, opening, centres) for opening in OPENINGS
    )
    middle = points[:, (133, 362), 0].mean(1)[:, None, None, None]
    eyes = torch.where(centres < middle, right, left)
    under_eyes, over_mouth = points[:, (33, 263), 1].mean(1), points[:, (78, 308), 1].mean(1)
    both = torch.where(centres[:, None] < ((under_eyes + over_mouth) / 2)[:, None, None, None], eyes, mouth)
    # Far from an opening only the side matters: where two openings meet, no cell may be inside either of them.
    above, below = both[:, :1], both[:, 1:]
    return torch.cat((torch.where(below > REACH, -below, above), torch.where(above > REACH, -above, below)), 1)


def nearness(points: Tensor, centres: Tensor) -> Tensor:
    """Return how far the sheets above and below the openings are separate: (F, 1, g, g), 1 at the edges, 0 far away."""
    weights = []
    for opening in OPENINGS:
        left, right = (points[:, corner, 0, None] for corner in (opening.upper[0], opening.upper[-1]))  # (F, 1)
        beyond = torch.maximum(left - centres, centres - right).clamp_min(0)  # (F, g)
        away = _beside(points, opening, centres).amax(1)  # (F, g, g)
        weights.append(smoothstep(1 - beyond / REACH_BESIDE)[:, None] * smoothstep(1 - (away - REACH) / FADE))
    return torch.stack(weights).amax(0)[:, None]


def one_sided(points: Tensor) -> Tensor:
    """Return which landmarks count for the sheet above and for the sheet below: (478, 2) of 0 and 1.

    points: (478, 2). Only landmarks near an opening count for one sheet alone.
    """
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


def tucked_lips(start: Tensor, end: Tensor) -> Tensor:
    """Return the landmarks (F, 478, 2) of the reference with the inner edges of lips that close moved into the lips.

    Landmarks of parted lips lie within a pixel or two of the teeth. Where such lips meet in the target, that strip
    would be left between them as a bright line; it is hidden instead. start: (1 or F, 478, 2); end: (F, 478, 2).
    """
    unit, units = (eye_distance(points)[:, None] for points in (start, end))
    upper, lower = list(MOUTH.upper[1:-1]), list(MOUTH.lower[1:-1])
    before, after = (points[:, lower, 1] - points[:, upper, 1] for points in (start, end))  # (., K)
    before, after = before / unit, after / units
    parted = smoothstep((before - PARTED[0]) / (PARTED[1] - PARTED[0]))
    tuck = TUCK * unit * parted * smoothstep(1 - after / before.clamp_min(PARTED[0]))  # (F, K)
    tucked = start.expand(len(end), -1, -1).clone()
    tucked[:, upper, 1] -= tuck
    tucked[:, lower, 1] += tuck
    return tucked


def above_lashes(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return landmarks of the reference and of the target, (F, 478, 2) each, between which eyes open with their lashes.

    Lashes and the shadow of the lid lie below the upper edge, in front of the eye, and would be drawn out where an eye
    is wider than in the reference. The edge is moved below them there, in both, so that they go with the lid.
    start: (1, 478, 2); end: (F, 478, 2).
    """
    start, end = start.repeat(len(end), 1, 1), end.clone()
    unit, units = (eye_distance(points)[:, None] for points in (start, end))
    for opening in (RIGHT, LEFT):
        upper, lower = list(opening.upper[1:-1]), list(opening.lower[1:-1])
        own, shown = ((p[:, lower, 1] - p[:, upper, 1]).clamp_min(0) for p in (start, end))
        growth = shown.sum(1, keepdim=True) / units / (own.sum(1, keepdim=True) / unit).clamp_min(1e-4) - 1
        below = smoothstep(growth / WIDER) * torch.minimum(LASHES * unit, MOST_LASHES * own)
        start[:, upper, 1] += below
        end[:, upper, 1] += below * units / unit
    return start, end


def behind_openings(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return control points of what is behind the openings: (F, P, 2) in the target, and in the reference.

    start: (1 or F, 478, 2) landmarks of the reference; end: (F, 478, 2) of the target. The content moves with the
    skull, the irises with their landmarks, and the edges slide over both. Where an opening is wider than in the
    reference, the visible content is stretched, irises as well: what lids hid of them is not known.
    """
    start = start.expand(len(end), -1, -1)
    turn = _turn(start[:, SKULL], end[:, SKULL])  # (F, 1)
    irises, irises_show, points, shows = [], [], [], []
    for opening in OPENINGS:
        origin, target = (side[:, opening.carrier].mean(1, keepdim=True) for side in (start, end))

        slid = [_to_reference(end[:, edge], origin, target, turn) for edge in (opening.upper, opening.lower)]
        edges = [_clamped(opening, start, edge) for edge in slid]
        if opening.iris:
            centre = end[:, opening.iris[:1]]
            radius = (end[:, opening.iris[1:]] - centre).norm(dim=-1).mean(1)[:, None]
            way = start[:, opening.iris[:1]] - _to_reference(centre, origin, target, turn)
            at = _to_reference(end[:, opening.iris], origin, target, turn)
            irises.append(end[:, opening.iris])
            irises_show.append(_stretched(opening, start, at, slid, way))
        for share in (0.0, *ROWS, 1.0):
            row = end[:, opening.upper].lerp(end[:, opening.lower], share)
            shown = edges[0].lerp(edges[1], share)
            if opening.iris:
                near = smoothstep((IRIS_REACH - (row - centre).norm(dim=-1) / radius) / (IRIS_REACH - 1))[..., None]
                shown = _clamped(opening, start, shown + near * way)
            points.append(row)
            shows.append(shown)
    return torch.cat((*irises, *points), 1), torch.cat((*irises_show, *shows), 1)


def _to_reference(at: Tensor, origin: Tensor, target: Tensor, turn: Tensor) -> Tensor:
    """Map points (F, K, 2) of the target to the reference, by the motion of the skull."""
    return origin + torch.view_as_real(torch.view_as_complex((at - target).contiguous()) / turn)


def _stretched(opening: Opening, start: Tensor, at: Tensor, edges: list[Tensor], way: Tensor) -> Tensor:
    """Return where an iris (F, 5, 2) lies in the reference, stretched as far as its opening is wider than there.

    start: (F, 478, 2) landmarks of the reference. at, edges: the iris (F, 5, 2), the upper and the lower edge (F, K, 2)
    of the target, mapped to the reference by the motion of the skull. way: (F, 1, 2) from that iris to the reference's.
    """
    own = start[:, opening.iris]
    top, bottom = (height_over(edge, at[..., 0]) for edge in edges)
    first, last = (height_over(start[:, edge], own[..., 0]) for edge in (opening.upper, opening.lower))
    growth = (bottom - top) / (last - first).clamp_min(1e-4)
    inside = torch.minimum(torch.maximum(at[..., 1], top), torch.maximum(top, bottom))
    y = first + (inside - top) / growth.clamp_min(1) + (at[..., 1] - inside) + way[..., 1]
    return torch.stack((own[..., 0], own[..., 1].lerp(y, ((growth - 1) / WIDER).clamp(0, 1))), -1)


def _clamped(opening: Opening, start: Tensor, at: Tensor) -> Tensor:
    """Clamp points (F, K, 2) of the reference to its opening. start: (F, 478, 2) landmarks of the reference."""
    upper, lower = start[:, opening.upper], start[:, opening.lower]
    x, y = at.unbind(-1)
    across = torch.cat((upper, lower), 1)[..., 0]
    x = torch.minimum(torch.maximum(x, across.amin(1, keepdim=True)), across.amax(1, keepdim=True))
    top, bottom = _reach(upper, lower, x)
    return torch.stack((x, torch.minimum(torch.maximum(y, top), bottom)), -1)


def _reach(upper: Tensor, lower: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest y (F, N) between two edges (F, K, 2) at x coordinates (F, N) of theirs.

    From the side, the edges of an eye run beyond its far corner and back, so they and all lines between their opposite
    points are looked at.
    """
    lines = [(edge[:, :-1], edge[:, 1:]) for edge in (upper, lower)] + [(upper, lower)]
    start, end = (torch.cat(part, 1)[:, None] for part in zip(*lines, strict=True))  # (F, 1, S, 2)
    along = end[..., 0] - start[..., 0]
    share = (at[..., None] - start[..., 0]) / along.where(along.abs() > UPRIGHT, UPRIGHT)  # (F, N, S)
    y = start[..., 1] + share.clamp(0, 1) * (end[..., 1] - start[..., 1])
    passed = (share >= -ROUNDING) & (share <= 1 + ROUNDING)
    return y.where(passed, torch.inf).amin(-1), y.where(passed, -torch.inf).amax(-1)


def _beside(points: Tensor, opening: Opening, centres: Tensor) -> Tensor:
    """Return how far cells lie above the upper and below the lower edge: (F, 2, g, g). Crossing edges meet half way."""
    at = centres.expand(len(points), -1)
    top, bottom = (height_over(points[:, edge], at) for edge in (opening.upper, opening.lower))  # (F, g)
    middle = (top + bottom) / 2
    top, bottom = torch.minimum(top, middle), torch.maximum(bottom, middle)
    down = centres[:, None]
    return torch.stack((top[:, None] - down, down - bottom[:, None]), 1)


def _past_corners(points: Tensor, opening: Opening, centres: Tensor) -> Tensor:
    """Return by how much the edges of an opening, continued straight on, have crossed at cells beyond its corners.

    (F, 1, 1, g), half of it for each edge, and at most that of one cell.
    """
    cell = centres[1] - centres[0]
    corners = torch.stack([points[:, corner, 0] for corner in (opening.upper[0], opening.upper[-1])], 1)  # (F, 2)
    within = corners + torch.stack((cell, -cell))
    top, bottom = (height_over(points[:, edge], within) for edge in (opening.upper, opening.lower))
    slopes = (bottom - top).clamp_min(0) / cell  # (F, 2)
    past = torch.stack((corners[:, :1] - centres, centres - corners[:, 1:]), 1).clamp_min(0).clamp_max(cell)
    return (past * slopes[..., None]).sum(1)[:, None, None] / 2


def height_over(edge: Tensor, at: Tensor) -> Tensor:
    """Return the y coordinates (F, N) of an edge (F, K, 2) at the x coordinates ``at`` (F, N).

    The edge is a polyline from left to right, and constant beyond its ends.
    """
    x, y = edge[:, :-1].unbind(-1)  # (F, K - 1)
    along, rise = (edge[:, 1:] - edge[:, :-1]).unbind(-1)
    passed = ((at[:, None] - x[..., None]) / along.clamp_min(1e-4)[..., None]).clamp(0, 1)  # (F, K - 1, N)
    return y[:, :1] + (passed * rise[..., None]).sum(1)


def _turn(start: Tensor, end: Tensor) -> Tensor:
    """Return rotation and scale from points (1, K, 2) to (F, K, 2) by least squares, as complex factors (F, 1)."""
    before, after = (
        torch.view_as_complex((side - side.mean(1, keepdim=True)).contiguous()) for side in (start, end)
    )  # (., K)
    return (before.conj() * after).sum(1, keepdim=True) / before.abs().square().sum(1, keepdim=True).clamp_min(1e-12)
