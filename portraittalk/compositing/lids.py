"""Blinks: the upper lid comes down over the eye as a sheet of skin with its lashes on the lower edge.

Stretching the photograph over a closing eye drags the lashes that stand on the lid, and the shadow under them, into
black streaks. What a lid needs is therefore taken from the portrait once, in coordinates that follow the eye's upper
edge: its skin without the lashes in front of it, how high the lash line is at each point, and the line at which the
lids meet. In a frame the edge moves down column by column. The lash line keeps its pixels and is foreshortened to a
thin line, as lashes that swing towards the camera are; the skin between it and the brow is stretched, and given the
fine structure of the skin below the eye; what lies below the edge stays as it is until it is covered.

Heights are eye distances above the upper edge in the portrait, positions are fractions of the crop's side.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..face import topology as mesh
from ..face.align import eye_distance
from ..motion.geometry import EYE_LEFT, EYE_RIGHT, Seam, seam_followers
from ..smooth import smoothstep
from ..types import View
from .draw import blurred
from .openings import LEFT, RIGHT, Opening, height_over

BELOW, ABOVE = 0.02, 0.14  # range of heights that is taken from the portrait
COLUMNS = 48  # points along an edge at which heights are known
OVERLAP = 0.014  # by how much the closed lid covers the lower one's edge, where the white still shows
FOLDED = 0.04  # the same for an eye from the side, whose lower edge is not known well
SMOOTH = 0.11  # standard deviation in eye widths to which the closed line is smoothed
LINE = 0.02  # height of the lash line of a closed eye
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
CLEAR = 0.4  # closure at which no lashes are left in front of the skin
BEYOND = 0.3  # eye widths beyond the corners up to which the fold of the upper lid moves
TEMPLE = 0.15  # eye distances above and below an eye at which the outline of the face is looked for
RIM = 0.02  # how far the face may reach beyond the outline that is found
CORNER = 0.15  # eye widths from the corners over which lashes gradually stay what they are
BROW = 0.75  # share of the way from lid to brow that is stretched
UNSURE = 0.1  # closure that may as well be a head that nods
LUMA = (0.299, 0.587, 0.114)
EYES = ((RIGHT, mesh.BROW_RIGHT_LOWER), (LEFT, mesh.BROW_LEFT_LOWER[::-1]))
SEAMS = ((RIGHT, EYE_RIGHT), (LEFT, EYE_LEFT))

_LIDS: Any = WeakTensorKeyDictionary()  # landmarks -> picture, lids; see ``_lids_of_view``


@dataclass(frozen=True)
class Lids:
    """The upper lids of a portrait, the right eye (left in the picture) first.

    unit: () the eye distance. ends: (2, 2) x of the left and the right corner. profiles: (2, 4, COLUMNS) at each point
    along the edge: the height y of the upper edge, how far it moves until closed, the height of the lash line, and the
    height above which the skin does not move. skin: (2, 6, h, w) in 0..1: the lid as it is and without lashes; its
    columns lie between the ends, its rows between ``ABOVE`` and ``-BELOW``. texture: (2, 1, m, w), the fine structure
    of skin above the lash line, up to ``TALL``; it is added to what is stretched.
    """

    unit: Tensor
    ends: Tensor
    profiles: Tensor
    skin: Tensor
    texture: Tensor

    def close(self, pictures: Tensor, at: Tensor, closure: Tensor) -> Tensor:
        """Close the lids in pictures (F, 3, h, w) in place.

        at: (F, 2, h, w), the position in the portrait of the skin that each pixel shows, as if no lid were there.
        closure: (F, 2) in 0..1 of both eyes.
        """
        across = (at[:, :, 0, -1] - at[:, :, 0, 0]).norm(dim=1).mean() / (at.shape[-1] - 1)
        per_pixel = 1 / float(across.clamp_min(1e-6))
        for eye in range(2):
            frames = (closure[:, eye] > 0).nonzero().flatten()
            window = self._window(at[frames], eye) if len(frames) else None
            if window is not None:
                rows, columns = window
                part = at[frames, :, rows, columns]
                lid, covered = self._lid(part, eye, closure[frames, eye], per_pixel)
                pictures[frames, :, rows, columns] = pictures[frames, :, rows, columns].lerp(lid, covered)
        return pictures

    def _window(self, at: Tensor, eye: int) -> tuple[slice, slice] | None:
        """Return the rows and columns that can show the lid, or None."""
        step = 4
        x, y = at[:, :, ::step, ::step].unbind(1)
        edge, travel, _, still = self.profiles[eye]
        low, high = (edge - still * self.unit).min(), (edge + travel).max()
        pad = step * float((x[:, :, 1:] - x[:, :, :-1]).abs().mean()) if x.shape[-1] > 1 else 0.0
        left, right = self.ends[eye]
        found = ((x > left - pad) & (x < right + pad) & (y > low - pad) & (y < high + pad)).any(0)
        if not found.any():
            return None
        rows, columns = (found.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        down, across = (slice(max(step * (k[0] - 1), 0), step * (k[-1] + 2)) for k in (rows, columns))
        return down, across

    def _lid(self, at: Tensor, eye: int, closure: Tensor, per_pixel: float) -> tuple[Tensor, Tensor]:
        """Return the lid (F, 3, h, w) and the share (F, 1, h, w) in 0..1 of each pixel that it covers."""
        x, y = at.unbind(1)
        left, right = self.ends[eye]
        along = (x - left) / (right - left)
        edge, travel, lashes, still = _interpolated(self.profiles[eye], along.clamp(0, 1)).unbind(1)
        closed = closure[:, None, None]
        fallen = closed * travel / self.unit
        up = (edge - y) / self.unit + fallen  # height above the moved edge
        share = smoothstep(torch.minimum(along, 1 - along) / CORNER)  # of what happens to lashes
        line = lashes.lerp(lashes.clamp_max(LINE), closed * share)
        # Skin moves by g (1 - s / 2 - s^2 / 2) at the share s of the way up from lashes to brow: solved for s.
        room, more = still - lashes, fallen + lashes - line
        slope, over = room + 1.5 * more, (up - line).clamp_min(0)
        way = 2 * over / (slope + (slope.square() - 2 * more * over).clamp_min(0).sqrt())
        height = torch.where(up < line, up * lashes / line, lashes + way * room)
        height = torch.where(up > still + fallen, up - fallen, height)
        rows = 1 - 2 * (height + BELOW) / (ABOVE + BELOW)
        grid = torch.stack((2 * along - 1, rows), -1)
        skin = self.skin[eye].expand(len(at), -1, -1, -1)
        whole, clean = F.grid_sample(skin, grid, padding_mode="border", align_corners=False).chunk(2, 1)
        bare = share * smoothstep(closed / CLEAR)
        lid = whole.lerp(clean, bare[:, None])
        # Stretched skin has lost its fine structure; it is laid over it as it is.
        grid = torch.stack((2 * along - 1, 1 - 2 * (up - line) / TALL), -1)
        texture = self.texture[eye].expand(len(at), -1, -1, -1)
        fine = F.grid_sample(texture, grid, padding_mode="border", align_corners=False)
        lost = bare * smoothstep((up - line) / ABOVE_LASHES) * smoothstep((1 - way) / (1 - UNFOLDED))
        lid = (lid + fine * lost[:, None]).clamp(0, 1)
        inside = ((along > 0) & (along < 1) & (up < still + fallen)).to(at)
        covered = inside * (up * self.unit * per_pixel + 0.5).clamp(0, 1)
        return lid, covered[:, None]


def lids_of(picture: Tensor, landmarks: Tensor) -> Lids:
    """Return the lids of an aligned crop (3, S, S) of any resolution. landmarks: (478, 3) in its pixels."""
    size = picture.shape[-1]
    unit = eye_distance(landmarks) / size
    points = landmarks[:, :2] / size
    ends, profiles, *strips = zip(*(_measured(picture, points, unit, *eye) for eye in EYES), strict=True)
    columns = max(part.shape[-1] for part in strips[0])
    skin, texture = (
        torch.cat([F.interpolate(part[None], (part.shape[-2], columns), mode="bilinear") for part in parts])
        for parts in strips
    )
    return Lids(unit, torch.stack(ends), torch.stack(profiles), skin, texture)


def close_lids(pictures: Tensor, flow: Tensor, portrait: View, closure: Tensor) -> Tensor:
    """Close the lids in place in crops (F, 3, S, S) of the warped portrait.

    flow: (F, 8, g, g), by which it was warped. closure: (F, 2) in 0..1 of both eyes.
    """
    frames = closure.any(1)
    if frames.any():
        size = pictures.shape[-1]
        centres = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) / size
        offsets = F.interpolate(flow[frames, :2], (size, size), mode="bilinear", align_corners=False)
        at = torch.stack(torch.meshgrid(centres, centres, indexing="xy")) + offsets
        pictures[frames] = _lids_of_view(portrait).close(pictures[frames], at, closure[frames])
    return pictures


def _lids_of_view(portrait: View) -> Lids:
    """Return the lids of a portrait, which are worked out once for as long as its landmarks exist."""
    picture, lids = _LIDS.get(portrait.landmarks, (None, None))
    if picture is None or picture.data_ptr() != portrait.picture.data_ptr():
        lids = lids_of(portrait.picture, portrait.landmarks)
        _LIDS[portrait.landmarks] = portrait.picture, lids  # holding the picture keeps its address its own
    return lids


def opened_eyes(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return landmarks (F, 478, 3) with the eyes open as in the portrait, and how far they were closed: (F, 2).

    start: (478, 3) landmarks of the portrait; end: (F, 478, 3). The right eye comes first. Eyes that are open further
    than the portrait's are left alone.
    """
    frontal = start - start.mean(0)
    frontal = frontal / eye_distance(start)
    opened, closures = end.clone(), []
    for opening, seam in SEAMS:
        corners = [opening.upper[0], opening.upper[-1]]
        before, after = (torch.view_as_complex(_across(points, corners)) for points in (start[None], end))
        turn = (after / before)[:, None]  # (F, 1)
        was, now = (torch.view_as_complex(_between(points, seam)) for points in (start[None], end))
        wanted = turn * was  # (F, K)
        share = (now * wanted.conj()).real[:, seam.middle].sum(1) / wanted[:, seam.middle].abs().square().sum(1)
        closed = ((1 - share - UNSURE) / (1 - UNSURE)).clamp(0, 1)
        change = torch.view_as_real(closed[:, None] * wanted)  # (F, K, 2)
        moves = torch.cat((-seam.share * change, (1 - seam.share) * change), 1)
        opened[..., :2] += torch.einsum("pk,fkd->fpd", seam_followers(frontal, seam), moves)
        closures.append(closed)
    return opened, torch.stack(closures, 1)


def _across(points: Tensor, corners: list[int]) -> Tensor:
    return (points[:, corners[1], :2] - points[:, corners[0], :2]).contiguous()


def _between(points: Tensor, seam: Seam) -> Tensor:
    return (points[:, seam.lower, :2] - points[:, seam.upper, :2]).contiguous()


def _measured(
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
    lines = _interpolated(torch.stack((lashes, still, shadowed)), at[None, None])[0, :, 0]
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
    travel = 1.1 * _smoothed((lower - upper).clamp_min(0), SMOOTH)
    travel = travel + (FOLDED if folded else OVERLAP) * unit * travel / travel.amax().clamp_min(1e-4)
    return ends, upper, lower, travel, brows


def _on_face(points: Tensor, unit: Tensor, ends: Tensor, upper: Tensor, columns: int) -> slice:
    """Return which columns of a lid lie on the face: from the side, it ends just beyond the far eye."""
    oval = points[list(mesh.FACE_OVAL)]
    near = (oval[:, 1] - upper[[0, -1]].mean()).abs() < TEMPLE * unit
    sides = torch.stack((oval[:, 0].where(near, torch.inf).min(), oval[:, 0].where(near, -torch.inf).max()))
    sides = sides + RIM * unit * sides.new_tensor((-1.0, 1.0))
    share = ((sides - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)
    first, last = (share * columns).round().int().tolist()
    return slice(first, last) if last - first > columns // 2 else slice(0, columns)


def _outline(points: Tensor, opening: Opening) -> tuple[tuple[Tensor, Tensor], bool]:
    """Return the points (K, 2) of the upper and the lower edge of an eye from left to right, and whether it is folded.

    points: (478, 2). From the side, landmarks of the far corner lie behind those of the lids, and the edges run back
    and forth: the eye is folded. They are then those of the smallest convex outline around it.
    """
    upper, lower = points[list(opening.upper)], points[list(opening.lower)]
    if all((edge.diff(dim=0)[:, 0] > 0).all() for edge in (upper, lower)):
        return (upper, lower), False
    ordered = sorted(torch.cat((upper, lower)).tolist())
    hulls = [points.new_tensor(_convex(ordered, sign)) for sign in (1, -1)]
    return (hulls[0], hulls[1]), True


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
    y = _interpolated(edge[None], along[None, None])[0, 0, 0] + down
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


def _interpolated(tables: Tensor, at: Tensor) -> Tensor:
    """Return tables (C, K) at fractions ``at`` (F, h, w) of their length, linearly interpolated: (F, C, h, w)."""
    place = at * (tables.shape[-1] - 1)
    below = place.floor().long().clamp(0, tables.shape[-1] - 2)
    left, right = tables[:, below], tables[:, below + 1]  # (C, F, h, w)
    return left.lerp(right, (place - below)).movedim(0, 1)
