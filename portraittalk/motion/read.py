"""Reading a motion track (expression, head pose and gaze) from a driving video of another person."""

from collections.abc import Iterable

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..errors import MotionError
from ..face.detect import FaceProvider
from ..face.mesh import frontal
from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import EYE_LEFT_UPPER, EYE_RIGHT_UPPER, IRIS_LEFT, IRIS_RIGHT
from ..models.face_basis import FaceBasis
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Face
from .geometry import ARTICULATION, CAMERA, EYEBALL, NECK, rotation_angles
from .mouth_fit import fit_mouth
from .track import MotionTrack

RESTING = 0.1  # quantile of a coefficient over the video that is taken as the driver's resting face


def read_motion(
    frames: Iterable[Tensor],
    fps: float,
    provider: FaceProvider,
    basis: FaceBasis,
    total: int = 0,
    progress: ProgressCallback = ignore_progress,
) -> MotionTrack:
    """Read a motion track from frames (3, H, W) in 0..1 of one person.

    total: number of frames, if known, for progress only. The largest face of each frame is used; frames without a face
    are interpolated from their neighbours. Raises MotionError if no frame has a face, or the provider returns no
    expression.
    """
    faces: list[Face | None] = []
    for frame in frames:
        found = provider(frame)
        faces.append(found[0] if found else None)
        progress(Progress("read motion", len(faces), max(total, len(faces))))
    return motion_of_faces(faces, fps, basis)


def motion_of_faces(faces: list[Face | None], fps: float, basis: FaceBasis) -> MotionTrack:
    """Return the track of one face (or None) per frame, with pose and gaze relative to the first face.

    Landmarks do not show a tongue: it stays down, and comes out as far as the faces' blendshapes say.
    """
    face_frames = [index for index, face in enumerate(faces) if face is not None]
    if not face_frames:
        raise MotionError("No face was found in the driving video: choose a video that shows a face.")
    landmarks = torch.stack([face.landmarks for face in faces if face is not None])
    shapes = [face.blendshapes for face in faces if face is not None and face.blendshapes is not None]
    if len(shapes) != len(face_frames):
        raise MotionError("The face provider returns no expressions for the driving video: choose another provider.")
    expression = relative_expression(torch.stack(shapes))
    expression = fit_mouth(expression, frontal(landmarks, basis.mean), basis)
    rotation, translation, gaze = pose_and_gaze(landmarks, basis)
    count = len(faces)
    return MotionTrack(
        fps=fps,
        expression=_fill(expression, face_frames, count),
        rotation=_fill(rotation, face_frames, count),
        translation=_fill(translation, face_frames, count),
        gaze=_fill(gaze, face_frames, count),
        blink=torch.zeros(count),
        rest=torch.zeros(count),
        tongue=torch.zeros(count),
        relaxed=torch.zeros(count),
    )


def relative_expression(expression: Tensor) -> Tensor:
    """Subtract the driver's resting face from coefficients (F, 52), except those of articulation and blinks.

    The resting face is then that of the portrait.
    """
    resting = torch.quantile(expression, RESTING, 0)
    kept = torch.tensor(
        [index in ARTICULATION or name.startswith("eyeBlink") for index, name in enumerate(ARKIT_NAMES)]
    )
    return (expression - torch.where(kept, 0.0, resting)).clamp_min(0)


def pose_and_gaze(landmarks: Tensor, basis: FaceBasis) -> tuple[Tensor, Tensor, Tensor]:
    """Return rotation (F, 3), translation (F, 3) and gaze (F, 2) relative to frame 0, defined as in ``MotionTrack``.

    landmarks: (F, 478, 3) in pixels.
    """
    facing, size, offset = rigid_fit(basis.mean.expand_as(landmarks), landmarks)
    turn = facing[0].T @ facing  # (F, 3, 3)
    neck = landmarks.new_tensor(NECK)
    nearness = size / size[0]
    moved = nearness[:, None] * (neck - turn @ neck)  # shift of the midpoint of the eyes by the rotation alone
    shift = (offset - offset[0]) / size[0] - moved @ facing[0].T
    away = CAMERA * (1 / nearness - 1)
    faces = undo_rigid(landmarks, facing, size, offset)
    gaze = torch.asin(((_iris_offset(faces) - _iris_offset(faces[:1])) / EYEBALL).clamp(-1, 1))
    return rotation_angles(turn), torch.cat((shift[:, :2], away[:, None]), 1), gaze


def _iris_offset(faces: Tensor) -> Tensor:
    """Return the offset (F, 2) of the irises from the midpoint of the eye corners of frontal faces, over both eyes."""
    eyes = ((EYE_RIGHT_UPPER, IRIS_RIGHT), (EYE_LEFT_UPPER, IRIS_LEFT))
    offsets = [faces[:, iris[0], :2] - faces[:, (lid[0], lid[-1]), :2].mean(1) for lid, iris in eyes]
    return torch.stack(offsets).mean(0)


def _fill(values: Tensor, face_frames: list[int], count: int) -> Tensor:
    """Interpolate values (K, C) known at the K ``face_frames`` to (count, C); the ends are repeated."""
    known = torch.tensor(face_frames, dtype=torch.double)
    positions = torch.arange(count, dtype=torch.double)
    after = torch.searchsorted(known, positions).clamp_max(len(face_frames) - 1)
    before = (after - 1).clamp_min(0)
    span = (known[after] - known[before]).clamp_min(1e-9)
    part = ((positions - known[before]) / span).clamp(0, 1).to(values)[:, None]
    return torch.lerp(values[before], values[after], part)
