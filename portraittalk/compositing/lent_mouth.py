"""The inside of a mouth that another picture lends, and what it shows between moving lips.

It is taken from the picture once, straightened to the row of teeth, so that a head may be turned a little there. In a
frame, as in anatomy, what hangs stays with the skull and what stands goes with the jaw; the dark between them grows or
shrinks, and lips slide over all. Only what lies inside of the other picture's lips is lent: beside and above it, and
where the dark would be drawn out, a painted mouth goes on (``teeth``).
"""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool1d

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_INNER_LOWER, LIPS_INNER_UPPER
from ..smooth import smoothstep
from ..types import LentMouth, View
from .draw import blurred
from .lent_rows import dark_above_standing, rows_beside
from .mouth_inside import mouth_inside
from .openings import height_over
from .planes import halved
from .teeth import GOES_ON, LOWER_SEEN, MARGIN
from .tooth_row import CHIN, TEETH_BY_CHIN, on_row, points_on_row, row_depth, row_of_teeth

HALF_WIDTH, ABOVE, BELOW = 0.44, 0.2, 0.5  # eye distances beside, above and below the lips' middle that are kept
DETAIL = 200  # pixels per eye distance
INSET = 0.012  # eye distances inside of the other picture's lips from which it is lent
SEEN = (0.02, 0.05)  # height of an opening, in eye distances, from which a column is lent, and fully so
CORNERS = 0.015  # eye distances beside the last such columns that are left out
STRETCH = (1.3, 2.5)  # of the dark between the rows from which a painted one is shown instead, and fully so
LEAST = 0.01  # eye distances that are added to the height of that dark
SOFT = 0.006  # eye distances over which it fades out at the rows
SINKS = 0.06  # eye distances by which lower teeth sink behind the lip, relative to the other picture, at most
BELOW_LIP = 0.06  # eye distances below the other picture's lower lip over which lent teeth go on
SHORT = (0.04, 0.07)  # height of teeth with an unseen end from which painted ones do not go on below, and fully so
MIDDLE = slice(4, 7)  # points of the inner edge of a lip


def lent_mouth(known: View, rest: Tensor, basis_mean: Tensor, blur: float = 0.0) -> LentMouth:
    """Return what the mouth of ``known`` lends to the portrait with landmarks ``rest`` (478, 3).

    basis_mean: (478, 3) the average frontal face. blur: standard deviation in pixels by which ``known`` is blurred.
    """
    inside = known.inside or mouth_inside(known)
    face, lips, _, _ = row_of_teeth(basis_mean, rest)
    facing, unit, offset = rigid_fit(face, known.landmarks)
    width, height = round(2 * HALF_WIDTH * DETAIL), round((ABOVE + BELOW) * DETAIL)
    x = (torch.arange(width, device=lips.device) + 0.5) / DETAIL - HALF_WIDTH
    y = (torch.arange(height, device=lips.device) + 0.5) / DETAIL - ABOVE
    on_teeth = torch.stack(torch.broadcast_tensors(x, y[:, None], row_depth(x)), -1) + lips  # (h, w, 3)
    grid = (unit * on_teeth @ facing.mT + offset)[None, ..., :2] * (2 / known.picture.shape[-1]) - 1
    source = blurred(known.picture[None], blur) if blur > 0 else known.picture[None]
    picture = grid_sample(source, grid, "bicubic", "border", align_corners=False)[0].clamp(0, 1)

    def line(points: Tensor) -> Tensor:
        return height_over(points_on_row(points[None], facing[None], unit[None], offset[None], lips), x[None])[0]

    upper, lower = (known.landmarks[list(edge), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, bottom = line(upper), line(lower)
    gap = (bottom - top).clamp_min(0)
    beside = round(CORNERS * DETAIL)
    seen = smoothstep((gap - SEEN[0]) / (SEEN[1] - SEEN[0]))
    seen = -max_pool1d(-seen[None], 2 * beside + 1, 1, beside)[0]
    inset = (gap / 4).clamp_max(INSET)
    dark = line(upper + (lower - upper) * inside.ends[:, None])
    top, bottom = top + inset, torch.maximum(bottom - inset, top + inset)
    dark, light, stands = dark.clamp(top, bottom), picture.mean(0), inside.stands
    if not stands:
        above = dark_above_standing(light, x, y, top, bottom, seen)
        stands, dark = above is not None, dark if above is None else above
    hanging, standing = rows_beside(light, x, y, top, dark, bottom, seen) if stands else (dark, bottom)
    teeth = ((hanging - top) * seen).sum() / seen.sum().clamp_min(1e-3)
    certain = inside.exact or stands
    return LentMouth(
        picture=picture,
        half_width=HALF_WIDTH,
        top=top,
        bottom=bottom,
        hanging=hanging,
        standing=standing,
        columns=seen,
        stands=stands,
        jaw=undo_rigid(known.landmarks, facing, unit, offset)[list(CHIN), 1].mean(),
        upper=torch.ones_like(teeth) if certain else smoothstep((teeth - SHORT[0]) / (SHORT[1] - SHORT[0])),
    )


def lent_interior(lent: LentMouth, rest: Tensor, moved: Tensor, size: int, basis_mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a lent mouth shows, (F, 3, size, size), and how far it is known, (F, 1, size, size) in 0..1.

    Valid only around the lips. rest, moved: landmarks of the portrait (478, 3) and of frames (F, 478, 3), in pixels.
    """
    face, lips, _, _ = row_of_teeth(basis_mean, rest)
    shown, known = (moved.new_zeros(len(moved), channels, size, size) for channels in (3, 1))
    lip_points = moved[:, LIPS_INNER, :2].flatten(0, 1)
    low, high = (t.clamp(0, size).long().tolist() for t in (lip_points.amin(0) - MARGIN, lip_points.amax(0) + MARGIN))
    if low[0] >= high[0] or low[1] >= high[1]:
        return shown, known
    facing, unit, offset = rigid_fit(face.expand(len(moved), -1, -1), moved)
    rows, columns = (torch.arange(2 * low[k], 2 * high[k], device=moved.device) / 2 + 0.25 for k in (1, 0))
    x, y = on_row(rows, columns, facing, unit, offset, lips)  # (F, rows, columns)
    top, bottom, hanging, standing, seen = (
        lent.across(x, line) for line in (lent.top, lent.bottom, lent.hanging, lent.standing, lent.columns)
    )
    lower_lip = points_on_row(moved[:, LIPS_INNER_LOWER, :2], facing, unit, offset, lips)
    if lent.stands:
        chin = undo_rigid(moved, facing, unit, offset)[:, CHIN, 1].mean(1)
        fall = _jaw_fall(lent, chin, lower_lip[:, MIDDLE, 1].mean(1))[:, None, None]
    else:  # what is seen below the teeth reaches to the lower lip
        fall = height_over(lower_lip, x.flatten(1)).view_as(x) - bottom
    stands_at = standing + fall
    dark = hanging + (y - hanging) * (standing - hanging) / (stands_at - hanging).clamp_min(1e-4)
    source = torch.where(y < hanging, y, torch.where(y < stands_at, dark, y - fall))
    beyond = torch.maximum((top - source) / GOES_ON, (source - bottom) / BELOW_LIP)
    source = torch.minimum(torch.maximum(source, top), bottom)
    grid = torch.stack((x / lent.half_width, (source + ABOVE) / (ABOVE + BELOW) * 2 - 1), -1)
    picture = grid_sample(lent.picture.expand(len(x), -1, -1, -1), grid, "bilinear", "border", align_corners=False)
    stretch = (stands_at - hanging) / (standing - hanging + LEAST)
    drawn_out = smoothstep((stretch - STRETCH[0]) / (STRETCH[1] - STRETCH[0]))
    between = smoothstep(torch.minimum(y - hanging, stands_at - y) / SOFT)
    alpha = (seen * (1 - drawn_out * between) * (1 - smoothstep(beyond)))[:, None]
    box = (..., slice(low[1], high[1]), slice(low[0], high[0]))
    shown[box], known[box] = halved(picture), halved(alpha)
    return shown, known


def _jaw_fall(lent: LentMouth, chin: Tensor, lower_lip: Tensor) -> Tensor:
    """Return how far down what stands is, (F,) in eye distances, relative to the other picture.

    It goes with the chin, but does not sink far behind the lower lip, nor stand out of it further than in the other
    picture, or than painted teeth do: landmarks of a chin may stand still while a jaw opens. chin, lower_lip: (F,)
    their heights.
    """
    middle = len(lent.bottom) // 2
    lip = lower_lip - lent.bottom[middle]
    stood_out = ((lent.bottom - lent.standing) * lent.columns).sum() / lent.columns.sum().clamp_min(1e-3)
    covered = lower_lip - stood_out.clamp_min(LOWER_SEEN) - lent.standing[middle]
    return torch.maximum(torch.minimum(TEETH_BY_CHIN * (chin - lent.jaw), lip + SINKS), covered)
