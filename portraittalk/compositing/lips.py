"""Finding the lips of a portrait whose mouth stands open, by closing them and looking again.

Landmarkers see fewer wide open mouths than closed ones, and report their lips too close together: what lies between the
lips found and the real ones, teeth mostly, then counts as lip and keeps the mouth open for ever. On a closed mouth they
are sure. So the portrait's mouth is closed by the warp, the lips that are seen in the result are carried back into the
portrait by the same warp, and that is repeated until they meet.

Open lips below a dark moustache may be taken for shut ones. If sharper views show them open, the same is done with what
such views see. In a closing mouth these see the upper lip too high, so it stays where they saw it in the portrait.
"""

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..face import topology as mesh
from ..face.align import extract_crop, from_crop
from ..face.mesh import keypoints_of, mesh_crop
from ..face.networks import FaceNetworks, load_face_networks
from ..face.rigid import rigid_fit
from ..face.turned import looks_aside
from ..models.face_basis import FaceBasis, load_basis
from ..motion.geometry import MOUTH_SHAPES, SHOWS_TEETH, SMILES, lip_aperture, move_landmarks
from ..motion.track import MotionTrack
from .closer_look import SHUT, look_aside, look_closer, look_sharper
from .lip_edges import refine_lips, uncover_teeth
from .lip_seam import meet_at_seam
from .warp import flow_between, sample, warp

PARTED = 0.01  # lip aperture from which teeth are looked for between lips that are hardly open
MET, NEAR = 0.015, 0.022  # lip aperture up to which lips meet, and up to which they do so well enough
SMILING = 0.5  # smallest mean coefficient of a smile whose lips are looked at closer
ROUNDS, MOST_ROUNDS = 4, 6  # looks at the closed mouth, and where its lips have not met until then
OPENED, FURTHER = 0.08, 1.8  # lip aperture, and its ratio to that of shut lips, from which sharper views are followed
AS_FAR = 0.95  # the same ratio where lips cannot be brought together
GAPING = 1.8  # ratio of the apertures found and first seen from which a moustache may have been taken for the mouth
SHARP_ROUNDS = 8  # looks at a mouth that was taken for closed
SETTLED = 0.028  # lip aperture up to which such lips meet that come no closer by further looks
FITS = 3  # times that a face is moved to where its lips are
RIDGE = 0.02  # penalty on coefficients, in squared eye distances, that keeps the shape of a mouth

LIPS = tuple(dict.fromkeys(mesh.LIPS_OUTER + mesh.LIPS_INNER))
LOWER = set(mesh.LIPS_OUTER_LOWER[1:-1] + mesh.LIPS_INNER_LOWER[1:-1])
# Coefficients of lips on lips, which are read into open mouths now and then; taking them away would bend such a mouth.
PRESSED = tuple(ARKIT_INDEX[name] for name in ARKIT_NAMES if name.startswith(("mouthPress", "mouthRoll", "mouthClose")))


def settle_lips(pictures: Tensor, landmarks: Tensor, blendshapes: Tensor) -> tuple[Tensor, Tensor]:
    """Return landmarks and coefficients of aligned crops with the lips where they are found.

    Faces that look to the side (``look_aside``) and smiles that are hardly open (``look_closer``) are looked at closer
    before. Lips that stay apart are looked for in sharper views (``find_hidden_lips``). The lips of an open mouth are
    moved to where they are seen to begin (``refine_lips``), the upper one of a narrow mouth off the teeth on which it
    is seen (``uncover_teeth``), both of a closed mouth to where they meet (``meet_at_seam``).

    pictures: (N, 3, S, S) in 0..1, the portrait first. landmarks: (N, 478, 3) in their pixels. blendshapes: (N, 52).
    """
    if looks_aside(landmarks).any():
        views = zip(pictures, landmarks, blendshapes, strict=True)
        seen = [look_aside(*view, load_face_networks()) for view in views]
        landmarks, blendshapes = (torch.stack(part) for part in zip(*seen, strict=True))
    if lip_aperture(landmarks).max() < SHUT:
        return _refined(pictures, landmarks), blendshapes
    basis, networks = load_basis().to(landmarks.device), load_face_networks()
    # People who speak part their lips, too, without teeth in between.
    smiling = blendshapes[:, SMILES].mean(1) > SMILING
    landmarks = torch.stack(
        [
            look_closer(picture, points, networks) if smiles else points
            for picture, points, smiles in zip(pictures, landmarks, smiling, strict=True)
        ]
    )
    views = zip(pictures, landmarks, blendshapes, strict=True)
    found = [_settled(*view, basis, networks) for view in views]
    landmarks, blendshapes = (torch.stack(part) for part in zip(*found, strict=True))
    return _refined(pictures, landmarks), blendshapes


def _refined(pictures: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (N, 478, 3) whose lips begin where they are seen to."""
    refined = []
    for picture, points in zip(pictures, landmarks, strict=True):
        aperture = lip_aperture(points)
        if aperture > SHOWS_TEETH:
            points = refine_lips(picture, points)
        elif aperture > PARTED:
            points = uncover_teeth(picture, points)
        else:
            points = meet_at_seam(picture, points)
        refined.append(points)
    return torch.stack(refined)


def _settled(
    picture: Tensor, landmarks: Tensor, blendshapes: Tensor, basis: FaceBasis, networks: FaceNetworks
) -> tuple[Tensor, Tensor]:
    """Return landmarks (478, 3) and coefficients (52,) of one aligned crop with the lips where they are.

    A mouth that is closed, or whose lips cannot be brought together, is returned as it is.
    """
    face, aperture = (picture, landmarks, blendshapes), float(lip_aperture(landmarks))
    if aperture < SHOWS_TEETH:
        return find_hidden_lips(*face, max(OPENED, FURTHER * aperture), basis, networks) or face[1:]
    found = find_lips(*face, basis, networks)
    if found is None or lip_aperture(found[0]) > GAPING * aperture:
        found = find_hidden_lips(*face, max(OPENED, AS_FAR * aperture), basis, networks) or found
    return found or face[1:]


def find_lips(
    picture: Tensor, landmarks: Tensor, blendshapes: Tensor, basis: FaceBasis, networks: FaceNetworks
) -> tuple[Tensor, Tensor] | None:
    """Return landmarks (478, 3) and coefficients (52,) of an open mouth in a crop with the lips where they are.

    picture: (3, S, S) in 0..1. landmarks: (478, 3) in its pixels. blendshapes: (52,). None if the lips cannot be
    brought together.
    """
    points, shapes, least, best = landmarks, blendshapes, torch.tensor(NEAR), None
    shapes = shapes.clone()
    shapes[list(PRESSED)] = 0
    for round_ in range(MOST_ROUNDS):
        if round_ >= ROUNDS and best is not None:
            break
        shut, closed, flow = _closed(picture, points, shapes, basis)
        seen = _landmarks_near(shut, closed, networks)
        apart = lip_aperture(seen)
        if apart < least:
            least, best = apart, (points, shapes)
        if apart < MET:
            break
        points, shapes = _corrected(points, shapes, _carried_back(seen, flow, picture.shape[-1]), basis)
    return best


def find_hidden_lips(
    picture: Tensor,
    landmarks: Tensor,
    blendshapes: Tensor,
    least: float,
    basis: FaceBasis,
    networks: FaceNetworks,
) -> tuple[Tensor, Tensor] | None:
    """Return landmarks (478, 3) and coefficients (52,) of an aligned crop with open lips that were taken for shut ones.

    picture: (3, S, S) in 0..1. landmarks: (478, 3) in its pixels. blendshapes: (52,). None if sharper views show the
    lips less than ``least`` apart, or these cannot be brought together.
    """
    seen = look_sharper(picture, landmarks, networks)
    if lip_aperture(seen) < least:
        return None
    lips = seen[list(LIPS), :2]
    points, shapes = _corrected(landmarks, blendshapes, lips, basis)
    shapes[list(PRESSED)] = 0
    for _ in range(SHARP_ROUNDS):
        shut, closed, flow = _closed(picture, points, shapes, basis)
        seen = look_sharper(shut, closed, networks)
        if lip_aperture(seen) < NEAR:
            break
        points, shapes = _corrected(points, shapes, _carried_back(seen, flow, picture.shape[-1]), basis)
    if lip_aperture(seen) > SETTLED:
        return None
    lips = torch.where(_is_lower(lips), points[list(LIPS), :2], lips)
    points, shapes = landmarks, blendshapes.clone()
    shapes[list(PRESSED)] = 0
    for _ in range(FITS):
        points, shapes = _corrected(points, shapes, lips, basis)
    return points, shapes


def _closed(picture: Tensor, points: Tensor, shapes: Tensor, basis: FaceBasis) -> tuple[Tensor, Tensor, Tensor]:
    """Return a picture (3, S, S) with its mouth closed, its landmarks (478, 3), and the flow from them."""
    silent = MotionTrack.of_expression(torch.zeros(1, len(ARKIT_NAMES)).to(points), 25.0)
    closed = move_landmarks(points, shapes, silent, basis)
    flow = flow_between(points, closed, picture.shape[-1])
    return warp(picture, flow)[0], closed[0], flow


def _is_lower(lips: Tensor) -> Tensor:
    """Return whether each of ``LIPS`` belongs to the lower lip: (L, 1), on the device of lips."""
    return torch.tensor([index in LOWER for index in LIPS], device=lips.device)[:, None]


def _carried_back(seen: Tensor, flow: Tensor, size: int) -> Tensor:
    """Return where the lips seen in a warped picture lie in the picture: (L, 2), by the sheet of their side."""
    lips = seen[list(LIPS), :2]
    above, below = sample(flow[:, :4], lips[None] / size)[0].split(2, -1)
    return lips + size * torch.where(_is_lower(lips), below, above)


def _corrected(points: Tensor, shapes: Tensor, lips: Tensor, basis: FaceBasis) -> tuple[Tensor, Tensor]:
    """Move a face to where its lips (L, 2) were seen, as far as jaw and mouth can move it there."""
    facing, size, _ = rigid_fit(basis.mean, points)
    moves = basis.expression[list(MOUTH_SHAPES)] @ facing.T  # (C, 478, 3), in eye distances of the picture
    wanted = ((lips - points[list(LIPS), :2]) / size).flatten()
    by_shape = moves[:, list(LIPS), :2].flatten(1)  # (C, 2 L)
    ridge = RIDGE * torch.eye(len(MOUTH_SHAPES)).to(points)
    weights = torch.linalg.solve(by_shape @ by_shape.T + ridge, by_shape @ wanted)
    changed = shapes.clone()
    changed[list(MOUTH_SHAPES)] += weights
    return points + size * torch.einsum("c,cpd->pd", weights, moves), changed.clamp(0, 1)


@torch.no_grad()
def _landmarks_near(picture: Tensor, landmarks: Tensor, networks: FaceNetworks) -> Tensor:
    """Return the landmarks (478, 3) that our face mesh sees in a picture (3, S, S) around known ones."""
    side = (picture.shape[-2], picture.shape[-1])
    crop = mesh_crop(keypoints_of(landmarks), side, networks.mesh.config.input_size)
    in_crop, _ = networks.mesh(extract_crop(picture, crop)[None].to(networks.device))
    return from_crop(in_crop[0].to(landmarks), crop)
