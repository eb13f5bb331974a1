"""Turning the whole head of a portrait: hair, ears and neck move with the face, as one body in depth.

A photograph has no depth, so the head is given one: half an ellipsoid around the face oval, corrected inside the face
by the depth of the landmarks. Its surface is rotated about the neck and projected, and the resulting field fades out
into the shoulders and into the background around the head. The field is smooth
everywhere, so hair bends smoothly; the expression moves in the portrait's own pose and is composed with it afterwards.
What comes in from outside of the picture is continued there (``beyond_border``).
"""

import logging
import zlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face import topology as mesh
from ..face.align import from_crop, grid_to_crop, scale_of
from ..face.matte import person_matte
from ..face.rigid import rigid_fit
from ..models.face_basis import FaceBasis
from ..motion.geometry import CAMERA, NECK, rotation_angles, rotation_matrix
from ..smooth import smoothstep
from ..types import Crop, Identity
from .borders import Ellipse, cutting_borders, held_back

CELLS = 64  # of the field, along the longer side of the head's box
HEAD = 1.35  # half axes of the head's ellipse, relative to those of the face oval
RAISED = 0.12  # centre of the ellipse above that of the oval, in half heights of the oval
AROUND = 1.2  # radius of the ellipse at which the motion begins to fade
BESIDE, OVER, UNDER = 2.0, 2.1, 1.7  # half axes of the ellipse, beside, above and below it, at which it has faded
CORNERS = 4  # exponent of the rounded rectangle with these half axes: hair hangs down in its lower corners
SHOULDERS = 1.15  # heights of the oval below the chin at which the motion has faded
NECK_WIDTH = 0.6  # half widths of the oval from the middle up to which the neck reaches
HIGHER = 0.3  # of these heights, by which the motion fades higher beside the neck
DEPTH = 1.1  # eye distances from the plane of the ears to the middle of the ellipsoid
SOFT = 0.15  # softness of the ellipsoid's border
FINE = 0.16  # eye distances over which the depth of landmarks is averaged
LIMITS = (20.0, 28.0, 45.0)  # degrees of pitch, yaw and roll at which a photograph can still be shown
FARTHEST = 0.6  # eye distances that a part of the head moves, at most
COARSE_ROUNDS, FINE_ROUNDS = 6, 2  # of the fixed-point iteration that inverts the motion


PROFILE = (20.0, 35.0)  # degrees of a portrait's own yaw over which the motion is lowered
CUT = (0.12, 0.35)  # share of the head that the border of the picture cuts off, likewise
LOWEST = 0.4  # factor to which either lowers the motion

logger = logging.getLogger(__name__)

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the picture


class Head:
    """The head of a portrait as a surface in depth; what does not depend on the pose is computed once.

    All positions are in crop pixels, on a grid of cells over ``box``, the part of the picture that can move. farthest:
    how many pixels of the picture it can move, at most.
    """

    def __init__(self, identity: Identity, basis: FaceBasis) -> None:
        landmarks = identity.landmarks.float()
        crop = identity.crop
        self._photograph, self._in_picture = identity.portrait, from_crop(landmarks, crop)
        self._others = None if identity.others is None else from_crop(identity.others.float(), crop)
        facing, size, offset = rigid_fit(basis.mean.to(landmarks), landmarks)
        self._facing, self._eye, self._middle = facing, size, offset
        self.box = head_box(landmarks, crop)
        self.amplitude = amplitude_of(landmarks, crop, facing)
        self.farthest = FARTHEST * float(size) / scale_of(crop)
        rows, columns = _cells(self.box)
        self.at = grid_to_crop(columns, rows, crop).to(landmarks)  # (h, w, 2)
        self.depth = depth_of(landmarks, self.at, float(size))  # (h, w)
        self.share = _share(landmarks, self.at)  # (h, w)
        self._fields = torch.stack((self.share, self.depth))
        # The cells are a regular grid of the picture, and the crop is a similarity of it.
        first = self.at[0, 0]
        along = torch.stack((self.at[0, -1] - first, self.at[-1, 0] - first), 1)
        self._to_grid = 2 * along / along.square().sum(0)
        self._grid_offset = -1 - first @ self._to_grid
        self._pivot = offset + size * (facing @ landmarks.new_tensor(NECK))
        ellipse = ellipse_of(landmarks)
        around = Ellipse(ellipse.centre, AROUND * ellipse.axes)
        self._borders = [
            (_surface(border.at, depth_of(landmarks, border.at[None], float(size))[0]), border)
            for border in cutting_borders(landmarks, crop, around, float(size))
        ]

    def matte(self, box: Box, on_step: Callable[[], None] = lambda: None) -> Tensor:
        """Return how much of each pixel of a box of the picture the person covers: (1, h, w) in 0..1."""
        return person_matte(self._photograph, self._in_picture, box, on_step, self._others)

    def moves(self) -> Tensor:
        """Return how far each pixel of ``box`` moves with the head: (1, h, w) in 0..1."""
        x0, y0, x1, y1 = self.box
        return F.interpolate(self.share[None, None], (y1 - y0, x1 - x0), mode="bilinear", align_corners=True)[0]

    def fingerprint(self, portrait: Tensor) -> tuple[object, ...] | None:
        """Return what tells in a few ms whether mattes and moves of another head are the same; None where nothing does.

        portrait: what is drawn on. It can be told apart if it is the photograph itself, on the CPU.
        """
        if portrait is not self._photograph or portrait.device.type != "cpu":
            return None
        parts = (values.detach().contiguous().view(torch.uint8).numpy() for values in (portrait, self.share))
        sums = (zlib.crc32(part.data) for part in parts)
        people = self._in_picture if self._others is None else torch.cat((self._in_picture[None], self._others))
        return self.box, self.farthest, *people.flatten().tolist(), *sums

    def offsets(self, pose: Tensor) -> Tensor:
        """Return the backward flow (F, 2, h, w) in crop pixels: the target position p shows the portrait at p + offset.

        pose: (F, 6), rotation and translation of a ``MotionTrack``; ``amplitude``, ``within_limits`` and ``held_back``
        apply.
        """
        pose = self.amplitude * pose
        pose = torch.cat((within_limits(pose[:, :3], self._facing), pose[:, 3:]), 1)
        motion = held_back(self._motion(pose), self._borders)
        # The iteration that inverts the motion begins on every other cell, where it costs a quarter.
        coarse = self.at[::2, ::2]
        found = self._inverted(coarse, torch.zeros_like(coarse).expand(len(pose), -1, -1, -1), motion, COARSE_ROUNDS)
        size = tuple(2 * n - 1 for n in coarse.shape[:2])
        between = F.interpolate(found.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
        beyond = [n - m for n, m in zip(self.at.shape[:2], size, strict=True)]
        guess = F.pad(between, (0, beyond[1], 0, beyond[0]), mode="replicate").permute(0, 2, 3, 1)
        return self._inverted(self.at, guess, motion, FINE_ROUNDS).permute(0, 3, 1, 2)

    def _motion(self, pose: Tensor) -> Tensor:
        """Return the matrices (F, 4, 2) that map (x, y, depth, 1) of the surface to how far it moves."""
        turn = self._facing @ rotation_matrix(pose[:, :3]) @ self._facing.T  # (F, 3, 3), in the axes of the crop
        nearness = (CAMERA / (CAMERA + pose[:, 5]))[:, None]
        onto = turn[:, :2]  # (F, 2, 3)
        centre = nearness * (self._pivot[:2] - self._middle[:2] - onto @ self._pivot) + self._middle[:2]
        linear = nearness[..., None] * onto - torch.eye(2, 3).to(onto)
        return torch.cat((linear, (centre + self._eye * pose[:, 3:5])[..., None]), 2).transpose(1, 2)

    def _inverted(self, at: Tensor, offsets: Tensor, motion: Tensor, rounds: int) -> Tensor:
        """Return the offsets (F, h, w, 2) from positions (h, w, 2) to what is shown there, better by some rounds."""
        for _ in range(rounds):
            shown = at + offsets
            share, depth = self.sampled(self._fields.expand(len(shown), -1, -1, -1), shown).unbind(-1)
            moved = (_surface(shown, depth).flatten(1, 2) @ motion).view_as(shown)
            offsets = -share[..., None] * moved
        return offsets

    def sampled(self, fields: Tensor, at: Tensor) -> Tensor:
        """Sample fields (F, C, n, m) over the cells at positions (F, ..., 2), in crop pixels: (F, ..., C)."""
        grid = torch.addmm(self._grid_offset, at.reshape(-1, 2), self._to_grid).view(len(at), -1, 1, 2)
        found = F.grid_sample(fields, grid, padding_mode="border", align_corners=True)
        return found[..., 0].transpose(1, 2).reshape(*at.shape[:-1], -1)


def amplitude_of(landmarks: Tensor, crop: Crop, facing: Tensor) -> float:
    """Return how far a portrait can bear to be turned, as a factor between ``LOWEST`` and 1; logs why it is below 1.

    It falls with the yaw of the portrait itself, over ``PROFILE`` degrees, because a profile has no other side to show,
    and with the share of the head's ellipse that the border of the picture cuts off, over ``CUT``, because what comes
    in there is only a mirror image. facing: (3, 3), the portrait's own pose.
    """
    yaw = float(rotation_angles(facing)[1].abs().rad2deg())
    centre, axes = ellipse_of(landmarks)
    along = torch.linspace(-1, 1, 33).to(landmarks)
    grid = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1)
    inside = grid[grid.square().sum(-1) <= 1]
    pixels = from_crop((centre + axes * inside).double(), crop)
    height, width = crop.image_size
    seen = (pixels >= 0).all(-1) & (pixels[:, 0] <= width) & (pixels[:, 1] <= height)
    cut = 1 - float(seen.double().mean())
    factor = 1.0
    for value, (begin, end), reason in (
        (yaw, PROFILE, "the portrait is seen from the side"),
        (cut, CUT, "the border of the portrait cuts the head"),
    ):
        lowered = 1 - (1 - LOWEST) * min(max((value - begin) / (end - begin), 0.0), 1.0)
        if lowered < 1:
            logger.warning(
                "The head turns only %.0f %% as far as the motion says, because %s: a frontal portrait with room "
                "around the head can move freely.",
                100 * lowered,
                reason,
            )
        factor = min(factor, lowered)
    return factor


def within_limits(rotation: Tensor, facing: Tensor) -> Tensor:
    """Limit rotations (F, 3) in radians so that the head is seen from no further aside than ``LIMITS``.

    A photograph shows only one side of a head. facing: (3, 3), the portrait's own pose; a portrait beyond the limits
    turns back, but no further away.
    """
    own = rotation_angles(facing)
    limits = torch.tensor(LIMITS).deg2rad().to(rotation)
    low, high = torch.minimum(-limits, own), torch.maximum(limits, own)
    return torch.minimum(torch.maximum(own + rotation, low), high) - own


def depth_of(landmarks: Tensor, at: Tensor, eye: float) -> Tensor:
    """Return the depth (h, w) of the head's surface at positions (h, w, 2), in crop pixels, smaller is nearer.

    The ellipsoid has the mean depth of the oval at the oval. Inside the face it is corrected by what
    the landmarks differ from it, averaged over ``FINE`` and fading out towards the oval.
    """
    centre, axes = ellipse_of(landmarks)
    rim = landmarks[list(mesh.FACE_OVAL), 2].mean()
    at_rim = (1 - 1 / HEAD**2) ** 0.5  # height of the ellipsoid over the oval

    def ellipsoid(points: Tensor) -> Tensor:
        inside = 1 - ((points - centre) / axes).square().sum(-1)
        # A soft maximum with 0: the surface meets the plane behind it without a kink.
        height = (0.5 * (inside + (inside.square() + SOFT**2).sqrt())).sqrt()
        return rim + DEPTH * eye * (at_rim - height)

    inner = landmarks[: mesh.IRIS_RIGHT[0]]
    oval = landmarks[list(mesh.FACE_OVAL), :2]
    away = torch.cdist(inner[:, :2], oval).amin(1)
    counts = smoothstep(away / (0.3 * eye))  # landmarks near the oval say little
    difference = (inner[:, 2] - ellipsoid(inner[:, :2])) * counts
    places, seen = ((points - centre) / (FINE * eye) for points in (at.flatten(0, 1), inner[:, :2]))
    # Halves of squared distances by one matrix product; what is below normal numbers would be slow.
    halves = 0.5 * (places.square().sum(1)[:, None] + seen.square().sum(1))
    weights = torch.addmm(halves, places, seen.T, beta=-1).clamp_(-60, 0).exp_()
    correction, total = (weights @ torch.stack((difference, torch.ones_like(difference)), 1)).unbind(1)
    correction = correction / (total + 0.5)
    return ellipsoid(at) + correction.view(at.shape[:2])


def _surface(at: Tensor, depth: Tensor) -> Tensor:
    """Return (x, y, depth, 1) at positions (..., 2) with depths (...): (..., 4)."""
    return torch.cat((at, depth[..., None], torch.ones_like(depth)[..., None]), -1)


def ellipse_of(landmarks: Tensor) -> Ellipse:
    """Return the head's ellipse."""
    oval = landmarks[list(mesh.FACE_OVAL), :2]
    low, high = oval.amin(0), oval.amax(0)
    half = (high - low) / 2
    return Ellipse((low + high) / 2 - half * half.new_tensor((0.0, RAISED)), HEAD * half)


def _share(landmarks: Tensor, at: Tensor) -> Tensor:
    """Return how far each cell moves with the head, (h, w) in 0..1."""
    centre, axes = ellipse_of(landmarks)
    oval = landmarks[list(mesh.FACE_OVAL), :2]
    top, chin = oval[:, 1].amin(), oval[:, 1].amax()
    way = (at - centre) / axes
    radius = way.norm(dim=-1)
    ends = torch.where(way[..., 1:] < 0, way.new_tensor((BESIDE, OVER)), way.new_tensor((BESIDE, UNDER)))
    away = radius / (way / ends).norm(CORNERS, dim=-1).clamp_min(1e-6)  # in this direction
    around = 1 - smoothstep((radius - AROUND) / (away - AROUND).clamp_min(1e-6))
    aside = smoothstep(
        (at[..., 0] - centre[0]).abs() / axes[0] * HEAD - NECK_WIDTH
    )  # shoulders are higher than the chest
    above = 1 - smoothstep((at[..., 1] - chin) / (SHOULDERS * (chin - top)) + 0.1 + HIGHER * aside)
    return around * above


def head_box(landmarks: Tensor, crop: Crop) -> Box:
    """Return the pixels of the picture that can move with the head."""
    centre, axes = ellipse_of(landmarks)
    low, high = centre - axes * axes.new_tensor((BESIDE, OVER)), centre + axes * axes.new_tensor((BESIDE, UNDER))
    corners = torch.stack((low, torch.stack((high[0], low[1])), torch.stack((low[0], high[1])), high))
    pixels = from_crop(corners.double(), crop)
    height, width = crop.image_size
    (x0, y0), (x1, y1) = pixels.amin(0).floor().long().tolist(), pixels.amax(0).ceil().long().tolist()
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def joined(first: Box, second: Box) -> Box:
    """Return the smallest box that contains both."""
    return (*map(min, first[:2], second[:2]), *map(max, first[2:], second[2:]))  # type: ignore[return-value]  # four


def _cells(box: Box) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of the cells, in picture pixels, the first and last at the edges of the box."""
    x0, y0, x1, y1 = box
    scale = (CELLS - 1) / max(x1 - x0, y1 - y0)
    rows, columns = (max(round(n * scale), 1) + 1 for n in (y1 - y0, x1 - x0))
    return torch.linspace(y0, y1, rows, dtype=torch.float64), torch.linspace(x0, x1, columns, dtype=torch.float64)
