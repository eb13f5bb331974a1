"""Lines along the inner edges of lips: where they run, which line is the best, and landmarks that are moved there."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, grid_sample, interpolate

from ..face.topology import LIPS_BETWEEN, LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER
from .openings import height_over

COLUMNS = 41  # along the lip
MIDDLE = slice(8, 33)  # columns among these that are surely not beside the mouth
BESIDE_CORNERS = 0.7  # share of the way that the landmarks beside the corners are moved
SMOOTH = 5  # columns over which a line is averaged
STEP = 0.0025  # eye distances between the rows in which a line is looked for
BENT = 3200.0  # cost of a line's slope relative to that of the landmarks, per squared eye distance between columns
BLACK = 0.1  # brightness, relative to the brightest, that is added before its logarithm is taken
DARK = 0.25  # brightness that is added before what is taken relative to it, so that the dark is not red


@dataclass(frozen=True)
class Lip:
    """Landmark indices of a lip's edges, left to right, and between these; whether it lies above or below the mouth."""

    inner: tuple[int, ...]
    outer: tuple[int, ...]
    between: tuple[int, ...]
    down: int  # 1 for the lower lip, -1 for the upper one


UPPER = Lip(LIPS_INNER_UPPER, LIPS_OUTER_UPPER, LIPS_BETWEEN[1:10] + LIPS_BETWEEN[21:30], -1)
LOWER = Lip(LIPS_INNER_LOWER, LIPS_OUTER_LOWER, LIPS_BETWEEN[11:20] + LIPS_BETWEEN[31:], 1)


def along_edge(landmarks: Tensor, edge: tuple[int, ...]) -> Tensor:
    """Return points (COLUMNS, 2) along an edge of the lips of landmarks (478, 3)."""
    return interpolate(landmarks[list(edge), :2].T[None], COLUMNS, mode="linear", align_corners=True)[0].T


def sampled(picture: Tensor, at: Tensor) -> Tensor:
    """Sample a picture (3, S, S) at pixels (A, B, 2): (3, A, B)."""
    return grid_sample(picture[None], at[None] * (2 / picture.shape[-1]) - 1, align_corners=False)[0]


def lowered(line: Tensor, by: Tensor) -> Tensor:
    """Return a line (C, 2) moved down by (C,) pixels."""
    return line + torch.stack((torch.zeros_like(by), by), -1)


def strip_along(picture: Tensor, line: Tensor, below: Tensor) -> Tensor:
    """Return the colours (3, R, C) of a picture (3, S, S) at distances (R,) below a line (C, 2), in pixels."""
    return sampled(picture, line + torch.stack((torch.zeros_like(below), below), -1)[:, None])


def redness(colours: Tensor, bright: Tensor) -> Tensor:
    """Return the redness (...) of colours (3, ...), relative to their brightness, but for the dark.

    bright: the brightness of what is bright among them.
    """
    return (colours[0] - colours[1]) / (colours.mean(0) + DARK * bright)


def cheapest(cost: Tensor, heights: Tensor, bent: float) -> Tensor:
    """Return the row (C,) of each column on the cheapest line through a plane of costs (R, C), by dynamic programming.

    heights: (R,) of the rows. bent: cost of a step between rows in neighbouring columns, per squared height.
    """
    between = bent * (heights[:, None] - heights).square()
    total, origins = cost[:, 0], []
    for column in cost.T[1:]:
        total, origin = (total + between).min(1)
        total = total + column
        origins.append(origin)
    line = [total.argmin()]
    for origin in reversed(origins):
        line.append(origin[line[-1]])
    return torch.stack(line[::-1])


def at_landmarks(offsets: Tensor, lip: Lip) -> Tensor:
    """Return a smoothed line (C,) at the landmarks of a lip's inner edge, (K,)."""
    offsets = avg_pool1d(offsets[None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[0]
    return offsets[:: (COLUMNS - 1) // (len(lip.inner) - 1)]


def moved_edge(landmarks: Tensor, lip: Lip, by: Tensor) -> Tensor:
    """Return landmarks (478, 3) with the inner edge of a lip moved down by (K,) pixels, and what is between in part."""
    by = by.clone()
    by[[1, -2]] *= BESIDE_CORNERS
    by[[0, -1]] = 0  # the corners are the other lip's as well
    edge, outer = (landmarks[list(indices), :2] for indices in (lip.inner, lip.outer))
    x, y = landmarks[list(lip.between), :2].T
    inside, outside, change = (
        height_over(line[None], x[None])[0] for line in (edge, outer, torch.stack((edge[:, 0], by), -1))
    )
    share = lip.down * (outside - y) / (lip.down * (outside - inside)).clamp_min(1e-3)
    moved = landmarks.clone()
    moved[list(lip.between), 1] += change * share.clamp(0, 1)
    moved[list(lip.inner), 1] += by
    return moved
