"""Finding in the picture where the lips of a smile begin.

Landmarkers see the inner edge of a smile's lower lip a little inside the lip, or on the teeth, and may see that of a
broad upper lip too high. What lies on the wrong side of an edge then moves wrongly: a rim of lip stays with the teeth,
or bits of teeth go with the lip and show between lips that close. Lips are redder than teeth and than the dark between
them, so the edge of the lower lip is looked for near the landmarks, as a line beyond which redness grows, and the
landmarks are moved there.

Colour does not show that line where a pale or shining lip lies below teeth in the shade. There, it is a line along
which brightness changes, and at which the gaps between teeth end: lips are smooth from left to right. The upper lip is
looked for in the same way.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, grid_sample, interpolate, max_pool1d, pad

from ..face.align import eye_distance
from ..face.topology import LIPS_BETWEEN, LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER
from .openings import height_over

COLUMNS = 41  # along the lip
MIDDLE = slice(8, 33)  # columns among these that are surely not beside the mouth
OUTSIDE, INSIDE, STEP = 0.05, 0.035, 0.0025  # eye distances outside and inside of the landmarks' lip, and between rows
BESIDE = 0.018  # eye distances beyond and before a line in which colours are compared
FURTHEST = 0.6  # share of the mouth's height up to which a lip may reach into the mouth that the landmarks show
DARK = 0.25  # brightness that is added before redness is taken relative to it, so that the dark is not red
PULL = 24.0  # cost of a line away from the landmarks, per squared eye distance
BENT = 3200.0  # cost of its slope relative to theirs, per squared eye distance between columns
SEEN, SURE = 0.12, 0.05  # growth of redness in the middle of the lip, and in most columns, from which the edge is seen
MOST = 0.7  # of these columns
MARGIN = 0.01  # eye distances from the edge into the lip, so that no blurred tooth goes with it
FAR = 0.015  # eye distances inside of the landmarks' lip from which it may be an edge within it, such as of a highlight
LIP_LIKE = 0.5  # redness before such a line, relative to that beyond it, from which there is lip before it
FROM, BLUR = 0.03, 0.012  # eye distances before the landmarks and before the line between which that is looked at
NEARBY = 0.01  # eye distances beyond and before a line in which brightness is compared
GAPS = 5  # columns over which the contrast along the mouth, of gaps between teeth, is averaged
BLACK = 0.1  # brightness, relative to the brightest, that is added before its logarithm is taken
LIGHT, RED = 0.3, 0.3  # weights of growing brightness and redness where gaps between teeth end
MOST_LIGHT, SMOOTHER = 0.5, (-0.1, 0.2)  # range of a change of brightness and of contrast along the mouth
BRIGHTER, TEXTURED = 0.2, 0.06  # growth of brightness, or loss of that contrast, from which the edge is seen
UPPER_TEXTURED, UPPER_FAR = 0.08, 0.024  # that loss at an upper lip's edge, and how far below its landmarks it must lie
UNCOVERED, NARROW = 0.09, 0.006  # likewise at lips that are seen shut, and how far above their landmarks it must lie
FAINT, TOOTH = 0.04, 9  # loss of contrast in a column from which it counts there, and columns that a tooth may take
BESIDE_CORNERS = 0.7  # share of the way that the landmarks beside the corners are moved
SMOOTH = 5  # columns over which the line is averaged


@dataclass(frozen=True)
class _Lip:
    """Landmark indices of a lip's edges, left to right, and between these; whether it lies above or below the mouth."""

    inner: tuple[int, ...]
    outer: tuple[int, ...]
    between: tuple[int, ...]
    down: int  # 1 for the lower lip, -1 for the upper one


UPPER = _Lip(LIPS_INNER_UPPER, LIPS_OUTER_UPPER, LIPS_BETWEEN[1:10] + LIPS_BETWEEN[21:30], -1)
LOWER = _Lip(LIPS_INNER_LOWER, LIPS_OUTER_LOWER, LIPS_BETWEEN[11:20] + LIPS_BETWEEN[31:], 1)


@dataclass(frozen=True)
class LipEdge:
    """Where a lip begins: ``below`` the landmarks of its inner edge, (K,) in pixels. red: that is seen by redness."""

    below: Tensor
    red: bool


@dataclass(frozen=True)
class _Strip:
    """A picture straightened along the inner edge of a lip.

    colours: (3, R, C), from the mouth into the lip. rows: (R,) eye distances from the landmarks into the lip. height:
    (C,) of the mouth between the landmarks of both lips, in eye distances.
    """

    colours: Tensor
    rows: Tensor
    height: Tensor


@dataclass(frozen=True)
class _LitLine:
    """A line along which brightness changes and the gaps between teeth end.

    offsets: (C,) eye distances from the landmarks into the lip. gaps: (C,) by how much the contrast along the mouth
    falls there. brighter, smoother: by how much brightness grows, as a logarithm, and that contrast falls, in the
    middle.
    """

    offsets: Tensor
    gaps: Tensor
    brighter: float
    smoother: float


def refine_lips(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) whose lips begin where they are seen to; as they are if that is not seen.

    The upper lip is moved only where its edge lies clearly below its landmarks, or above them over teeth. picture:
    (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    landmarks = _lower_refined(picture, landmarks)
    line = _by_light(_strip(picture, landmarks, UPPER))
    if line.smoother < UPPER_TEXTURED or -line.offsets[MIDDLE].median() < UPPER_FAR:
        return _uncovered(picture, landmarks, line)
    unit = eye_distance(landmarks)
    return _moved(landmarks, UPPER, (-_at_landmarks(line.offsets, UPPER) * unit - MARGIN * unit).clamp_min(0))


def uncover_teeth(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) with the upper lip above teeth on which it is seen, as it is in narrow mouths.

    As they are if no gaps between teeth are seen there; only where these are, the lip is moved. picture, landmarks: as
    in ``refine_lips``.
    """
    return _uncovered(picture, landmarks, _by_light(_strip(picture, landmarks, UPPER)))


def _uncovered(picture: Tensor, landmarks: Tensor, line: _LitLine) -> Tensor:
    """Return what ``uncover_teeth`` does. line: at which the upper lip ends."""
    if line.smoother < UNCOVERED or line.offsets[MIDDLE].median() < NARROW:
        return landmarks
    has_gaps = ((line.gaps - FAINT) / FAINT).clamp(0, 1)[None]
    closed = -max_pool1d(-max_pool1d(has_gaps, TOOTH, 1, TOOTH // 2), TOOTH, 1, TOOTH // 2)  # teeth between gaps, too
    share = avg_pool1d(closed, SMOOTH, 1, SMOOTH // 2)[0]
    up = (line.offsets + MARGIN).clamp_min(0) * share
    return _lower_refined(picture, _moved(landmarks, UPPER, -_at_landmarks(up, UPPER) * eye_distance(landmarks)))


def _lower_refined(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) whose lower lip begins where it is seen to; as they are if that is not seen."""
    edge = lower_lip_edge(picture, landmarks)
    if edge is None:
        return landmarks
    return _moved(landmarks, LOWER, edge.below + MARGIN * eye_distance(landmarks))


def lower_lip_edge(picture: Tensor, landmarks: Tensor) -> LipEdge | None:
    """Return where the lower lip begins, None if that is not seen.

    picture: (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    strip = _strip(picture, landmarks, LOWER)
    by_redness = _by_redness(strip)
    if by_redness is not None:
        return LipEdge(_at_landmarks(by_redness, LOWER) * eye_distance(landmarks), True)
    line = _by_light(strip)
    if line.brighter < BRIGHTER and line.smoother < TEXTURED:
        return None
    return LipEdge(_at_landmarks(line.offsets, LOWER) * eye_distance(landmarks), False)


def along_edge(landmarks: Tensor, edge: tuple[int, ...]) -> Tensor:
    """Return points (COLUMNS, 2) along an edge of the lips of landmarks (478, 3)."""
    return interpolate(landmarks[list(edge), :2].T[None], COLUMNS, mode="linear", align_corners=True)[0].T


def _moved(landmarks: Tensor, lip: _Lip, by: Tensor) -> Tensor:
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


def _strip(picture: Tensor, landmarks: Tensor, lip: _Lip) -> _Strip:
    """Return a picture (3, S, S) straightened along the inner edge of a lip."""
    unit = eye_distance(landmarks)
    upper, lower = (along_edge(landmarks, edge) for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    outside, inside, beside = (round(reach / STEP) for reach in (OUTSIDE, INSIDE, BESIDE))
    rows = STEP * torch.arange(-outside - beside, inside + beside + 1, device=lower.device)
    away = torch.stack((torch.zeros_like(rows), lip.down * rows * unit), -1)[:, None]
    at = (lower if lip is LOWER else upper) + away
    colours = grid_sample(picture[None], at[None] * (2 / picture.shape[-1]) - 1, align_corners=False)[0]
    return _Strip(colours, rows, (lower - upper)[:, 1].clamp_min(0) / unit)


def _at_landmarks(offsets: Tensor, lip: _Lip) -> Tensor:
    """Return a smoothed line (C,) at the landmarks of a lip's inner edge, (K,)."""
    offsets = avg_pool1d(offsets[None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[0]
    return offsets[:: (COLUMNS - 1) // (len(lip.inner) - 1)]


def _by_redness(strip: _Strip) -> Tensor | None:
    """Return where redness grows, (C,) in eye distances from the landmarks into the lip, None if it does not."""
    redness = _redness(strip.colours)
    growth = _growth(redness, BESIDE)
    line, offsets = _line(growth, strip)
    grown = growth.gather(0, line[None])[0, MIDDLE]
    if grown.median() < SEEN or (grown > SURE).float().mean() < MOST:
        return None
    if offsets[MIDDLE].median() > FAR and _red_before(redness, strip.rows, offsets)[MIDDLE].median() > LIP_LIKE:
        return None
    return offsets


def _by_light(strip: _Strip) -> _LitLine:
    """Return where brightness changes and the gaps between teeth end."""
    light = strip.colours.mean(0)
    bright = light[:, MIDDLE].quantile(0.9)
    across = (light[:, 2:] - light[:, :-2]).abs() / (light[:, 1:-1] + DARK * bright)
    contrast = avg_pool2d(pad(across, (1, 1))[None], (1, GAPS), 1, (0, GAPS // 2))[0]
    brighter, smoother = _growth((light + BLACK * bright).log(), NEARBY), -_growth(contrast, BESIDE)
    change = LIGHT * brighter.abs().clamp_max(MOST_LIGHT) + smoother.clamp(*SMOOTHER)
    line, offsets = _line(change + RED * _growth(_redness(strip.colours), BESIDE), strip)
    grown, gaps = (values.gather(0, line[None])[0] for values in (brighter, smoother))
    return _LitLine(offsets, gaps, float(grown[MIDDLE].median()), float(gaps[MIDDLE].median()))


def _redness(colours: Tensor) -> Tensor:
    """Return the redness (R, C) of colours (3, R, C), relative to their brightness, but for the dark."""
    light = colours.mean(0)
    return (colours[0] - colours[1]) / (light + DARK * light[:, MIDDLE].quantile(0.9))


def _growth(values: Tensor, reach: float) -> Tensor:
    """Return by how much values (R, C) grow from before each row that a line may take to beyond it.

    reach: eye distances before and beyond the row that are compared, at most ``BESIDE``.
    """
    beside, by = round(BESIDE / STEP), round(reach / STEP)
    means, rows = avg_pool1d(values.T, by, 1).T, len(values) - 2 * beside
    return means[beside + 1 :][:rows] - means[beside - by :][:rows]


def _line(growth: Tensor, strip: _Strip) -> tuple[Tensor, Tensor]:
    """Return the line of largest growth near the landmarks: (C,) rows of ``growth``, and eye distances from these."""
    beside = round(BESIDE / STEP)
    between = strip.rows[beside : len(strip.rows) - beside]
    cost = PULL * between[:, None].square() - growth
    cost = cost.where(between[:, None] >= -FURTHEST * strip.height - STEP / 2, cost.max() + 1)
    line = cheapest(cost, BENT * (between[:, None] - between).square())  # (COLUMNS,)
    return line, between[line]


def _red_before(redness: Tensor, rows: Tensor, offsets: Tensor) -> Tensor:
    """Return the largest redness before a line relative to that just beyond it, (C,). redness: (R, C); rows: (R,)."""
    means = avg_pool1d(redness.T, 3, 1, 1).T
    away = rows[:, None] - offsets  # (R, C)
    before = (rows[:, None] > -FROM) & (away < -BLUR)
    beyond = (away > 0) & (away < BESIDE)
    most, other = (means.where(part, means.min()).amax(0) for part in (before, beyond))
    return most / other.clamp_min(1e-3)


def cheapest(cost: Tensor, between: Tensor) -> Tensor:
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
