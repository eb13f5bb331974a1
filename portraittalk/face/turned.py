"""Faces that look to the side: what they hide, skin that is seen from the side, and lips that run behind themselves.

Landmarkers place all points of a face, those that it hides as well. In a face that looks to the side by 30 degrees, the
far line of the jaw lies in the middle of the picture of the cheek or of the lips, and says nothing of the skin that is
seen there.
"""

from functools import lru_cache

import torch
from torch import Tensor

from ..models.face_basis import load_basis
from ..smooth import smoothstep
from . import topology as mesh
from .align import eye_distance
from .rigid import rigid_fit

ASIDE = (15.0, 24.0)  # degrees of yaw over which a face begins to look to the side
NEIGHBOURS = 9  # landmarks, with itself, whose places tell how a landmark's skin is seen
BACK = -0.5  # area, relative to the frontal one, with which skin is seen from behind for certain
FACING = (0.2, 0.7)  # width, relative to the frontal one, up to which skin keeps to the outline, and from which not
BESIDE_NOSE, BESIDE_CHIN = 0.2, 0.12  # eye distances from the middle of a face from which skin can be hidden
SPACING = 0.004  # eye distances that a point of an edge lies further out than the one before it, at least
# Rings of the lips, from the outermost to the innermost: upper and lower half, left to right.
RINGS = (
    (mesh.LIPS_OUTER_UPPER, mesh.LIPS_OUTER_LOWER),
    (mesh.LIPS_BETWEEN[:11], (76, *mesh.LIPS_BETWEEN[11:20][::-1], 306)),
    (mesh.LIPS_BETWEEN[20:31], (62, *mesh.LIPS_BETWEEN[31:][::-1], 292)),
    (mesh.LIPS_INNER_UPPER, mesh.LIPS_INNER_LOWER),
)


def looks_aside(landmarks: Tensor) -> Tensor:
    """Return how far faces look to the side, (...) in 0..1. landmarks: (..., 478, 3)."""
    facing = rigid_fit(_mean(landmarks.device).expand_as(landmarks), landmarks)[0]
    yaw = torch.atan2(facing[..., 2, 0], facing[..., 2, 2]).abs().rad2deg()  # as ``motion.geometry.rotation_angles``
    return smoothstep((yaw - ASIDE[0]) / (ASIDE[1] - ASIDE[0]))


def seen_share(landmarks: Tensor) -> Tensor:
    """Return how far each landmark of a face is seen, (478,) in 0..1; only cheeks, jaw and chin can be hidden.

    Landmarks are hidden where the face folds over in the picture: where their neighbours go round them the other way.
    landmarks: (478, 3) in pixels.
    """
    seen = torch.ones_like(landmarks[:, 0])
    aside = looks_aside(landmarks)
    if aside > 0:
        skin, shapes = _shapes(landmarks)
        seen[skin] -= aside * smoothstep(torch.linalg.det(shapes) / BACK)
    return seen


def along_outline(landmarks: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return landmarks (K,) of skin that is seen from the side, and how their motion in the picture is seen: (K, 2, 2).

    Skin near the outline of a face slides along it, which these matrices say. None for a face that does not look to the
    side. landmarks: (478, 3) in pixels.
    """
    aside = looks_aside(landmarks)
    if aside == 0:
        return None
    skin, shapes = _shapes(landmarks)
    directions, widths, _ = torch.linalg.svd(shapes)
    across = directions[:, :, 1]
    facing = smoothstep((widths[:, 1] - FACING[0]) / (FACING[1] - FACING[0]))
    held = (aside * (1 - facing))[:, None, None] * across[:, :, None] * across[:, None]
    return skin, torch.eye(2).to(held) - held


def unfolded(landmarks: Tensor) -> Tensor:
    """Return landmarks (..., 478, 3) of faces whose lips run from left to right, as the edges of an opening must.

    In a face that looks to the side, landmarks of the far end of a lip may run back behind the lip, which is not seen.
    They are moved out to where the lip is last seen, with the corner of the mouth outermost.
    """
    aside = looks_aside(landmarks)
    if not aside.any():
        return landmarks
    rings = torch.tensor(RINGS, device=landmarks.device)  # (R, 2, K)
    middle = rings.shape[-1] // 2
    own, unit = landmarks[..., rings, 0], SPACING * eye_distance(landmarks)[..., None, None, None]
    steps = unit * torch.arange(middle + 1, device=landmarks.device)
    right = (own[..., middle:] - steps).cummax(-1).values + steps
    left = -steps.flip(-1) - (-own[..., : middle + 1].flip(-1) - steps).cummax(-1).values.flip(-1)
    along = torch.cat((left[..., :-1], right), -1)  # (..., R, 2, K)
    # A corner is that of both halves, and lies outside of that of the next inner ring.
    beyond = unit[..., 0] * torch.arange(len(RINGS), device=landmarks.device)[:, None]
    last = along[..., -1].amax(-1, keepdim=True).flip(-2) - beyond
    first = -along[..., 0].amin(-1, keepdim=True).flip(-2) - beyond
    along[..., -1] = (last.cummax(-2).values + beyond).flip(-2)
    along[..., 0] = -(first.cummax(-2).values + beyond).flip(-2)
    found = landmarks.clone()
    found[..., rings, 0] = own.lerp(along, aside[..., None, None, None])
    return found


def _shapes(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Return landmarks (K,) of skin, and how the frontal face around each is seen: matrices (K, 2, 2)."""
    mean = _mean(landmarks.device)
    skin, neighbours, gradients = _around(landmarks.device)
    places = landmarks[neighbours, :2] / rigid_fit(mean, landmarks)[1]
    return skin, (gradients @ (places - places.mean(1, keepdim=True))).mT


@lru_cache(maxsize=4)
def _mean(device: torch.device) -> Tensor:
    return load_basis().mean.to(device)


@lru_cache(maxsize=4)
def _around(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return K landmarks of cheeks, jaw and chin, their neighbours (K, N), and gradients (K, 2, N).

    A gradient, times places of the neighbours about their mean, is how these change right and down in a frontal face.
    """
    mean = load_basis().mean
    lips = {*mesh.LIPS_OUTER, *mesh.LIPS_BETWEEN, *mesh.LIPS_INNER}
    aside, down = mean[:, 0].abs(), mean[:, 1]
    chin = (down > down[mesh.LIPS_OUTER_LOWER[5]]) & (aside > BESIDE_CHIN)
    cheek = (down > down[mesh.NOSE_BRIDGE[3]]) & (aside > BESIDE_NOSE)
    skin = torch.tensor([i for i in range(mesh.IRIS_RIGHT[0]) if i not in lips and (chin | cheek)[i]])
    neighbours = torch.cdist(mean[skin], mean[: mesh.IRIS_RIGHT[0]]).topk(NEIGHBOURS, largest=False).indices
    around = mean[neighbours, :2]
    around = around - around.mean(1, keepdim=True)
    gradients = torch.linalg.solve(around.mT @ around, around.mT)
    return skin.to(device), neighbours.to(device), gradients.to(device)
