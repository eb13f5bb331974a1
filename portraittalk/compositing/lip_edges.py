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
from torch.nn.functional import avg_pool1d, avg_pool2d, max_pool1d, pad

from ..face.align import eye_distance
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from .lip_lines import (
    BENT,
    BLACK,
    DARK,
    LOWER,
    MIDDLE,
    SMOOTH,
    STEP,
    UPPER,
    Lip,
    along_edge,
    at_landmarks,
    cheapest,
    lowered,
    moved_edge,
    redness,
    sampled,
    strip_along,
)

OUTSIDE, INSIDE = 0.05, 0.035  # eye distances outside and inside of the landmarks' lip
BESIDE = 0.018  # eye distances beyond and before a line in which colours are compared
FURTHEST = 0.6  # share of the mouth's height up to which a lip may reach into the mouth that the landmarks show
PULL = 24.0  # cost of a line away from the landmarks, per squared eye distance
SEEN, SURE = 0.12, 0.05  # growth of redness in the middle of the lip, and in most columns, from which the edge is seen
MOST = 0.7  # of these columns
MARGIN = 0.01  # eye distances from the edge into the lip, so that no blurred tooth goes with it
FAR = 0.015  # eye distances inside of the landmarks' lip from which it may be an edge within it, such as of a highlight
LIP_LIKE = 0.5  # redness before such a line, relative to that beyond it, from which there is lip before it
FROM, BLUR = 0.03, 0.012  # eye distances before the landmarks and before the line between which that is looked at
NEARBY = 0.01  # eye distances beyond and before a line in which brightness is compared
GAPS = 5  # columns over which the contrast along the mouth, of gaps between teeth, is averaged
LIGHT, RED = 0.3, 0.3  # weights of growing brightness and redness where gaps between teeth end
MOST_LIGHT, SMOOTHER = 0.5, (-0.1, 0.2)  # range of a change of brightness and of contrast along the mouth
BRIGHTER, TEXTURED = 0.2, 0.06  # growth of brightness, or loss of that contrast, from which the edge is seen
UPPER_TEXTURED, UPPER_FAR = 0.08, 0.024  # that loss at an upper lip's edge, and how far below its landmarks it must lie
UNCOVERED, NARROW = 0.09, 0.006  # likewise at lips that are seen shut, and how far above their landmarks it must lie
STRIP_TEXTURED = 0.075  # likewise between lips that are seen shut, in a picture with twice the pixels
STRIP_AT = (0.35, 0.5, 0.65)  # heights within a strip, relative to its own, at which it is compared with the lips
LIPS_AT = (0.015, 0.025, 0.035)  # and eye distances beyond it, and below the lower lip's edge, at which these are
FAINT, TOOTH = 0.04, 9  # loss of contrast in a column from which it counts there, and columns that a tooth may take


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
    return moved_edge(landmarks, UPPER, (-at_landmarks(line.offsets, UPPER) * unit - MARGIN * unit).clamp_min(0))


def uncover_teeth(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) with the upper lip above teeth on which it is seen, as it is in narrow mouths.

    As they are if no gaps between teeth are seen there; only where these are, the lip is moved. picture, landmarks: as
    in ``refine_lips``.
    """
    return _uncovered(picture, landmarks, _by_light(_strip(picture, landmarks, UPPER)))


def strip_of_teeth(picture: Tensor, landmarks: Tensor) -> Tensor | None:
    """Return how far a strip of teeth reaches up from the upper lip's landmarks of shut lips, (C,) in pixels along it.

    None if none is seen. Such a strip is two pixels high in a crop of the face, so ``picture`` (3, S, S) should have
    twice as many. Wrinkles of lips have gaps like those between teeth, but are as red as the lips.
    """
    line = _by_light(_strip(picture, landmarks, UPPER))
    if line.smoother < STRIP_TEXTURED or line.offsets[MIDDLE].median() < NARROW:
        return None
    if not _less_red_than_lips(picture, landmarks, line):
        return None
    return _over_gaps(line) * eye_distance(landmarks)


def _less_red_than_lips(picture: Tensor, landmarks: Tensor, line: _LitLine) -> bool:
    """Return whether what lies below a line, where gaps between teeth end there, is less red than the redder lip."""
    unit = eye_distance(landmarks)
    upper, lower = (along_edge(landmarks, edge) for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, away = lowered(upper, -line.offsets * unit), upper.new_tensor(LIPS_AT) * unit
    strip = sampled(picture, torch.stack([upper.lerp(top, share) for share in STRIP_AT])).mean(1)  # (3, C)
    lips = strip_along(picture, top, -away).mean(1), strip_along(picture, lower, away).mean(1)
    bright = torch.stack(lips).mean(1)[:, MIDDLE].amax(0).quantile(0.9)
    gaps = torch.zeros_like(line.gaps, dtype=torch.bool)
    gaps[MIDDLE] = line.gaps[MIDDLE] > 2 * FAINT
    reds = [redness(colours, bright)[gaps].median() for colours in (strip, *lips)]
    return bool(gaps.any()) and bool(reds[0] < torch.maximum(*reds[1:]))


def _uncovered(picture: Tensor, landmarks: Tensor, line: _LitLine) -> Tensor:
    """Return what ``uncover_teeth`` does. line: at which the upper lip ends."""
    if line.smoother < UNCOVERED or line.offsets[MIDDLE].median() < NARROW:
        return landmarks
    up = _over_gaps(line)
    return _lower_refined(picture, moved_edge(landmarks, UPPER, -at_landmarks(up, UPPER) * eye_distance(landmarks)))


def _over_gaps(line: _LitLine) -> Tensor:
    """Return how far up from the landmarks teeth reach, (C,) in eye distances: 0 where no gaps between them end."""
    has_gaps = ((line.gaps - FAINT) / FAINT).clamp(0, 1)[None]
    closed = -max_pool1d(-max_pool1d(has_gaps, TOOTH, 1, TOOTH // 2), TOOTH, 1, TOOTH // 2)  # teeth between gaps, too
    share = avg_pool1d(closed, SMOOTH, 1, SMOOTH // 2)[0]
    return (line.offsets + MARGIN).clamp_min(0) * share


def _lower_refined(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) whose lower lip begins where it is seen to; as they are if that is not seen."""
    edge = lower_lip_edge(picture, landmarks)
    if edge is None:
        return landmarks
    return moved_edge(landmarks, LOWER, edge.below + MARGIN * eye_distance(landmarks))


def lower_lip_edge(picture: Tensor, landmarks: Tensor) -> LipEdge | None:
    """Return where the lower lip begins, None if that is not seen.

    picture: (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    strip = _strip(picture, landmarks, LOWER)
    by_redness = _by_redness(strip)
    if by_redness is not None:
        return LipEdge(at_landmarks(by_redness, LOWER) * eye_distance(landmarks), True)
    line = _by_light(strip)
    if line.brighter < BRIGHTER and line.smoother < TEXTURED:
        return None
    return LipEdge(at_landmarks(line.offsets, LOWER) * eye_distance(landmarks), False)


def _strip(picture: Tensor, landmarks: Tensor, lip: Lip) -> _Strip:
    """Return a picture (3, S, S) straightened along the inner edge of a lip."""
    unit = eye_distance(landmarks)
    upper, lower = (along_edge(landmarks, edge) for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    outside, inside, beside = (round(reach / STEP) for reach in (OUTSIDE, INSIDE, BESIDE))
    rows = STEP * torch.arange(-outside - beside, inside + beside + 1, device=lower.device)
    colours = strip_along(picture, lower if lip is LOWER else upper, lip.down * rows * unit)
    return _Strip(colours, rows, (lower - upper)[:, 1].clamp_min(0) / unit)


def _by_redness(strip: _Strip) -> Tensor | None:
    """Return where redness grows, (C,) in eye distances from the landmarks into the lip, None if it does not."""
    red = _redness(strip)
    growth = _growth(red, BESIDE)
    line, offsets = _line(growth, strip)
    grown = growth.gather(0, line[None])[0, MIDDLE]
    if grown.median() < SEEN or (grown > SURE).float().mean() < MOST:
        return None
    if offsets[MIDDLE].median() > FAR and _red_before(red, strip.rows, offsets)[MIDDLE].median() > LIP_LIKE:
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
    line, offsets = _line(change + RED * _growth(_redness(strip), BESIDE), strip)
    grown, gaps = (values.gather(0, line[None])[0] for values in (brighter, smoother))
    return _LitLine(offsets, gaps, float(grown[MIDDLE].median()), float(gaps[MIDDLE].median()))


def _redness(strip: _Strip) -> Tensor:
    """Return the redness (R, C) of a strip."""
    return redness(strip.colours, strip.colours.mean(0)[:, MIDDLE].quantile(0.9))


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
    line = cheapest(cost, between, BENT)  # (COLUMNS,)
    return line, between[line]


def _red_before(red: Tensor, rows: Tensor, offsets: Tensor) -> Tensor:
    """Return the largest redness before a line relative to that just beyond it, (C,). red: (R, C); rows: (R,)."""
    means = avg_pool1d(red.T, 3, 1, 1).T
    away = rows[:, None] - offsets  # (R, C)
    before = (rows[:, None] > -FROM) & (away < -BLUR)
    beyond = (away > 0) & (away < BESIDE)
    most, other = (means.where(part, means.min()).amax(0) for part in (before, beyond))
    return most / other.clamp_min(1e-3)
