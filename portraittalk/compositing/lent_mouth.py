"""The inside of a mouth as another picture shows it, and how it looks between moving lips.

It is taken once from the picture, straightened to the row of teeth, so that the head may be turned there. In a frame, as
in anatomy, what hangs stays with the skull and what stands goes with the jaw; the dark between them grows or shrinks, and
the lips slide over both. Only what lies inside of that picture's lips is lent: where the frame shows more above or below,
teeth go on, and beyond the corners a painted mouth does.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool1d

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_INNER_LOWER, LIPS_INNER_UPPER
from ..motion.geometry import CENTRAL_LIPS, lip_aperture
from ..smooth import smoothstep
from ..types import Movable, View
from .draw import blurred
from .openings import height_over
from .teeth import BEHIND_LIPS, CHIN, CLOSED, MARGIN, TEETH_BY_CHIN, on_row, row_depth

WIDTH, ABOVE, BELOW = 0.44, 0.2, 0.5  # eye distances beside, above and below the middle of the lips that are kept
DETAIL = 200  # pixels per eye distance
INSET = 0.012  # eye distances inside of the other picture's lips from which it is lent
BESIDE = (0.02, 0.05)  # height of its opening, in eye distances, from which a column is lent, and fully so
CORNERS = 0.03  # eye distances over which what is lent fades out beside
DARK = 0.5  # brightness between the dark and the teeth beside it at which these end
STRETCH = (1.3, 2.0)  # of what is seen below teeth, from which a painted mouth is shown instead, and fully so
THINNEST = 0.01  # eye distances
REACH_ABOVE, REACH_BELOW = 0.02, 0.06  # eye distances over which teeth go on beyond the other picture's lips

SOFT = 0.006  # eye distances over which the upper row ends over the lower one
ROWS, FRONT = 20, 0.12  # rows of a mouth that are compared, and eye distances from the middle up to which they are
LOWEST = 0.04  # eye distances below the line at which lips meet at which the middle of the upper teeth does not lie
FAINT = 0.8  # brightness of the dark above teeth that stand, relative to theirs
ROUNDS, PRECISE, RIDGE = 8, 0.004, 1e-4  # of the fit of an arc to teeth
SHORT = (0.04, 0.07)  # height of teeth whose end is not seen up to which painted ones go on below them, and from which not


@dataclass(frozen=True)
class LentMouth(Movable):
    """The inside of a mouth on the row of teeth, in eye distances right of and below the middle of the portrait's lips.

    picture: (3, h, w), ``DETAIL`` pixels per eye distance. top, bottom, hanging, standing: (w,) where the opening
    begins and ends in each column, where what hangs ends, and where what stands begins. columns: (w,) in 0..1, how far
    a column is seen. stands: whether anything stands on the lower lip. jaw: () height of the chin. upper: () in 0..1,
    how far the upper teeth are known, so that none need to be painted.
    """

    picture: Tensor
    top: Tensor
    bottom: Tensor
    hanging: Tensor
    standing: Tensor
    columns: Tensor
    stands: bool
    jaw: Tensor
    upper: Tensor

    def at(self, x: Tensor, values: Tensor) -> Tensor:
        """Return values (w,) of the columns at x, in eye distances."""
        last = len(values) - 1
        place = ((x / WIDTH + 1) / 2 * len(values) - 0.5).clamp(0, last)
        left = place.floor().clamp_max(last - 1)
        return values[left.long()].lerp(values[left.long() + 1], place - left)


def lips_and_face(basis_mean: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Return the portrait's frontal face (478, 3) in eye distances, and the point on the row of teeth behind the line at
    which its lips would meet.

    basis_mean: (478, 3), the average face. rest: (478, 3) landmarks of the portrait.
    """
    face = undo_rigid(rest, *rigid_fit(basis_mean, rest))
    middle = face[[point for pair in CENTRAL_LIPS for point in pair]].mean(0)
    middle = middle + face.new_tensor((0, 0, BEHIND_LIPS))
    middle[1] -= (lip_aperture(rest) - CLOSED).clamp_min(0) / 2
    return face, middle


def lent_mouth(known: View, rest: Tensor, basis_mean: Tensor, blur: float = 0.0) -> LentMouth:
    """Return the inside of the mouth of ``known``, whose ``inside`` is known, for the portrait with landmarks ``rest``.

    blur: standard deviation in pixels of ``known`` by which it is made softer.
    """
    inside = known.inside
    assert inside is not None
    face, lips = lips_and_face(basis_mean, rest)
    facing, unit, offset = rigid_fit(face, known.landmarks)
    x, y = _grid(lips.device)
    on_teeth = torch.stack(torch.broadcast_tensors(x, y[:, None], row_depth(x)), -1) + lips  # (h, w, 3)
    at = (unit * on_teeth @ facing.mT + offset)[..., :2]
    source = blurred(known.picture[None], blur) if blur > 0 else known.picture[None]
    size = known.picture.shape[-1]
    picture = grid_sample(source, at[None] * (2 / size) - 1, "bicubic", "border", align_corners=False)[0].clamp(0, 1)

    def line(points: Tensor) -> Tensor:
        placed = _placed(points[None], facing[None], unit[None], offset[None], lips)
        return height_over(placed, x[None])[0]

    upper, lower = (known.landmarks[list(edge), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, bottom = line(upper), line(lower)
    ends = line(upper + (lower - upper) * inside.ends[:, None])
    # Corners are left out, because the mouth is closed there.
    height = (bottom - top).clamp_min(0)
    seen = smoothstep((height - BESIDE[0]) / (BESIDE[1] - BESIDE[0]))
    seen = -max_pool1d(-seen[None], 2 * round(CORNERS * DETAIL / 2) + 1, 1, round(CORNERS * DETAIL / 2))[0]
    inset = torch.minimum(height / 4, height.new_tensor(INSET))
    top, bottom = top + inset, torch.maximum(bottom - inset, top + inset)
    ends = ends.clamp(top, bottom)
    stands, hanging, standing = inside.stands, ends, bottom
    if not stands:
        below = _dark_above_lower_teeth(picture, y, top, bottom, seen)
        if below is not None:
            stands, ends = True, below
    if stands:
        both = _dark_between(picture, y, top, ends, bottom)
        hanging, standing = (_curve(x, edge, seen).clamp(top, bottom) for edge in both)
        standing = torch.maximum(standing, hanging)
    short = smoothstep(((hanging - top).median() - SHORT[0]) / (SHORT[1] - SHORT[0]))
    jaw = undo_rigid(known.landmarks, facing, unit, offset)[list(CHIN), 1].mean()
    return LentMouth(
        picture,
        top,
        bottom,
        hanging,
        standing,
        seen,
        stands,
        jaw,
        torch.ones_like(short) if inside.exact or stands else short,
    )


def lent_interior(
    lent: LentMouth, rest: Tensor, moved: Tensor, size: int, basis_mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what a lent mouth shows in frames, (F, 3, size, size), and how far it is known, (F, 1, size, size) in 0..1.

    Valid only around the lips. rest, moved: landmarks of the portrait (478, 3) and of frames (F, 478, 3), in pixels.
    """
    face, lips = lips_and_face(basis_mean, rest)
    shown, known = (moved.new_zeros(len(moved), channels, size, size) for channels in (3, 1))
    lip_points = moved[:, LIPS_INNER, :2].flatten(0, 1)
    low, high = (t.clamp(0, size).long().tolist() for t in (lip_points.amin(0) - MARGIN, lip_points.amax(0) + MARGIN))
    if low[0] >= high[0] or low[1] >= high[1]:
        return shown, known
    facing, unit, offset = rigid_fit(face.expand(len(moved), -1, -1), moved)
    rows, columns = (torch.arange(2 * low[k], 2 * high[k], device=moved.device) / 2 + 0.25 for k in (1, 0))
    x, y = on_row(rows, columns, facing, unit, offset, lips)  # (F, rows, columns)
    frontal = undo_rigid(moved, facing, unit, offset)
    fall = TEETH_BY_CHIN * (frontal[:, CHIN, 1].mean(1) - lent.jaw)[:, None, None]
    top, bottom, hanging, standing = (
        lent.at(x, line) for line in (lent.top, lent.bottom, lent.hanging, lent.standing)
    )
    if lent.stands:
        stretch = torch.ones_like(fall)
    else:
        lower = moved[:, LIPS_INNER_LOWER, :2]
        lip = height_over(_placed(lower, facing, unit, offset, lips), x.flatten(1)).view_as(x)
        fall = lip - bottom
        stretch = (lip - hanging) / (bottom - hanging).clamp_min(THINNEST)
    stands_at = standing + fall
    between = (standing - hanging) / (stands_at - hanging).clamp_min(1e-4)
    dark = hanging + (y - hanging) * between
    source = torch.where(y < hanging, y, torch.where(y < stands_at, dark, y - fall))
    beyond = torch.maximum((top - source) / REACH_ABOVE, (source - bottom) / REACH_BELOW)
    source = torch.minimum(torch.maximum(source, top), bottom)
    grid = torch.stack((x / WIDTH, (source + ABOVE) / (ABOVE + BELOW) * 2 - 1), -1)
    picture = grid_sample(lent.picture.expand(len(x), -1, -1, -1), grid, "bilinear", "border", align_corners=False)
    unknown = smoothstep((stretch - STRETCH[0]) / (STRETCH[1] - STRETCH[0])) * smoothstep((y - hanging) / SOFT)
    alpha = (lent.at(x, lent.columns) * (1 - unknown) * (1 - smoothstep(beyond)))[:, None]
    box = (..., slice(low[1], high[1]), slice(low[0], high[0]))
    shown[box], known[box] = avg_pool2d(picture, 2), avg_pool2d(alpha, 2)
    return shown, known


def _grid(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the x coordinates (w,) and y coordinates (h,) of the pixels of a lent mouth, in eye distances."""
    width, height = round(2 * WIDTH * DETAIL), round((ABOVE + BELOW) * DETAIL)
    x = ((torch.arange(width, device=device) + 0.5) / width * 2 - 1) * WIDTH
    y = (torch.arange(height, device=device) + 0.5) / height * (ABOVE + BELOW) - ABOVE
    return x, y


def _placed(points: Tensor, facing: Tensor, unit: Tensor, offset: Tensor, lips: Tensor) -> Tensor:
    """Return where points (F, K, 2) in pixels lie on the row of teeth, (F, K, 2)."""
    linear = unit[:, None, None] * facing[:, :2]
    start = offset[:, :2] + linear @ lips
    inverse = torch.linalg.inv(linear[..., :2])
    towards = (inverse @ linear[..., 2:])[..., 0]
    flat = (points - start[:, None]) @ inverse.mT
    depth = torch.zeros_like(flat[..., 0])
    for _ in range(3):
        depth = row_depth(flat[..., 0] - towards[:, :1] * depth)
    return flat - towards[:, None] * depth[..., None]


def _dark_between(picture: Tensor, y: Tensor, top: Tensor, dark: Tensor, bottom: Tensor) -> tuple[Tensor, Tensor]:
    """Return where what hangs ends and where what stands begins, (w,) each, above and below the line ``dark`` (w,).

    picture: (3, h, w). y: (h,) of its rows.
    """
    light, down = picture.mean(0), y[:, None]
    pixel = 1 / DETAIL
    darkest = light.where((down - dark).abs() < 2 * pixel, torch.inf).amin(0)
    found = []
    for beyond, sign in ((top, -1), (bottom, 1)):
        side = (down >= torch.minimum(dark, beyond)) & (down <= torch.maximum(dark, beyond))
        brightest = light.where(side, 0).amax(0)
        is_dark = light < darkest + DARK * (brightest - darkest)
        away = (sign * (down - dark)).where(side & ~is_dark, torch.inf).amin(0)
        away = torch.minimum(away, (beyond - dark).abs()).clamp_min(0)
        found.append(dark + sign * away)
    return found[0], found[1]


def _dark_above_lower_teeth(
    picture: Tensor, y: Tensor, top: Tensor, bottom: Tensor, seen: Tensor
) -> Tensor | None:
    """Return the darkest line (w,) above a row of teeth that lies too low to hang; None if there is no such row.

    picture: (3, h, w). y: (h,) of its rows. top, bottom, seen: (w,) of the opening.
    """
    down = torch.linspace(0, 1, ROWS + 1, device=y.device)
    at = top + (bottom - top) * down[:, None]  # (R, w)
    rows = ((at - y[0]) * DETAIL).round().long().clamp(0, len(y) - 1)
    light = picture.mean(0).gather(0, rows)  # (R, w)
    middle = ((torch.arange(len(top), device=y.device) + 0.5) / len(top) - 0.5).abs() * 2 * WIDTH < FRONT
    weights = seen * middle
    profile, heights = ((values * weights).sum(1) / weights.sum().clamp_min(1e-3) for values in (light, at))
    brightest = int(profile.argmax())
    darkest = int(profile[: brightest + 1].argmin())
    if heights[brightest] < LOWEST or profile[darkest] > FAINT * profile[brightest]:
        return None
    return at[darkest]


def _curve(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return the parabola (w,) that fits points (w,) best in the least absolute differences, as teeth stand in an arc."""
    powers = torch.stack((torch.ones_like(x), x / WIDTH, (x / WIDTH).square()), -1)
    robust = weights
    for _ in range(ROUNDS):
        weighted = powers.mT * robust
        fitted = powers @ torch.linalg.solve(weighted @ powers + RIDGE * torch.eye(3).to(x), weighted @ y)
        robust = weights / ((y - fitted).abs() + PRECISE)
    return fitted
