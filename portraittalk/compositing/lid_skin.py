"""What lids need of a portrait, taken from it once: their edges, how far they fall, and their skin without lashes.

A closed lid shows skin that is folded away or in shadow while the eye is open. So lashes, creases and shadows are taken
away by morphological closings, along the edge and across it, and the fine structure that stretched skin loses is taken
from below the eye.

Heights are eye distances above the upper edge in the portrait, positions are fractions of the crop's side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face import topology as mesh
from ..smooth import smoothstep
from .draw import blurred
from .openings import Opening, height_over

BELOW, ABOVE = 0.02, 0.14  # range of heights that is taken from the portrait
COLUMNS = 48  # points along an edge at which heights are known
OVERLAP = 0.014  # by how much the closed lid covers the lower one's edge, where the white still shows
FOLDED = 0.02  # the same for an eye from the side, whose lower edge is not known well
ROUNDED = 0.25  # eye widths from the far end over which an eye from the side is taken as wide as beside it
SMOOTH = 0.11  # standard deviation in eye widths to which the closed line is smoothed
LASHES = (0.012, 0.05)  # smallest and largest height of the lash line of an open eye
SKIN = (0.06, 0.13)  # heights between which the lid's own brightness is measured
BRIGHT = 0.7  # share of the way from the lashes' brightness to the skin's at which the lash line ends
CONTRAST = 0.06  # difference of these brightnesses below which there are no lashes to be seen
STROKE = 0.08  # widest lash, or tuft of lashes, that is removed from the skin
DARKER = 0.12  # by how much a stroke is darker than the skin around it, to be removed fully
STROKES = (0.06, 0.1)  # heights between which the removal of lashes fades out
CREASE = 0.08  # widest crease, or shadow of a deep-set eye, that the closing lid unfolds
TAUT = 0.025  # standard deviation in eye distances, along the edge, over which these are smooth
SMOOTHED = 0.5  # share of the skin's own structure that the closed lid does not show, because it is stretched
ABOVE_LASHES = 0.02  # height over the lash line at which the skin is that of the unfolded lid
HIGHEST = 0.85  # share of that way up to which there are no hairs of the brow
UNFOLDED = 0.5  # share of the way from lashes to where nothing moves at which this begins to fade out
TALL = 0.3  # height over the lash line for which there is texture
BAG = (0.08, 0.2)  # eye distances below the lower edge between which skin shows its texture
FINE = 0.012  # standard deviation in eye distances of what is coarser than the texture of skin
STRONGEST = 0.06  # largest difference in brightness that is texture
BEYOND = 0.3  # eye widths beyond the corners up to which the fold of the upper lid moves
TEMPLE = 0.15  # eye distances above and below an eye at which the outline of the face is looked for
RIM = 0.02  # how far the face may reach beyond the outline that is found
BROW = 0.75  # share of the way from lid to brow that is stretched
LUMA = (0.299, 0.587, 0.114)


def measured_lid(
    picture: Tensor, points: Tensor, unit: Tensor, opening: Opening, brow: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ends (2,), profiles (4, COLUMNS), skin (6, h, w) and texture (1, m, w) of one eye."""
    eye = float(unit * picture.shape[-1])  # eye distance in pixels
    ends, upper, lower, travel, brows = _edges(points, unit, opening, brow)
    rows = max(round((ABOVE + BELOW) * eye), 8)
    columns = max(round(float((ends[1] - ends[0]) * picture.shape[-1])), 8)
    heights = ABOVE - (torch.arange(rows).to(points) + 0.5) / rows * (ABOVE + BELOW)
    strip = _straightened(picture, ends, upper, -heights[:, None] * unit, columns)
    lashes, shadowed = _lash_line(strip, heights)
    still = ((upper - brows) / unit * BROW).clamp(max=ABOVE)
    still = torch.maximum(_smoothed(still, SMOOTH), lashes + 0.03).clamp_max(ABOVE)
    bare = strip.clone()
    face = _on_face(points, unit, ends, upper, columns)
    at = (torch.arange(columns).to(points) + 0.5) / columns
    lines = interpolated(torch.stack((lashes, still, shadowed)), at[None, None])[0, :, 0]
    clean = _without_lashes(strip[..., face], heights, eye)
    bare[..., face] = _unfolded(clean, heights, lines[:, face], eye)
    texture = _texture(picture, ends, lower, unit, columns)
    return ends, torch.stack((upper, travel, lashes, still)), torch.cat((strip, bare)), texture


def _edges(
    points: Tensor, unit: Tensor, opening: Opening, brow: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the ends (2,) of a lid and, at each of its columns, the heights y of the upper and the lower edge, how far
    the upper one moves until closed, and the height y of the brow: (COLUMNS,) each."""
    outline, folded = _outline(points, opening)
    corners = outline[0][[0, -1], 0]
    reach = BEYOND * (corners[1] - corners[0]).clamp_min(1e-4)
    ends = torch.stack((corners[0] - reach, corners[1] + reach))
    x = (ends[0] + torch.linspace(0, 1, COLUMNS).to(points) * (ends[1] - ends[0]))[None]
    upper, lower, brows = (height_over(edge[None], x)[0] for edge in (*outline, points[list(brow)]))
    upper, lower = _smoothed(upper, 0.03), _smoothed(lower, 0.03)
    gap = (lower - upper).clamp_min(0)
    if folded:
        gap = _unrounded(gap, x[0], corners, folded)
    travel = 1.1 * _smoothed(gap, SMOOTH)
    travel = travel + (FOLDED if folded else OVERLAP) * unit * travel / travel.amax().clamp_min(1e-4)
    return ends, upper, lower, travel, brows


def _unrounded(gap: Tensor, x: Tensor, corners: Tensor, end: int) -> Tensor:
    """Return the gap (COLUMNS,) of a folded eye that is as wide at its far end as beside it.

    The far corner lies behind the eyeball, and where the eye is seen to end, its lids still are apart. x: (COLUMNS,).
    end: 1 or -1, the right or the left of the corners (2,).
    """
    far = (corners * end).amax() * end - end * ROUNDED * (corners[1] - corners[0])
    inner = x.clamp_max(far) if end > 0 else x.clamp_min(far)
    beside = interpolated(gap[None], ((inner - x[0]) / (x[-1] - x[0]))[None, None])[0, 0, 0]
    return beside * ((x >= corners[0]) & (x <= corners[1]))


def _on_face(points: Tensor, unit: Tensor, ends: Tensor, upper: Tensor, columns: int) -> slice:
    """Return which columns of a lid lie on the face: from the side, it ends just beyond the far eye."""
    oval = points[list(mesh.FACE_OVAL)]
    near = (oval[:, 1] - upper[[0, -1]].mean()).abs() < TEMPLE * unit
    sides = torch.stack((oval[:, 0].where(near, torch.inf).min(), oval[:, 0].where(near, -torch.inf).max()))
    sides = sides + RIM * unit * sides.new_tensor((-1.0, 1.0))
    share = ((sides - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)
    first, last = (share * columns).round().int().tolist()
    return slice(first, last) if last - first > columns // 2 else slice(0, columns)


def _outline(points: Tensor, opening: Opening) -> tuple[tuple[Tensor, Tensor], int]:
    """Return the points (K, 2) of the upper and the lower edge of an eye from left to right, and where it is folded.

    points: (478, 2). From the side, landmarks of the far corner lie behind those of the lids, and the edges run back
    and forth: the eye is folded at its right (1) or left (-1) end, others nowhere (0). The edges of a folded eye are
    those of the smallest convex outline around it.
    """
    upper, lower = points[list(opening.upper)], points[list(opening.lower)]
    if all((edge.diff(dim=0)[:, 0] > 0).all() for edge in (upper, lower)):
        return (upper, lower), 0
    x = torch.cat((upper, lower))[:, 0]
    end = 1 if x.max() - upper[-1, 0] > upper[0, 0] - x.min() else -1
    ordered = sorted(torch.cat((upper, lower)).tolist())
    hulls = [points.new_tensor(_convex(ordered, sign)) for sign in (1, -1)]
    return (hulls[0], hulls[1]), end


def _convex(points: list[list[float]], sign: int) -> list[list[float]]:
    """Return the upper (sign 1) or lower (-1) part of the convex hull of points [x, y] that are sorted by x."""
    chain: list[list[float]] = []
    for x, y in points:
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if sign * ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) > 0:
                break  # the corner sticks out of the line from the one before to this point
            chain.pop()
        chain.append([x, y])
    return chain


def _straightened(picture: Tensor, ends: Tensor, edge: Tensor, down: Tensor, columns: int) -> Tensor:
    """Return the pixels (3, rows, columns) of rows that follow an edge (COLUMNS,). down: (rows, 1) below it."""
    along = (torch.arange(columns).to(picture) + 0.5) / columns
    y = interpolated(edge[None], along[None, None])[0, 0, 0] + down
    x = (ends[0] + along * (ends[1] - ends[0])).expand_as(y)
    grid = torch.stack((x, y), -1)[None] * 2 - 1
    return F.grid_sample(picture[None], grid, "bicubic", padding_mode="border", align_corners=False)[0].clamp(0, 1)


def _lash_line(strip: Tensor, heights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the height at which the dark line of lashes above the edge ends, and whether shadow lies above it.

    strip: (3, h, w). heights: (h,) of its rows. Both are (COLUMNS,), the latter is a share in 0..1: how far no skin was
    found below the largest height of a lash line.
    """
    luma = torch.einsum("chw,c->hw", strip, strip.new_tensor(LUMA))
    luma = F.interpolate(luma[None, None], (len(heights), COLUMNS), mode="bilinear", antialias=True)[0, 0]
    is_skin = (heights > SKIN[0]) & (heights < SKIN[1])
    skin = luma[is_skin].quantile(0.6, dim=0)
    near = (heights < LASHES[1]) & (heights > -BELOW / 2)
    dark, row = luma.where(near[:, None], luma.new_tensor(2.0)).min(0)
    bright = (luma > dark + BRIGHT * (skin - dark)) & (heights[:, None] > heights[row])
    seen = skin - dark > CONTRAST
    line = heights[:, None].where(bright, torch.inf).amin(0)
    shadowed = (seen & (line > LASHES[1])).to(strip)
    line = line.where(seen, LASHES[0]).clamp(*LASHES)
    return _smoothed(line, 0.15), _smoothed(shadowed, SMOOTH).clamp(0, 1)


def _without_strokes(strip: Tensor, width: int) -> Tensor:
    """Return pixels (3, h, w) without dark strokes narrower than ``width``: a morphological closing along the rows."""
    reach = max(width // 2, 1)
    kernel = 2 * reach + 1
    padded = F.pad(strip, (reach, reach), mode="replicate")
    widened = F.max_pool1d(padded, kernel, 1)
    closed = -F.max_pool1d(-F.pad(widened, (reach, reach), mode="replicate"), kernel, 1)
    smooth = F.avg_pool1d(F.pad(closed, (reach, reach), mode="replicate"), kernel, 1)
    darker = (smooth - strip).mean(0)
    return strip.lerp(smooth, smoothstep(darker / DARKER))


def _without_lashes(strip: Tensor, heights: Tensor, eye: float) -> Tensor:
    """Return pixels (3, h, w) without the lashes that stand on the lid. heights: (h,). eye: eye distance in pixels."""
    fade = smoothstep((STROKES[1] - heights) / (STROKES[1] - STROKES[0]))[:, None]
    return strip.lerp(_without_strokes(strip, round(STROKE * eye)), fade)


def _unfolded(strip: Tensor, heights: Tensor, lines: Tensor, eye: float) -> Tensor:
    """Return the pixels (3, h, w) of a lid without its crease and shadow.

    heights: (h,) of the rows. lines: (3, w), the heights between which the skin is stretched, and the share in 0..1 of
    shadow just above the lower one. eye: eye distance in pixels.
    """
    lashes, still, shadowed = lines
    above, end = heights[:, None] - lashes, still - lashes
    other = (above < 0.5 * ABOVE_LASHES) | (above > HIGHEST * end)
    share = smoothstep(above / ABOVE_LASHES + shadowed) * smoothstep((1 - above / end) / (1 - UNFOLDED))
    return strip.lerp(_without_shadow(strip, other, eye), share)


def _texture(picture: Tensor, ends: Tensor, lower: Tensor, unit: Tensor, columns: int) -> Tensor:
    """Return the fine structure (1, m, columns) of the skin below an eye, as high as ``TALL``.

    lower: (COLUMNS,), the height y of the lower edge. The skin of the lid itself has creases, lashes and brows.
    """
    eye = float(unit * picture.shape[-1])
    rows = max(round(TALL * eye), 1)
    up = (TALL * (1 - (torch.arange(rows).to(picture) + 0.5) / rows))[:, None]
    turn = up / (BAG[1] - BAG[0]) % 2
    below = BAG[1] - (BAG[1] - BAG[0]) * torch.minimum(turn, 2 - turn)  # up, down, and up again
    skin = _straightened(picture, ends, lower, below * unit, columns)
    light = torch.einsum("chw,c->hw", skin, skin.new_tensor(LUMA))[None, None]
    return (light - blurred(light, FINE * eye, padding="replicate"))[0].clamp(-STRONGEST, STRONGEST)


def _without_shadow(strip: Tensor, other: Tensor, eye: float) -> Tensor:
    """Return pixels (3, h, w) of skin without its crease and shadow, which a morphological closing finds.

    other: (h, w), where there is no skin of the lid but lashes or brow. eye: the distance of the eyes in pixels.
    """
    smooth = _taut(strip, eye)
    reach = max(round(0.5 * CREASE * eye), 1)
    window = (2 * reach + 1, 1)
    bright = F.max_pool2d(smooth.masked_fill(other, -torch.inf), window, 1, (reach, 0))
    # Where there is no skin near, nothing is known; what is not skin does not limit the closing either.
    closed = -F.max_pool2d((-bright).masked_fill(other, -torch.inf), window, 1, (reach, 0))
    shadow = closed.where(closed.isfinite(), smooth).maximum(smooth) - smooth
    return strip.lerp(smooth, SMOOTHED) + _taut(shadow, eye)


def _taut(strip: Tensor, eye: float) -> Tensor:
    """Return pixels (3, h, w) smoothed along the edge. eye: the distance of the eyes in pixels."""
    return blurred(strip[None], TAUT * eye, axes=(-1,), padding="replicate")[0]


def _smoothed(line: Tensor, sigma: float) -> Tensor:
    """Return values (COLUMNS,) averaged by a Gaussian of ``sigma`` eye widths; the ends stay where they are."""
    at = torch.linspace(0, 1, len(line)).to(line)
    weights = torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    chord = torch.lerp(line[:1], line[-1:], at)
    odd = torch.exp(-0.5 * ((at[:, None] + at) / sigma) ** 2) + torch.exp(-0.5 * ((2 - at[:, None] - at) / sigma) ** 2)
    return chord + ((weights - odd) @ (line - chord)) / weights.sum(1).amax()


def interpolated(tables: Tensor, at: Tensor) -> Tensor:
    """Return tables (C, K) at fractions ``at`` (F, h, w) of their length, linearly interpolated: (F, C, h, w)."""
    place = at * (tables.shape[-1] - 1)
    below = place.floor().long().clamp(0, tables.shape[-1] - 2)
    left, right = tables[:, below], tables[:, below + 1]  # (C, F, h, w)
    return left.lerp(right, (place - below)).movedim(0, 1)
