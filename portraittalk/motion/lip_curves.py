"""Lips that keep smooth edges while an expression moves them, and open in the middle when they are rounded.

The expression basis was fitted point by point to tracked films, mostly of one speaker, so it moves neighbouring points
of a lip by unequal amounts: funnelled lips get a point in the middle of the lower lip and a bump beside the corners.
What a lip does is smooth along it, and can be written as the motion of its corners and a few sine waves between them.
"""

import math

import torch
from torch import Tensor

from ..face import topology as mesh

WAVES = 3  # half waves between the corners of the mouth, at most, in the motion of a lip's edge
# Bounds of the third wave relative to the first in vertical motion: beyond them, the motion alone would bend an edge to
# both sides (sin 3s has at most three times the slope of sin s, and nine times its curvature).
PINCHED, FLATTENED = -1 / 27, 1 / 9
# Share of the largest gap between fully rounded lips up to which lips lie on each other instead, and the gap in eye
# distances beyond which that grows no more: a rounded mouth that opens wide is an oval.
ROUNDING, SMALL = 0.45, 0.08
# Rows of landmarks along both lips from corner to corner, from the skin around them to their inner edges.
ROWS = (
    (57, 186, 92, 165, 167, 164, 393, 391, 322, 410, 287),
    (57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287),
    mesh.LIPS_OUTER_UPPER,
    mesh.LIPS_OUTER_LOWER,
    mesh.LIPS_BETWEEN[:11],
    (76, *mesh.LIPS_BETWEEN[19:10:-1], 306),
    mesh.LIPS_BETWEEN[20:31],
    (62, *mesh.LIPS_BETWEEN[39:30:-1], 292),
    mesh.LIPS_INNER_UPPER,
    mesh.LIPS_INNER_LOWER,
)
COUNT = len(ROWS[0])
AROUND_INNER = ROWS[:-2]  # without the inner edges
CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))  # where the rows of the lips begin and end, from outside in


def smooth_lips(moves: Tensor, rows: tuple[tuple[int, ...], ...] = ROWS) -> Tensor:
    """Return moves (F, 478, 3) of a frontal face whose lips, and the skin along them, move smoothly from side to side.

    The corners of the outer and inner edges keep their motion, and those between them share it. Smoothing twice changes
    nothing more. rows: those that are smoothed.
    """
    result = moves.clone()
    for outer, *between, inner in CORNERS:
        for step, corner in enumerate(between, 1):
            result[:, corner] = moves[:, outer].lerp(moves[:, inner], step / (len(between) + 1))
    indices = [list(row) for row in rows]
    steps = torch.linspace(0, 1, COUNT).to(moves)
    waves = torch.sin(math.pi * steps[:, None] * torch.arange(1, WAVES + 1).to(moves))  # (K, WAVES), orthogonal
    along = result[:, indices]  # (F, R, K, 3)
    straight = along[..., :1, :].lerp(along[..., -1:, :], steps[:, None])
    heights = torch.einsum("kw,frkd->frwd", 2 / (COUNT - 1) * waves, along - straight)
    first, third = heights[..., 0, 1], heights[..., 2, 1]
    bounds = torch.stack((PINCHED * first, FLATTENED * first))
    heights[..., 2, 1] = torch.minimum(torch.maximum(third, bounds.amin(0)), bounds.amax(0))
    smoothed = straight + torch.einsum("kw,frwd->frkd", waves, heights)
    inside = slice(1, -1)
    result[:, [row[inside] for row in indices]] = smoothed[..., inside, :]
    return result


def rounded_gaps(gaps: Tensor, rounding: Tensor, middle: slice) -> Tensor:
    """Return the gaps (F, K) along lips that are rounded: they lie on each other beside the middle.

    Landmarkers draw the opening of rounded lips as a lens from corner to corner, and so does a basis that was fitted to
    them. In films, lips of w, oo and o part only in the middle half of their width.

    gaps: (F, K) from corner to corner. rounding: (F,) in 0..1. middle: those whose mean stays as it is.
    """
    pressed = ROUNDING * rounding[:, None] * gaps.amax(1, keepdim=True).clamp_max(SMALL)
    rounded = (gaps - pressed).clamp_min(0)
    before, after = (values[:, middle].mean(1, keepdim=True) for values in (gaps, rounded))
    return rounded * (before / after.clamp_min(1e-6))
