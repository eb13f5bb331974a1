"""What a mouth shows between its lips: where the upper teeth end, what stands below them, and the teeth's colour.

The landmarks of the lower lip lie a little inside it. As a smile opens further, that rim of lip would hang below the
teeth. So the lower end of the teeth is looked for in the picture.
"""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool1d

from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER
from ..types import MouthInside, View

ROWS = 17  # rows of a mouth that are compared for brightness
UPPER = (0.4, 1.0)  # range in the mouth's height where the upper teeth may end and the dark cavity begin
DARK = 0.7  # brightness relative to a mouth's brightest row below which a row is dark cavity
HIGH, BLACK = 0.15, 0.22  # height above which nothing is cavity, and brightness of cavity that lies higher than UPPER
SHADOW = 0.65  # height in a mouth below which a dark row can be a shadow on the lower lip
REDDER = 1.5  # factor by which lips are redder than teeth, relative to their brightness
JUST_REDDER = 0.05  # difference, likewise

COLUMNS, FINE_ROWS = 41, 40  # at which the lower end of the teeth is looked for
MIDDLE = slice(10, 31)  # columns among these where a smile shows teeth
FRONT = (0.15, 0.7)  # range in the mouth's height where teeth are looked for
BRIGHTEST = 0.3  # share of what lies there that is taken for teeth
TOLD_APART = 0.1  # by how much redder, relative to its brightness, the lower lip must be than white teeth
RED_TOLD_APART = 0.2  # likewise where teeth are reddish, in shade or coloured light
GAP = 4  # fine rows without a tooth after which it has ended
DIM = 0.5  # brightness relative to the teeth's below which there is shadow
HIGHEST = 0.4  # height in the mouth above which teeth do not end
REDDEST = 0.3  # teeth's redness at most, in reddish light, which shows by the lips; else half of that


def mouth_inside(known: View) -> MouthInside:
    """Return what the mouth of a picture shows; it should be open."""
    end, stands = dark_row(known)
    count = len(LIPS_INNER_UPPER)
    teeth, ends = _teeth(known)
    if stands or ends is None:
        return MouthInside(known.landmarks.new_full((count,), end), stands, False, teeth)
    return MouthInside(ends.clamp_max(end), False, True, teeth)


def dark_row(known: View) -> tuple[float, bool]:
    """Return the darkest height in a mouth, as a fraction from the upper lip, and whether teeth or a tongue are below.

    Where teeth fill the mouth, that height is 1. A dark row far below, with the colour of lips under it, is the shadow
    of the teeth on the lower lip.
    """
    upper, lower = (known.landmarks[list(edge[3:-3]), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    down = torch.linspace(0.1, 0.9, ROWS, device=upper.device)[:, None, None]
    rows, redness = _light_and_redness(_sampled(known.picture, upper + (lower - upper) * down).mean(2))  # (R,) each
    height, brightest = down[:, 0, 0], rows.max()
    black = (height > HIGH) & (rows < BLACK * brightest)  # above long lower teeth, the cavity lies high in the mouth
    within = rows.where(black | (height > UPPER[0]), brightest)
    darkest = int(within.argmin())
    if within[darkest] >= DARK * brightest:
        return UPPER[1], False
    teeth, under = redness[rows[: darkest + 1].argmax()], redness[darkest + int(rows[darkest:].argmax())]
    is_shadow = down[darkest] > SHADOW and under > REDDER * teeth.clamp_min(0) + JUST_REDDER
    return float(down[darkest]), not bool(is_shadow)


def _teeth(known: View) -> tuple[Tensor | None, Tensor | None]:
    """Return the colour (3, 1, 1) of the teeth, and where they end at the points of the upper lip's inner edge, (K,).

    None for the first if no white teeth are seen, and for the second if teeth cannot be told from the lip by colour.
    """
    upper, lower, outer = (
        interpolate(known.landmarks[list(edge), :2].T[None], COLUMNS, mode="linear", align_corners=True)[0].T
        for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER, LIPS_OUTER_LOWER)
    )  # (COLUMNS, 2)
    down = torch.linspace(0, 1, FINE_ROWS + 1, device=upper.device)[1:]
    mouth = _sampled(known.picture, upper + (lower - upper) * down[:, None, None])  # (3, R, COLUMNS)
    light, redness = _light_and_redness(mouth)
    front = (down > FRONT[0]) & (down < FRONT[1])
    bright = light[front][:, MIDDLE] >= light[front][:, MIDDLE].quantile(1 - BRIGHTEST)
    teeth = mouth[:, front][:, :, MIDDLE][:, bright].median(1).values[:, None, None]
    tooth_light, tooth_redness = (float(value) for value in _light_and_redness(teeth))
    lip = float(_light_and_redness(_sampled(known.picture, lower.lerp(outer, 0.4)[None, MIDDLE]))[1].median())
    is_white = tooth_redness <= (REDDEST if lip > 2 * REDDEST else REDDEST / 2)
    colour = teeth if is_white else None
    if lip - tooth_redness < (TOLD_APART if is_white else RED_TOLD_APART):
        return colour, None
    # Teeth at the sides are in the shade of the cheeks.
    dim = DIM * light[front].amax(0).clamp(tooth_light / 2, tooth_light)
    is_tooth = (redness < (lip + tooth_redness) / 2) & (light > dim)  # (R, COLUMNS)
    ends = _first_end(is_tooth)
    # The lowest of neighbours, so that gaps between teeth do not cut them.
    ends = max_pool1d(ends[None, None], 5, 1, 2)[0, 0]
    seen = (ends > HIGHEST).nonzero()[:, 0]
    if len(seen) < COLUMNS / 3:
        return colour, None
    at = torch.arange(0, COLUMNS, (COLUMNS - 1) // (len(LIPS_INNER_UPPER) - 1), device=seen.device)
    nearest = seen[(at[:, None] - seen).abs().argmin(1)]  # towards the corners, as where teeth are seen last
    return colour, ends[nearest]


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


def _sampled(picture: Tensor, at: Tensor) -> Tensor:
    """Sample a picture (3, S, S) at pixels (A, B, 2): (3, A, B)."""
    return grid_sample(picture[None], at[None] * (2 / picture.shape[-1]) - 1, align_corners=False)[0]
