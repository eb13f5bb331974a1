"""What a mouth shows between its lips: where the upper teeth end, what stands below them, and the teeth's colour.

The landmarks of the lower lip lie a little inside it. As a smile opens further, that rim of lip would hang below the
teeth. So the lower end of the teeth is looked for in the picture.
"""

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from ..face.align import eye_distance
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER
from ..types import MouthInside, View
from .lip_edges import MARGIN, lower_lip_edge
from .lip_lines import COLUMNS, along_edge, cheapest, sampled

ROWS = 17  # rows of a mouth that are compared for brightness
UPPER = (0.4, 1.0)  # range in the mouth's height where the upper teeth may end and the dark cavity begin
DARK = 0.7  # brightness relative to a mouth's brightest row below which a row is dark cavity
VALLEY = 0.9  # brightness relative to the brightest row above it, likewise, unless it is black
BLURRED = 0.004  # eye distances above the lip's edge from which its colour is seen
STANDS = 0.015  # eye distances above a lip from which something can stand on it
THIN = 0.03  # eye distances above and below a dark line within which it is light, if it is thin
PULL, BENT = 3.0, 10.0  # costs of a dark line away from the darkest row, and of its slope, per squared height
AGREES = 0.01  # eye distances by which the lower lip may be found elsewhere than where its landmarks say
HIGH, BLACK = 0.15, 0.22  # height above which nothing is cavity, and brightness of cavity that lies higher than UPPER
SHADOW = 0.65  # height in a mouth below which a dark row can be a shadow on the lower lip
REDDER = 1.5  # factor by which lips are redder than teeth, relative to their brightness
JUST_REDDER = 0.05  # difference, likewise

FINE_ROWS = 40  # at which the lower end of the teeth is looked for, in each of COLUMNS
MIDDLE = slice(10, 31)  # columns among these where a smile shows teeth
FRONT = (0.15, 0.7)  # range in the mouth's height where teeth are looked for
BRIGHTEST = 0.3  # share of what lies there that is taken for teeth
TOLD_APART = 0.1  # by how much redder, relative to its brightness, the lower lip must be than white teeth
RED_TOLD_APART = 0.2  # likewise where teeth are reddish, in shade or coloured light
GAP = 4  # fine rows without a tooth after which it has ended
DARKEST = 0.25  # brightness relative to the lower lip's below which there are no teeth
DIM = 0.5  # brightness relative to the teeth's below which there is shadow
HIGHEST = 0.4  # height in the mouth above which teeth do not end
REDDEST = 0.3  # teeth's redness at most, in reddish light, which shows by the lips; else half of that


def mouth_inside(known: View) -> MouthInside:
    """Return what the mouth of a picture shows; it should be open."""
    edge = lower_lip_edge(known.picture, known.landmarks)
    if edge is not None and not _agrees(edge.below, known.landmarks):
        edge = None
    lip = None if edge is None else _lip_begins(edge.below, known.landmarks)
    end, stands = dark_row(known, lip)
    count = len(LIPS_INNER_UPPER)
    teeth, ends, is_light = _teeth(known)
    if edge is not None and not edge.red and teeth is None:
        ends = None  # reddish teeth above a lip that is no redder
    if stands:
        ends, thin = _dark_line(known, end)
        return MouthInside(ends, True, thin and teeth is not None, teeth)
    if lip is None:  # what is below a dark row is not known to be lip
        exact, ends = ends is not None, (known.landmarks.new_ones(count) if ends is None else ends).clamp_max(end)
        return MouthInside(ends, False, exact, teeth)
    return MouthInside(lip if ends is None else ends, False, ends is not None or is_light, teeth)


def dark_row(known: View, lip: Tensor | None = None) -> tuple[float, bool]:
    """Return the darkest height in a mouth, as a fraction from the upper lip, and whether teeth or a tongue are below.

    Where teeth fill the mouth, that height is 1. A dark row far below, with the colour of lips under it, is the shadow
    of the teeth on the lower lip. lip: (K,) heights at which the lower lip begins, if they are known.
    """
    upper, lower = (known.landmarks[list(edge[3:-3]), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    whole = 1.0
    if lip is not None:
        lower = upper.lerp(lower, lip[3:-3, None])
        whole = float(lip[3:-3].mean())
    down = torch.linspace(0.1, 0.9, ROWS, device=upper.device)[:, None, None]
    rows, redness = _light_and_redness(sampled(known.picture, upper + (lower - upper) * down).mean(2))  # (R,) each
    height, brightest = down[:, 0, 0], rows.max()
    black = (height > HIGH) & (rows < BLACK * brightest)  # above long lower teeth, the cavity lies high in the mouth
    within = rows.where(black | (height > UPPER[0]), brightest)
    darkest = int(within.argmin())
    falls = black[darkest] or rows[darkest] < VALLEY * rows[: darkest + 1].max()
    if within[darkest] >= DARK * brightest or not falls:
        return UPPER[1], False
    below = darkest + int(rows[darkest:].argmax())
    if lip is None:
        teeth, under = redness[rows[: darkest + 1].argmax()], redness[below]
        is_shadow = height[darkest] > SHADOW and under > REDDER * teeth.clamp_min(0) + JUST_REDDER
    else:
        left = (1 - height[darkest]) * (lower - upper)[:, 1].mean() / eye_distance(known.landmarks)
        is_shadow = (rows[darkest] > DARK * rows[below]) | (left < STANDS)
    return whole * float(height[darkest]), not bool(is_shadow)


def _agrees(below: Tensor, landmarks: Tensor) -> bool:
    """Return whether landmarks lie ``MARGIN`` within a lip whose edge lies ``below`` them, (K,), where it was found."""
    return bool((below[2:-2].median() / eye_distance(landmarks) + MARGIN).abs() < AGREES)


def _lip_begins(below: Tensor, landmarks: Tensor) -> Tensor:
    """Return the heights (K,) at which the lower lip begins, as fractions from the upper one.

    below: (K,) pixels by which its edge lies below its landmarks; these lie ``MARGIN`` within it at least.
    """
    upper, lower = (landmarks[list(edge), 1] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    unit = eye_distance(landmarks)
    edge = below.clamp_max(-MARGIN * unit) - BLURRED * unit
    return (1 + edge / (lower - upper).clamp_min(1e-3)).clamp(HIGHEST, 1)


def _dark_line(known: View, end: float) -> tuple[Tensor, bool]:
    """Return the heights (K,) of the dark between what hangs and what stands, near the height end, and if it is thin.

    It is thin where light rows are close to it on both of its sides, as between two rows of teeth.
    """
    upper, lower = (along_edge(known.landmarks, edge) for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    down = torch.linspace(0, 1, FINE_ROWS + 1, device=upper.device)[1:]
    light = sampled(known.picture, upper + (lower - upper) * down[:, None, None]).mean(0)  # (R, COLUMNS)
    away = down - end
    cost = light / light[:, MIDDLE].quantile(0.9) + PULL * away.square()[:, None]
    rows = cheapest(cost, down, BENT)
    line, darkest = down[rows], light.gather(0, rows[None])[0]
    near = (down[:, None] - line).abs() * (lower - upper)[:, 1] < THIN * eye_distance(known.landmarks)
    above = down[:, None] < line
    beside = torch.minimum(*(light.where(near & side, 0).amax(0) for side in (above, ~above)))
    thin = (darkest < DARK * beside)[MIDDLE].float().mean() > 0.5
    return line[:: (COLUMNS - 1) // (len(LIPS_INNER_UPPER) - 1)], bool(thin)


def _teeth(known: View) -> tuple[Tensor | None, Tensor | None, bool]:
    """Return the colour (3, 1, 1) of the teeth, and where they end at the points of the upper lip's inner edge, (K,).

    None for the first if no white teeth are seen, and for the second if teeth cannot be told from the lip by colour.
    The third is whether anything is light enough to be teeth.
    """
    upper, lower, outer = (
        along_edge(known.landmarks, edge) for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER, LIPS_OUTER_LOWER)
    )
    down = torch.linspace(0, 1, FINE_ROWS + 1, device=upper.device)[1:]
    mouth = sampled(known.picture, upper + (lower - upper) * down[:, None, None])  # (3, R, COLUMNS)
    light, redness = _light_and_redness(mouth)
    front = (down > FRONT[0]) & (down < FRONT[1])
    bright = light[front][:, MIDDLE] >= light[front][:, MIDDLE].quantile(1 - BRIGHTEST)
    teeth = mouth[:, front][:, :, MIDDLE][:, bright].median(1).values[:, None, None]
    tooth_light, tooth_redness = (float(value) for value in _light_and_redness(teeth))
    lip_light, lip = (
        float(value.median())
        for value in _light_and_redness(sampled(known.picture, lower.lerp(outer, 0.4)[None, MIDDLE]))
    )
    if tooth_light < DARKEST * lip_light:
        return None, None, False
    is_white = tooth_redness <= (REDDEST if lip > 2 * REDDEST else REDDEST / 2)
    colour = teeth if is_white else None
    if lip - tooth_redness < (TOLD_APART if is_white else RED_TOLD_APART):
        return colour, None, True
    # Teeth at the sides are in the shade of the cheeks.
    dim = DIM * light[front].amax(0).clamp(tooth_light / 2, tooth_light)
    is_tooth = (redness < (lip + tooth_redness) / 2) & (light > dim)  # (R, COLUMNS)
    ends = _first_end(is_tooth)
    # The lowest of neighbours, so that gaps between teeth do not cut them.
    ends = max_pool1d(ends[None, None], 5, 1, 2)[0, 0]
    seen = (ends > HIGHEST).nonzero()[:, 0]
    if len(seen) < COLUMNS / 3:
        return colour, None, True
    at = torch.arange(0, COLUMNS, (COLUMNS - 1) // (len(LIPS_INNER_UPPER) - 1), device=seen.device)
    nearest = seen[(at[:, None] - seen).abs().argmin(1)]  # towards the corners, as where teeth are seen last
    return colour, ends[nearest], True


def _first_end(is_tooth: Tensor) -> Tensor:
    """Return the height at which the uppermost tooth of each column ends, as a fraction: (C,), 0 where there is none.

    is_tooth: (R, C). It ends where ``GAP`` rows show none: highlights on the lip below are no teeth.
    """
    rows, columns = is_tooth.shape
    padded = torch.cat((is_tooth, is_tooth.new_zeros(GAP, columns))).to(torch.float32)
    is_over = max_pool1d(padded.T[None], GAP, 1)[0].T[1 : rows + 1] == 0  # (R, C), below each row
    begun = is_tooth.cumsum(0) > 0
    first = (is_over & begun).to(torch.float32).argmax(0)
    return (first + 1) / rows * is_tooth.any(0)


def _light_and_redness(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and redness, relative to it, of colours (3, ...): (...) each."""
    light = colours.mean(0)
    return light, (colours[0] - colours[1]) / light.clamp_min(1e-3)
