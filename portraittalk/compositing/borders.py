"""Heads that the border of a picture cuts near the face: they do not move away from that border.

What lies beyond the border is a mirror image (``beyond``). A little more hair, or a rim of forehead, looks right; a
second hairline, or brows above the brows, do not. So a head that would move away from such a border is shifted back,
towards it: it turns and nods about the cut instead of about the neck.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..face import topology as mesh
from ..face.align import from_crop, to_crop
from ..types import Crop

AWAY = 0.025  # eye distances that any head may move away from a border
PLAIN = 0.2  # share of the face's height, or width, beyond its oval that is forehead, hair or ear
THROAT = 0.05  # the same below the chin, where only more of the throat comes in
MIRRORED = 0.5  # share of what lies further out that may be mirrored
CLOSE = 0.12  # eye distances up to which a warning is worth it
FREE = 0.6  # eye distances from which a border does not limit anything
POINTS = 65  # along a border
OPPOSITE = {"upper": "lower", "left": "right"}

logger = logging.getLogger(__name__)


class Ellipse(NamedTuple):
    """An ellipse with axes along those of the crop: centre (2,) and half axes (2,)."""

    centre: Tensor
    axes: Tensor


@dataclass(frozen=True)
class Border:
    """A border of the picture that cuts a head.

    at: (P, 2) in crop pixels, points of the cut. inwards: (2,), the direction into the picture, of length 1. allowed:
    crop pixels that the head may move that way.
    """

    name: str
    at: Tensor
    inwards: Tensor
    allowed: float


def cutting_borders(landmarks: Tensor, crop: Crop, head: Ellipse, eye: float) -> list[Border]:
    """Return the borders of the picture that cut a head near its face; logs those that cut it close.

    head: around all that moves with the head as a whole. eye: the distance of the eyes, in crop pixels.
    """
    height, width = crop.image_size
    along, origin = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None], torch.zeros(2, dtype=torch.float64)
    across, down = origin.new_tensor((width, 0)), origin.new_tensor((0, height))
    oval = landmarks[list(mesh.FACE_OVAL), :2]
    inner = from_crop(oval.double().cpu(), crop)
    found = []
    for name, start, end, inwards in (
        ("upper", origin, across, down),
        ("lower", down, across + down, -down),
        ("left", origin, down, across),
        ("right", across, across + down, -across),
    ):
        normal = inwards / inwards.norm()
        at = to_crop(start.lerp(end, along), crop).to(landmarks)
        at = at[((at - head.centre) / head.axes).norm(dim=-1) < 1]
        if not len(at):
            continue
        distances = (inner - start) @ normal
        nearest, size = float(distances.amin()), float(distances.amax() - distances.amin())
        scale = eye / float((to_crop(normal, crop) - to_crop(origin, crop)).norm())  # picture pixels
        turned = (to_crop(normal, crop) - to_crop(origin, crop)).to(landmarks)
        turned = turned / turned.norm()
        plain = THROAT if turned[1] < -0.7 else PLAIN
        allowed = AWAY + MIRRORED * max(nearest - plain * size, 0.0) / scale
        if allowed < FREE:
            found.append(Border(name, at, turned, allowed * eye))
        if allowed < CLOSE:
            logger.warning(
                "The head does not move away from the %s border of the portrait, which cuts it close to the face: a "
                "portrait with room around the head can move freely.",
                name,
            )
    return found


def held_back(motion: Tensor, borders: list[tuple[Tensor, Border]]) -> Tensor:
    """Return the motion of a head (F, 4, 2), less of it and shifted so that it stays at the borders that cut it.

    motion: matrices that map (x, y, depth, 1) of the surface to how far it moves. borders: with their points on the
    surface, (P, 4).
    """
    for surface, border in borders:
        for other, opposite in borders:
            if opposite.name == OPPOSITE.get(border.name):
                # No shift helps at both.
                between = (_away(motion, surface, border) + _away(motion, other, opposite)).clamp_min(1e-6)
                motion = motion * _passed(between, border.allowed + opposite.allowed)[:, None] / between[:, None]
    shift = torch.zeros_like(motion[:, 3])
    for surface, border in borders:
        away = _away(motion, surface, border)[:, 0].clamp_min(0)
        shift = shift - (away - _passed(away, border.allowed))[:, None] * border.inwards
    return torch.cat((motion[:, :3], (motion[:, 3] + shift)[:, None]), 1)


def _away(motion: Tensor, surface: Tensor, border: Border) -> Tensor:
    """Return how far a head moves away from a border: (F, 1)."""
    return (surface @ motion @ border.inwards).amax(1, keepdim=True)


def _passed(away: Tensor, allowed: float) -> Tensor:
    """Return how much of a motion is let through: all if it is slight, and no more than allowed, without a kink."""
    return allowed * (away / allowed).tanh()
