"""From a portrait's landmarks and a motion track to the landmarks of every frame.

The expression is applied first, in head coordinates: the linear basis moves all landmarks, then lips and lids are set
to exactly the gap that the track asks for, whatever the portrait shows. The head is rotated last.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..face import topology as mesh
from ..face.align import eye_distance
from ..face.rigid import rigid_fit, undo_rigid
from ..face.turned import along_outline
from ..models.face_basis import FaceBasis
from ..smooth import decayed, smoothstep
from ..types import Tongue
from .brow_skin import BROW_LANDMARKS, held_brows, skin_followers
from .lip_curves import AROUND_INNER, rounded_gaps, smooth_lips
from .lip_form import kept_height
from .track import MotionTrack

CENTRAL_LIPS = ((82, 87), (13, 14), (312, 317))  # upper, lower inner lip
NECK = (0.0, 0.9, 0.7)  # centre of head rotation: eye distances right of, below and behind the midpoint of the eyes
CAMERA = 7.0  # eye distances from the camera to the face, about 65 cm
SIDES, SIDES_BEND = 0.25, 0.12  # maximum depth that rotates with the head, and the softness of the clamp to it
EYEBALL = 0.13  # radius in eye distances
FULL_GAZE = 0.5  # radians of gaze for an eyeLook coefficient of 1
SHOWS_TEETH = 0.05  # lip aperture from which a portrait shows the inside of its mouth
EYES_OPEN, EYES_SHUT = 0.25, 0.6  # eyeBlink coefficients measured for open and shut eyes

# Lip apertures of the portrait up to which its mouth is kept during silence, and from which it is closed: a mouth that
# gapes is no mouth at rest.
RESTS_OPEN, GAPES = 0.16, 0.3

# These coefficients are taken from the track alone; all others (a smile, raised brows) add to those of the portrait.
ARTICULATION = tuple(
    ARKIT_INDEX[name]
    for name in ARKIT_NAMES
    if name.startswith(("jaw", "mouth")) and not name.startswith(("mouthSmile", "mouthFrown", "mouthDimple"))
)
# Coefficients of a smile, and how much of each a speaker gives up at most.
SMILE = {"mouthSmile": 1.0, "mouthDimple": 1.0, "cheekSquint": 0.5}
SMILE_SHARES = tuple(
    next((share for stem, share in SMILE.items() if name.startswith(stem)), 0.0) for name in ARKIT_NAMES
)
JAW = ARKIT_INDEX["jawOpen"]
ROUNDED = (ARKIT_INDEX["mouthFunnel"], ARKIT_INDEX["mouthPucker"])
FULLY_ROUNDED = 0.7  # sum of these coefficients from which the openings of filmed lips get no narrower
SMILE_LOST = 0.7  # share of a portrait's smile that fully rounded lips take away
TONGUE_OUT = ARKIT_INDEX["tongueOut"]
NARROWEST = 0.5  # smallest opening of an eye, relative to the portrait's, that a smile or a squint leaves
WIDEST, HELD = 0.35, 4.0  # largest growth of that opening, relative to it, and how suddenly it is held (an exponent)
UNSEEN_JAW = 0.6  # opening of a portrait's jaw beyond its coefficient, relative to it, that is taken for possible
SHUT_TEETH = 0.15  # gap of lips in eye distances that a smile with closed teeth reaches; what is wider, the jaw opened
SMILES = (ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"])
MOUTH_SHAPES = tuple(index for index, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth")))
BROWS = tuple(index for index, name in enumerate(ARKIT_NAMES) if name.startswith("brow"))
BLINKS = (ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"])


@dataclass(frozen=True)
class Seam:
    """Two edges that meet, such as the lips. upper, lower: opposite landmarks of the edges, without the corners.

    share: fraction of a gap's change that the upper edge moves. reach: eye distances over which neighbouring landmarks
    follow an edge. middle: the pairs whose mean gap is controlled. corners: landmarks where the edges meet, which
    follow neither.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    share: float
    reach: float
    middle: slice
    corners: tuple[int, ...] = ()


def _eye(upper: tuple[int, ...], lower: tuple[int, ...]) -> Seam:
    return Seam(upper[1:-1], lower[1:-1], share=0.85, reach=0.09, middle=slice(2, 5))


LIPS = Seam(
    mesh.LIPS_INNER_UPPER[1:-1], mesh.LIPS_INNER_LOWER[1:-1], share=0.45, reach=0.2, middle=slice(3, 6),
    corners=(57, 61, 76, 62, 78, 287, 291, 306, 292, 308),
)  # fmt: skip
EYE_RIGHT = _eye(mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER)
EYE_LEFT = _eye(mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER)


def lip_aperture(landmarks: Tensor) -> Tensor:
    """Return the lip aperture (...): the mean gap of three central pairs of inner lip points over the eye distance.

    landmarks: (..., 478, 3) in pixels. Closed lips measure 0.002 to 0.008 in tracked pictures.
    """
    upper, lower = (landmarks[..., side, :2] for side in zip(*CENTRAL_LIPS, strict=True))
    return (lower - upper).norm(dim=-1).mean(-1) / eye_distance(landmarks)


def keeps_mouth(aperture: Tensor) -> Tensor:
    """Return how far a portrait of this lip aperture keeps its mouth in silence, in 0..1."""
    return smoothstep((GAPES - aperture) / (GAPES - RESTS_OPEN))


def asked_aperture(track: MotionTrack, basis: FaceBasis) -> Tensor:
    """Return the lip aperture (F,) that the track's coefficients ask for, 0 for closed lips."""
    return basis.asked_aperture(track.expression)


def tongue_of(track: MotionTrack) -> Tongue:
    """Return where the tongue is in each frame of a track: ``track.tongue``, and the coefficient tongueOut."""
    return Tongue(track.tongue.clamp(0, 1), track.expression[:, TONGUE_OUT].clamp(0, 1))


def shown_expression(track: MotionTrack, portrait: Tensor) -> Tensor:
    """Return the coefficients (F, 52) of the target face. portrait: (52,) those of the portrait.

    The eyes follow ``track.blink`` and ``track.gaze``; the track's eyeLook coefficients are ignored. ``track.rest``
    says how much of the portrait's mouth is kept, ``track.relaxed`` how much of its smile is not.
    """
    own = portrait * (1 - track.relaxed[:, None] * portrait.new_tensor(SMILE_SHARES))
    shown = (own + track.expression).clamp(0, 1)
    shown[:, ARTICULATION] = at_rest(track.expression[:, ARTICULATION], portrait[list(ARTICULATION)], track)
    blinks = portrait[list(BLINKS)]
    own_smile = torch.minimum(shown[:, SMILES], portrait[list(SMILES)])
    shown[:, SMILES] -= SMILE_LOST * _rounding(shown - portrait)[:, None] * own_smile
    shown[:, BLINKS] = blinks + eye_closure(track, portrait) * (EYES_SHUT - blinks).clamp_min(0)
    right, down = track.gaze.unbind(1)
    for name, angle in (("Down", down), ("Up", -down)):
        shown[:, _both(f"eyeLook{name}")] = _eye_look(portrait, name, angle, angle)
    shown[:, _both("eyeLookOut")] = _eye_look(portrait, "Out", right, -right)
    shown[:, _both("eyeLookIn")] = _eye_look(portrait, "In", -right, right)
    return shown


def _rounding(change: Tensor) -> Tensor:
    """Return how far lips are rounded, (F,) in 0..1. change: (F, 52), coefficients relative to the portrait's."""
    return (change[:, ROUNDED].sum(1) / FULLY_ROUNDED).clamp(0, 1)


def at_rest(values: Tensor, portrait: Tensor, track: MotionTrack) -> Tensor:
    """Raise mouth values (F, ...) towards those of the portrait (...), where larger, by ``track.rest``."""
    rest = track.rest.view(-1, *[1] * (values.dim() - 1))
    return values + rest * (portrait - values).clamp_min(0)


def _both(stem: str) -> list[int]:
    return [ARKIT_INDEX[f"{stem}Left"], ARKIT_INDEX[f"{stem}Right"]]


def _eye_look(portrait: Tensor, direction: str, left: Tensor, right: Tensor) -> Tensor:
    """Return the eyeLook coefficients (F, 2) of one direction after rotating the eyes by ``left``, ``right`` (F,)."""
    rotated = torch.stack((left, right), 1) / FULL_GAZE
    return (portrait[_both(f"eyeLook{direction}")] + rotated).clamp(0, 1)


def eye_closure(track: MotionTrack, portrait: Tensor) -> Tensor:
    """Return how far the left and the right eye close, (F, 2) in 0..1: the larger of ``blink`` and eyeBlink.

    An eyeBlink coefficient is scaled from that of the portrait, at least ``EYES_OPEN``, to ``EYES_SHUT``.
    """
    portrait_blinks = portrait[list(BLINKS)].clamp(EYES_OPEN, EYES_SHUT - 0.1)
    closing = (track.expression[:, BLINKS] - portrait_blinks) / (EYES_SHUT - portrait_blinks)
    return torch.maximum(closing, track.blink[:, None]).clamp(0, 1)


def move_landmarks(landmarks: Tensor, portrait: Tensor, track: MotionTrack, basis: FaceBasis) -> Tensor:
    """Return the landmarks (F, 478, 3) of a portrait moved by a track.

    landmarks: (478, 3) of the portrait, in pixels. portrait: (52,) its coefficients.
    """
    facing, size, offset = rigid_fit(basis.mean, landmarks)
    change = shown_expression(track, portrait) - portrait
    change[:, BLINKS] = 0  # the lids are set below
    # The portrait as a frontal face, in eye distances.
    face = undo_rigid(landmarks, facing, size, offset)  # (478, 3)
    change = kept_height(change, face, basis)
    moved = face + _displacement(change, basis, face)
    irises = list(mesh.IRIS_RIGHT + mesh.IRIS_LEFT)
    moved[:, irises, :2] += EYEBALL * track.gaze.sin()[:, None]
    portrait_gap = gap(face[None], LIPS)[0]
    asked = at_rest(asked_aperture(track, basis), portrait_gap.clamp(0, RESTS_OPEN), track)
    moved = moved + basis.displacement(_jaw_closing(gap(moved, LIPS) - asked, portrait_gap, change, basis))
    moved = set_gap(moved, LIPS, asked, basis.mean, _rounding(change))
    moved = face + smooth_lips(moved - face, AROUND_INNER)
    for seam, closure in zip((EYE_LEFT, EYE_RIGHT), eye_closure(track, portrait).unbind(1), strict=True):
        moved = set_gap(moved, seam, (1 - closure) * _held_eye(gap(moved, seam), gap(face[None], seam)), basis.mean)
    moved = _kept_to_outline(face, moved, landmarks, facing)
    nearness = CAMERA / (CAMERA + track.translation[:, None, 2:])  # (F, 1, 1)
    shift = size * pad(track.translation[:, None, :2], (0, 1))
    return size * nearness * (_rotate_head(moved, track) @ facing.T) + offset + shift


def _kept_to_outline(face: Tensor, moved: Tensor, landmarks: Tensor, facing: Tensor) -> Tensor:
    """Return moved faces (F, 478, 3) whose far cheek slides along the outline of a face that looks to the side.

    A photograph shows the outline of a cheek, and not what comes out from behind it. face, landmarks: (478, 3), the
    portrait as a frontal face in eye distances, and in pixels. facing: (3, 3), its pose.
    """
    outline = along_outline(landmarks)
    if outline is None:
        return moved
    skin, seen = outline
    change = (moved[:, skin] - face[skin]) @ facing.T
    change[..., :2] = (seen @ change[..., :2, None])[..., 0]
    moved = moved.clone()
    moved[:, skin] = face[skin] + change @ facing
    return moved


def _displacement(change: Tensor, basis: FaceBasis, face: Tensor) -> Tensor:
    """Return displacements (F, 478, 3) in eye distances for coefficients (F, 52), with skin that follows the brows and
    lips with smooth edges.

    face: (478, 3), the portrait as a frontal face in eye distances.
    """
    raised, others = change[:, BROWS], change.clone()
    others[:, BROWS] = 0
    shapes = basis.expression[list(BROWS)][:, BROW_LANDMARKS]  # (5, B, 3)
    brows = held_brows(torch.einsum("fc,cbd->fbd", raised, shapes), face)
    return smooth_lips(basis.displacement(others)) + torch.einsum("pb,fbd->fpd", skin_followers(basis).to(brows), brows)


def _held_eye(opened: Tensor, own: Tensor) -> Tensor:
    """Return the gap (F,) of an eye that an expression narrows or widens within what an eye can do.

    The sum of a basis would close it, and open narrow eyes to twice their gap. opened: (F,) the gap that the expression
    gives. own: (1,) that of the portrait.
    """
    growth = (opened - own).clamp_min(0)
    most = WIDEST * own.clamp_min(1e-6)
    opened = opened.clamp_max(own) + growth * (1 + (growth / most) ** HELD) ** (-1 / HELD)
    limit, soft = NARROWEST * own, (1 - NARROWEST) / 2 * own.clamp_min(1e-6)
    return torch.where(opened > limit + soft, opened, limit + soft * torch.exp(opened / soft - limit / soft - 1))


def _jaw_closing(lack: Tensor, own: Tensor, change: Tensor, basis: FaceBasis) -> Tensor:
    """Return coefficients (F, 52) of a jaw that closes by what the coefficients leave open of an open mouth.

    A portrait's coefficients explain the opening of its mouth only in part. The rest is closed by the jaw, which shuts
    a mouth without pulling the lips over the teeth, but only as far as the portrait's jaw is open: in a smile with
    closed teeth the lips do it. lack: (F,) in eye distances. own: (), the gap of the portrait's lips. change: (F, 52),
    coefficients relative to the portrait's.
    """
    closing = torch.zeros_like(change)
    closed = -change[:, JAW].clamp_max(0)
    most = torch.maximum(UNSEEN_JAW * closed, (own - SHUT_TEETH) / basis.aperture[JAW] - closed)
    closing[:, JAW] = -torch.minimum((lack / basis.aperture[JAW]).clamp_min(0), most)
    return closing


def gap(points: Tensor, seam: Seam) -> Tensor:
    """Return the gap (F,) in the middle of a seam of frontal points (F, 478, 3), negative where the edges cross."""
    return (points[:, seam.lower, 1] - points[:, seam.upper, 1])[:, seam.middle].mean(1)


def set_gap(points: Tensor, seam: Seam, target: Tensor, mean: Tensor, rounding: Tensor | None = None) -> Tensor:
    """Move the edges of a seam, and the landmarks around it, to a gap of ``target`` (F,) in its middle.

    points: (F, 478, 3) of a frontal face in eye distances; mean: (478, 3), the average one. A gap shrinks in proportion
    along the seam, so that the edges coincide when closed, and grows by an arch between the corners. rounding: (F,) in
    0..1, how far the lips are rounded, see ``rounded_gaps``.
    """
    between = points[:, seam.lower] - points[:, seam.upper]  # (F, K, 3)
    current = gap(points, seam)
    shrink = (target / current.clamp_min(1e-6)).clamp(0, 1) * (current > 0)
    arch = _arch(seam).to(points)  # (K,)
    grow = (target - current.clamp_min(0)).clamp_min(0)[:, None] * arch
    wanted = between * shrink[:, None, None]
    profile = between[..., 1].clamp_min(0) * shrink[:, None] + grow
    wanted[..., 1] = profile if rounding is None else rounded_gaps(profile, rounding, seam.middle)
    correction = wanted - between
    moves = torch.cat((-seam.share * correction, (1 - seam.share) * correction), 1)  # (F, 2 K, 3)
    return points + torch.einsum("pk,fkd->fpd", seam_followers(mean, seam), moves)


def _arch(seam: Seam) -> Tensor:
    """Return the profile (K,) of a growing gap along a seam: 1 on average over its middle, 0 at its corners."""
    count = len(seam.upper)
    arch = torch.sin(torch.arange(1, count + 1) / (count + 1) * torch.pi).sqrt()
    return arch / arch[seam.middle].mean()


def seam_followers(mean: Tensor, seam: Seam) -> Tensor:
    """Return weights (478, 2 K) of a seam's edge points on each landmark; edge points follow only themselves.

    mean: (478, 3), the average face.
    """
    edges = list(seam.upper + seam.lower)
    count = len(seam.upper)
    line = (mean[list(seam.upper)] + mean[list(seam.lower)]) / 2
    nearest = torch.cdist(mean[:, :2], line[:, :2]).argmin(1)
    is_lower = mean[:, 1] > line[nearest, 1]
    of_lower = torch.arange(2 * count, device=mean.device) >= count
    apart = torch.cdist(mean[:, :2], mean[edges, :2])
    weights = decayed(-0.5 * (apart / (0.35 * seam.reach)) ** 2) * (is_lower[:, None] == of_lower)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-12)
    near = apart.masked_fill(is_lower[:, None] != of_lower, torch.inf).amin(1, keepdim=True)
    weights = weights * decayed(-((near / seam.reach) ** 2))
    weights[edges] = torch.eye(2 * count).to(weights)
    if seam.corners:  # an empty list is no index on every device
        weights[list(seam.corners)] = 0
    return weights


def rotation_matrix(angles: Tensor) -> Tensor:
    """Return matrices (..., 3, 3) for pitch, yaw and roll (..., 3) in radians.

    The axes are right, down and away from the camera. Yaw is applied first, then pitch, then roll; the signs are those
    of ``MotionTrack``.
    """
    (cp, cy, cr), (sp, sy, sr) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        cr * cy + sr * sp * sy, -sr * cp, -cr * sy + sr * sp * cy,
        sr * cy - cr * sp * sy, cr * cp, -sr * sy - cr * sp * cy,
        cp * sy, sp, cp * cy,
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def rotation_angles(matrix: Tensor) -> Tensor:
    """Return the angles of rotation matrices: the inverse of ``rotation_matrix`` for a pitch within +-90 degrees."""
    pitch = torch.asin(matrix[..., 2, 1].clamp(-1, 1))
    yaw = torch.atan2(matrix[..., 2, 0], matrix[..., 2, 2])
    roll = torch.atan2(-matrix[..., 0, 1], matrix[..., 1, 1])
    return torch.stack((pitch, yaw, roll), -1)


def _rotate_head(points: Tensor, track: MotionTrack) -> Tensor:
    """Rotate heads (F, 478, 3), in eye distances from the midpoint of the eyes, about the neck.

    The steep sides of a head are visible only as its outline, which slides over them while the head turns. Their depth
    is clamped to ``SIDES``, so that the landmarks there stay on the outline.
    """
    neck = points.new_tensor(NECK)
    depth = SIDES - SIDES_BEND * softplus((SIDES - points[..., 2:]) / SIDES_BEND)
    flattened = torch.cat((points[..., :2], depth), -1)
    rotated = (flattened - neck) @ rotation_matrix(track.rotation).mT + neck
    return rotated + points - flattened
