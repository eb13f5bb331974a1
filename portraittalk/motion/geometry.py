"""From a person's landmarks and a motion track to the landmarks of every frame.

The expression comes first, in the frame of the head: the linear basis moves all points, then lips and lids are solved
for, so that they are exactly as far apart as the track asks, whatever the portrait itself shows. The head turns last.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..face import topology as mesh
from ..face.align import eye_distance
from ..face.rigid import rigid_fit, undo_rigid
from ..models.face_basis import FaceBasis
from .track import MotionTrack

CENTRAL_LIPS = ((82, 87), (13, 14), (312, 317))  # upper, lower inner lip
NECK = (0.0, 0.9, 0.7)  # what the head turns about: eye distances right of, below and behind the middle of the eyes
CAMERA = 7.0  # eye distances from the camera to the face, about 65 cm
SIDES, SIDES_BEND = 0.25, 0.12  # greatest depth that turns with the head, and how softly depth approaches it
EYEBALL = 0.13  # radius in eye distances
LOOKS_FULLY = 0.5  # radians of gaze that an eyeLook coefficient of 1 stands for
SHOWS_TEETH = 0.05  # lip aperture from which a portrait shows a mouth of its own
EYES_OPEN, EYES_SHUT = 0.25, 0.6  # eyeBlink coefficients that open and shut eyes read as

RESTS_OPEN = 0.16  # lip aperture up to which the portrait's own mouth may stay as it is while nothing is said

# What the lips do while speaking is taken from the track as it is; what else a portrait shows (a smile, raised brows)
# stays, and the track's adds to it.
ARTICULATION = tuple(
    ARKIT_INDEX[name]
    for name in ARKIT_NAMES
    if name.startswith(("jaw", "mouth")) and not name.startswith(("mouthSmile", "mouthFrown", "mouthDimple"))
)
BLINKS = (ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"])


@dataclass(frozen=True)
class Seam:
    """Two edges that meet, such as the lips. upper and lower: landmarks opposite one another, without the corners.

    share: what the upper edge moves of a closing gap. reach: eye distances over which neighbours follow an edge.
    middle: the pairs whose mean gap is what is asked for.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    share: float
    reach: float
    middle: slice


def _eye(upper: tuple[int, ...], lower: tuple[int, ...]) -> Seam:
    return Seam(upper[1:-1], lower[1:-1], share=0.85, reach=0.09, middle=slice(2, 5))


LIPS = Seam(mesh.LIPS_INNER_UPPER[1:-1], mesh.LIPS_INNER_LOWER[1:-1], share=0.45, reach=0.2, middle=slice(3, 6))
EYE_RIGHT = _eye(mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER)
EYE_LEFT = _eye(mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER)


def lip_aperture(landmarks: Tensor) -> Tensor:
    """How far the lips are open: the mean gap of three middle pairs of inner lip points over the eye distance.

    landmarks: (..., 478, 3) in pixels -> (...); closed lips read as 0.002 to 0.008 in tracked pictures.
    """
    upper, lower = (landmarks[..., side, :2] for side in zip(*CENTRAL_LIPS, strict=True))
    return (lower - upper).norm(dim=-1).mean(-1) / eye_distance(landmarks)


def asked_aperture(track: MotionTrack, basis: FaceBasis) -> Tensor:
    """What ``lip_aperture`` should be in each frame, by the track's coefficients: (F,), 0 for closed lips."""
    return basis.asked_aperture(track.expression)


def shown_expression(track: MotionTrack, portrait: Tensor) -> Tensor:
    """The coefficients that the target face shows: (F, 52). portrait: (52,) of the portrait itself.

    The eyes follow ``track.blink`` and ``track.gaze``; the track's own eyeLook coefficients do not count. The mouth is
    the portrait's own as far as ``track.rest`` says.
    """
    shown = (portrait + track.expression).clamp(0, 1)
    shown[:, ARTICULATION] = at_rest(track.expression[:, ARTICULATION], portrait[list(ARTICULATION)], track)
    own = portrait[list(BLINKS)]
    shown[:, BLINKS] = own + eye_closure(track, portrait) * (EYES_SHUT - own).clamp_min(0)
    right, down = track.gaze.unbind(1)
    for name, angle in (("Down", down), ("Up", -down)):
        shown[:, _both(f"eyeLook{name}")] = _looking(portrait, name, angle, angle)
    shown[:, _both("eyeLookOut")] = _looking(portrait, "Out", right, -right)
    shown[:, _both("eyeLookIn")] = _looking(portrait, "In", -right, right)
    return shown


def at_rest(asked: Tensor, own: Tensor, track: MotionTrack) -> Tensor:
    """What is asked of a mouth (F, ...), or so much of the portrait's ``own`` (...) as is kept, if that is more."""
    rest = track.rest.view(-1, *[1] * (asked.dim() - 1))
    return asked + rest * (own - asked).clamp_min(0)


def _both(stem: str) -> list[int]:
    return [ARKIT_INDEX[f"{stem}Left"], ARKIT_INDEX[f"{stem}Right"]]


def _looking(portrait: Tensor, way: str, left: Tensor, right: Tensor) -> Tensor:
    """The eyeLook coefficients (F, 2) of both eyes after turning by so many radians (F,) each."""
    turned = torch.stack((left, right), 1) / LOOKS_FULLY
    return (portrait[_both(f"eyeLook{way}")] + turned).clamp(0, 1)


def eye_closure(track: MotionTrack, portrait: Tensor) -> Tensor:
    """How much of their opening the left and the right eye lose, by ``blink`` or by eyeBlink: (F, 2) in 0..1.

    An eyeBlink counts from what the portrait shows, or what open eyes read as, to what shut ones read as.
    """
    own = portrait[list(BLINKS)].clamp(EYES_OPEN, EYES_SHUT - 0.1)
    closing = (track.expression[:, BLINKS] - own) / (EYES_SHUT - own)
    return torch.maximum(closing, track.blink[:, None]).clamp(0, 1)


def move_landmarks(landmarks: Tensor, portrait: Tensor, track: MotionTrack, basis: FaceBasis) -> Tensor:
    """landmarks: (478, 3) of a portrait, in pixels; portrait: (52,) the coefficients that it shows -> (F, 478, 3)."""
    facing, size, offset = rigid_fit(basis.mean, landmarks)
    change = shown_expression(track, portrait) - portrait
    change[:, BLINKS] = 0  # the lids are solved for below
    # The portrait as a frontal face, in eye distances.
    face = undo_rigid(landmarks, facing, size, offset)  # (478, 3)
    moved = face + basis.displacement(change)
    irises = list(mesh.IRIS_RIGHT + mesh.IRIS_LEFT)
    moved[:, irises, :2] += EYEBALL * track.gaze.sin()[:, None]
    own = gap(face[None], LIPS)[0].clamp(0, RESTS_OPEN)
    moved = set_gap(moved, LIPS, at_rest(asked_aperture(track, basis), own, track), basis.mean)
    for seam, closure in zip((EYE_LEFT, EYE_RIGHT), eye_closure(track, portrait).unbind(1), strict=True):
        moved = set_gap(moved, seam, (1 - closure) * gap(moved, seam).clamp_min(0), basis.mean)
    nearness = CAMERA / (CAMERA + track.translation[:, None, 2:])  # (F, 1, 1)
    shift = size * pad(track.translation[:, None, :2], (0, 1))
    return size * nearness * (_turn(moved, track) @ facing.T) + offset + shift


def gap(points: Tensor, seam: Seam) -> Tensor:
    """How far the middle of a seam is open in frontal points (F, 478, 3): (F,), negative where the edges cross."""
    return (points[:, seam.lower, 1] - points[:, seam.upper, 1])[:, seam.middle].mean(1)


def set_gap(points: Tensor, seam: Seam, asked: Tensor, mean: Tensor) -> Tensor:
    """Moves the edges of a seam, and what lies around them, until its middle is ``asked`` (F,) open.

    points: (F, 478, 3) of a frontal face in eye distances; mean: (478, 3), the average one. A gap that must shrink does
    so in proportion, its edges lying on each other in the end; one that must grow gets an arch between its corners.
    """
    between = points[:, seam.lower] - points[:, seam.upper]  # (F, K, 3)
    now = gap(points, seam)
    shrink = (asked / now.clamp_min(1e-6)).clamp(0, 1) * (now > 0)
    arch = _arch(seam).to(points)  # (K,)
    grow = (asked - now.clamp_min(0)).clamp_min(0)[:, None] * arch
    wanted = between * shrink[:, None, None]
    wanted[..., 1] = between[..., 1].clamp_min(0) * shrink[:, None] + grow
    correction = wanted - between
    moves = torch.cat((-seam.share * correction, (1 - seam.share) * correction), 1)  # (F, 2 K, 3)
    return points + torch.einsum("pk,fkd->fpd", _followers(mean, seam), moves)


def _arch(seam: Seam) -> Tensor:
    """How an opening gap is spread along a seam: (K,), 1 on average over its middle and 0 at its corners."""
    count = len(seam.upper)
    arch = torch.sin(torch.arange(1, count + 1) / (count + 1) * torch.pi).sqrt()
    return arch / arch[seam.middle].mean()


def _followers(mean: Tensor, seam: Seam) -> Tensor:
    """How much each landmark follows each point of a seam's edges: (478, 2 K). The edges follow themselves alone."""
    edges = list(seam.upper + seam.lower)
    count = len(seam.upper)
    line = (mean[list(seam.upper)] + mean[list(seam.lower)]) / 2
    nearest = torch.cdist(mean[:, :2], line[:, :2]).argmin(1)
    is_lower = mean[:, 1] > line[nearest, 1]
    of_lower = torch.arange(2 * count, device=mean.device) >= count
    apart = torch.cdist(mean[:, :2], mean[edges, :2])
    weights = torch.exp(-0.5 * (apart / (0.35 * seam.reach)) ** 2) * (is_lower[:, None] == of_lower)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-12)
    near = apart.masked_fill(is_lower[:, None] != of_lower, torch.inf).amin(1, keepdim=True)
    weights = weights * torch.exp(-((near / seam.reach) ** 2))
    weights[edges] = torch.eye(2 * count).to(weights)
    return weights


def rotation_matrix(angles: Tensor) -> Tensor:
    """(..., 3) radians of pitch, yaw and roll -> (..., 3, 3), in the axes right, down, away from the camera.

    Yaw is applied first, then pitch, then roll; the signs are those of ``MotionTrack``.
    """
    (cp, cy, cr), (sp, sy, sr) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        cr * cy + sr * sp * sy, -sr * cp, -cr * sy + sr * sp * cy,
        sr * cy - cr * sp * sy, cr * cp, -sr * sy - cr * sp * cy,
        cp * sy, sp, cp * cy,
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def rotation_angles(matrix: Tensor) -> Tensor:
    """The inverse of ``rotation_matrix`` for a pitch within +-90 degrees."""
    pitch = torch.asin(matrix[..., 2, 1].clamp(-1, 1))
    yaw = torch.atan2(matrix[..., 2, 0], matrix[..., 2, 2])
    roll = torch.atan2(-matrix[..., 0, 1], matrix[..., 1, 1])
    return torch.stack((pitch, yaw, roll), -1)


def _turn(points: Tensor, track: MotionTrack) -> Tensor:
    """Turns heads (F, 478, 3), given in eye distances from the middle of the eyes, about the neck.

    The steep sides of a head are seen only as its outline, which slides over them while the head turns: their depth
    ends at ``SIDES``, so that the outline stays one.
    """
    neck = points.new_tensor(NECK)
    depth = SIDES - SIDES_BEND * softplus((SIDES - points[..., 2:]) / SIDES_BEND)
    flattened = torch.cat((points[..., :2], depth), -1)
    turned = (flattened - neck) @ rotation_matrix(track.rotation).mT + neck
    return turned + points - flattened
