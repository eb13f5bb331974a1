"""A motion track read from a driving video: another person's expression, pose and gaze."""

from collections.abc import Iterable

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..errors import MotionError
from ..face.detect import FaceProvider
from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import EYE_LEFT_UPPER, EYE_RIGHT_UPPER, IRIS_LEFT, IRIS_RIGHT
from ..models.face_basis import FaceBasis
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Face
from .geometry import ARTICULATION, CAMERA, EYEBALL, NECK, rotation_angles
from .track import MotionTrack

RESTING = 0.1  # quantile of a coefficient over the video that counts as the driver's resting face


def read_motion(
    frames: Iterable[Tensor],
    fps: float,
    provider: FaceProvider,
    basis: FaceBasis,
    total: int = 0,
    progress: ProgressCallback = ignore_progress,
) -> MotionTrack:
    """frames: pictures (3, H, W) in 0..1 of one person. total: their number where it is known, for the progress alone.

    The largest face is followed; a frame without one takes its motion from its neighbours. Raises MotionError where no
    frame has a face, or the provider reads no expression.
    """
    faces: list[Face | None] = []
    for frame in frames:
        found = provider(frame)
        faces.append(found[0] if found else None)
        progress(Progress("read motion", len(faces), max(total, len(faces))))
    return motion_of_faces(faces, fps, basis)


def motion_of_faces(faces: list[Face | None], fps: float, basis: FaceBasis) -> MotionTrack:
    """One face (or None) a frame -> the track, its pose and gaze relative to the first face's."""
    seen = [index for index, face in enumerate(faces) if face is not None]
    if not seen:
        raise MotionError("No frame of the driving video shows a face: choose a video in which one can be seen.")
    landmarks = torch.stack([face.landmarks for face in faces if face is not None])
    shapes = [face.blendshapes for face in faces if face is not None and face.blendshapes is not None]
    if len(shapes) != len(seen):
        raise MotionError("The driving video's faces come without expressions: find them with another provider.")
    expression = relative_expression(torch.stack(shapes))
    rotation, translation, gaze = pose_and_gaze(landmarks, basis)
    count = len(faces)
    return MotionTrack(
        fps=fps,
        expression=_fill(expression, seen, count),
        rotation=_fill(rotation, seen, count),
        translation=_fill(translation, seen, count),
        gaze=_fill(gaze, seen, count),
        blink=torch.zeros(count),
        rest=torch.zeros(count),
    )


def relative_expression(expression: Tensor) -> Tensor:
    """(F, 52) of a driver without the resting face, which stays the portrait's own; what speech articulates stays."""
    resting = torch.quantile(expression, RESTING, 0)
    keeps = torch.tensor(
        [index in ARTICULATION or name.startswith("eyeBlink") for index, name in enumerate(ARKIT_NAMES)]
    )
    return (expression - torch.where(keeps, 0.0, resting)).clamp_min(0)


def pose_and_gaze(landmarks: Tensor, basis: FaceBasis) -> tuple[Tensor, Tensor, Tensor]:
    """landmarks: (F, 478, 3) in pixels -> rotation (F, 3), translation (F, 3) and gaze (F, 2) relative to frame 0,
    in the meaning that they have in ``MotionTrack``."""
    facing, size, offset = rigid_fit(basis.mean.expand_as(landmarks), landmarks)
    turn = facing[0].T @ facing  # (F, 3, 3)
    neck = landmarks.new_tensor(NECK)
    nearness = size / size[0]
    turned = nearness[:, None] * (neck - turn @ neck)  # where the turn alone puts the middle of the eyes
    shift = (offset - offset[0]) / size[0] - turned @ facing[0].T
    away = CAMERA * (1 / nearness - 1)
    frontal = undo_rigid(landmarks, facing, size, offset)
    gaze = torch.asin(((_look(frontal) - _look(frontal[:1])) / EYEBALL).clamp(-1, 1))
    return rotation_angles(turn), torch.cat((shift[:, :2], away[:, None]), 1), gaze


def _look(frontal: Tensor) -> Tensor:
    """Where the irises are between the eye corners, in eye distances: (F, 478, 3) -> (F, 2), the mean of both eyes."""
    eyes = ((EYE_RIGHT_UPPER, IRIS_RIGHT), (EYE_LEFT_UPPER, IRIS_LEFT))
    offsets = [frontal[:, iris[0], :2] - frontal[:, (lid[0], lid[-1]), :2].mean(1) for lid, iris in eyes]
    return torch.stack(offsets).mean(0)


def _fill(values: Tensor, seen: list[int], count: int) -> Tensor:
    """Values (len(seen), C) at the frames ``seen`` -> (count, C), read between them and repeated at the ends."""
    known = torch.tensor(seen, dtype=torch.double)
    wanted = torch.arange(count, dtype=torch.double)
    after = torch.searchsorted(known, wanted).clamp_max(len(seen) - 1)
    before = (after - 1).clamp_min(0)
    span = (known[after] - known[before]).clamp_min(1e-9)
    part = ((wanted - known[before]) / span).clamp(0, 1).to(values)[:, None]
    return torch.lerp(values[before], values[after], part)
