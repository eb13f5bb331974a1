"""Finding by colour where the lower lip of a smile begins.

Landmarkers see the inner edge of a smile's lower lip a little inside the lip, or on the teeth. What lies on the wrong
side of it then moves wrongly: a rim of lip stays with the teeth, or bits of teeth go with the lip and show between
lips that close. Lips are redder than teeth and than the dark between them, so their edge is looked for near the
landmarks, as a line below which redness grows, and the landmarks are moved there.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, grid_sample, interpolate

from ..face.align import eye_distance
from ..face.topology import LIPS_BETWEEN, LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER
from .openings import height_over

COLUMNS = 41  # along the lip
MIDDLE = slice(8, 33)  # columns among these that are surely not beside the mouth
HIGHEST, LOWEST, STEP = 0.05, 0.035, 0.0025  # eye distances above and below the landmarks, and between rows
BESIDE = 0.018  # eye distances above and below a line in which colours are compared
HIGHER = 0.6  # share of the mouth's height up to which its lower lip may reach above the landmarks
DARK = 0.25  # brightness that is added before redness is taken relative to it, so that the dark is not red
PULL = 24.0  # cost of a line away from the landmarks, per squared eye distance
BENT = 3200.0  # cost of its slope relative to theirs, per squared eye distance between columns
SEEN, SURE = 0.12, 0.05  # growth of redness in the middle of the lip, and in most columns, from which the edge is seen
MOST = 0.85  # of these columns
MARGIN = 0.01  # eye distances from the edge into the lip, so that no blurred tooth goes with it
FAR = 0.015  # eye distances below the landmarks from which it may be an edge within the lip, such as of a highlight
LIP_LIKE = 0.5  # redness above such a line, relative to that below, from which there is lip above it
FROM, BLUR = 0.03, 0.012  # eye distances above the landmarks and above the line between which that is looked at
BESIDE_CORNERS = 0.7  # share of the way that the landmarks beside the corners are moved
SMOOTH = 5  # columns over which the line is averaged

BETWEEN = LIPS_BETWEEN[11:20] + LIPS_BETWEEN[31:]  # landmarks of the lower lip between its edges


def refine_lower_lip(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) whose lower lip begins where it is seen to; as they are if that is not seen.

    picture: (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    by = _offsets(picture, landmarks)
    if by is None:
        return landmarks
    edge, outer = (landmarks[list(indices), :2] for indices in (LIPS_INNER_LOWER, LIPS_OUTER_LOWER))
    x, y = landmarks[list(BETWEEN), :2].T
    top, bottom, change = (
        height_over(line[None], x[None])[0] for line in (edge, outer, torch.stack((edge[:, 0], by), -1))
    )
    found = landmarks.clone()
    found[list(BETWEEN), 1] += change * ((bottom - y) / (bottom - top).clamp_min(1e-3)).clamp(0, 1)
    found[list(LIPS_INNER_LOWER), 1] += by
    return found


def _offsets(picture: Tensor, landmarks: Tensor) -> Tensor | None:
    """Return how far below the landmarks of its inner edge the lower lip begins, (K,) in pixels, None if unseen."""
    unit = eye_distance(landmarks)
    upper, lower = (
        interpolate(landmarks[list(edge), :2].T[None], COLUMNS, mode="linear", align_corners=True)[0].T
        for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER)
    )  # (COLUMNS, 2)
    above, below, beside = (round(reach / STEP) for reach in (HIGHEST, LOWEST, BESIDE))
    rows = STEP * torch.arange(-above - beside, below + beside + 1, device=lower.device)  # eye distances
    at = lower + torch.stack((torch.zeros_like(rows), rows * unit), -1)[:, None]
    colours = grid_sample(picture[None], at[None] * (2 / picture.shape[-1]) - 1, align_corners=False)[0]
    light = colours.mean(0)
    redness = (colours[0] - colours[1]) / (light + DARK * light[:, MIDDLE].quantile(0.9))  # (R, COLUMNS)
    means = avg_pool1d(redness.T, beside, 1).T
    growth = means[beside + 1 :] - means[: -beside - 1]  # (above + below + 1, COLUMNS)
    between = rows[beside : len(rows) - beside]
    height = (lower - upper)[:, 1].clamp_min(0) / unit
    cost = PULL * between[:, None].square() - growth
    cost = cost.where(between[:, None] >= -HIGHER * height - STEP / 2, cost.max() + 1)
    line = _cheapest(cost, BENT * (between[:, None] - between).square())  # (COLUMNS,)
    grown, offsets = growth.gather(0, line[None])[0, MIDDLE], between[line]
    if grown.median() < SEEN or (grown > SURE).float().mean() < MOST:
        return None
    if offsets[MIDDLE].median() > FAR and _red_above(redness, rows, offsets)[MIDDLE].median() > LIP_LIKE:
        return None
    offsets = avg_pool1d(offsets[None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[0]
    found = unit * (offsets + MARGIN)[:: (COLUMNS - 1) // (len(LIPS_INNER_LOWER) - 1)]
    found[[1, -2]] *= BESIDE_CORNERS
    found[[0, -1]] = 0  # the corners are the upper lip's as well
    return found


def _red_above(redness: Tensor, rows: Tensor, offsets: Tensor) -> Tensor:
    """Return the largest redness above a line relative to that just below it, (C,). redness: (R, C); rows: (R,)."""
    means = avg_pool1d(redness.T, 3, 1, 1).T
    away = rows[:, None] - offsets  # (R, C)
    above = (rows[:, None] > -FROM) & (away < -BLUR)
    below = (away > 0) & (away < BESIDE)
    most, other = (means.where(part, means.min()).amax(0) for part in (above, below))
    return most / other.clamp_min(1e-3)


def _cheapest(cost: Tensor, between: Tensor) -> Tensor:
    """Return the row (C,) of each column on the cheapest line through a plane of costs (R, C), by dynamic programming.

    between: (R, R) cost of a step from one row to another in the next column.
    """
    total, origins = cost[:, 0], []
    for column in cost.T[1:]:
        total, origin = (total + between).min(1)
        total = total + column
        origins.append(origin)
    line = [total.argmin()]
    for origin in reversed(origins):
        line.append(origin[line[-1]])
    return torch.stack(line[::-1])
