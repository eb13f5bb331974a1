"""Blinks: the upper lid comes down over the eye as a sheet of skin with its lashes on the lower edge.

Stretching the photograph over a closing eye drags the lashes that stand on the lid, and the shadow under them, into
black streaks. What a lid needs is therefore taken from the portrait once, in coordinates that follow the eye's upper
edge (``lid_skin``): its skin without the lashes in front of it, how high the lash line is at each point, and the line
at which the lids meet. In a frame the edge moves down column by column. The lash line keeps its pixels and is
foreshortened to a thin line, as lashes that swing towards the camera are; the skin between it and the brow is
stretched, and given the fine structure of the skin below the eye; what lies below the edge stays as it is until it is
covered.

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
from .lid_skin import ABOVE, ABOVE_LASHES, BELOW, TALL, UNFOLDED, interpolated, measured_lid
from .openings import LEFT, RIGHT

LINE = 0.02  # height of the lash line of a closed eye
CLEAR = 0.4  # closure at which no lashes are left in front of the skin
CORNER = 0.15  # eye widths from the corners over which lashes gradually stay what they are
UNSURE = 0.1  # closure that may as well be a head that nods
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
        edge, travel, lashes, still = interpolated(self.profiles[eye], along.clamp(0, 1)).unbind(1)
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
    ends, profiles, *strips = zip(*(measured_lid(picture, points, unit, *eye) for eye in EYES), strict=True)
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
