"""From a motion track to the implicit keypoints of a portrait's frames, for LivePortrait's renderer.

Head and position follow by geometry, eyelids and jaw by the retargeting networks that were trained for them, and all
other coefficients by the portrait's own map (``keypoint_map``). Stitching comes last. Everything is relative to the
portrait: a track without motion moves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..face.align import eye_distance
from ..face.expression_crop import MOUTH_CORNERS, eye_ratios, lip_ratio
from ..face.rigid import rigid_fit
from ..models.face_basis import FaceBasis
from ..models.liveportrait.keypoints import FaceMotion
from ..models.liveportrait.retargeting import Retargeting
from .geometry import (
    CAMERA,
    NECK,
    eye_closure,
    keeps_mouth,
    lip_aperture,
    move_landmarks,
    rotation_matrix,
    shown_expression,
)
from .keypoint_axes import flipped
from .keypoint_map import RETARGETED
from .track import MotionTrack

WIDEST = 0.8  # lip ratio, the end of upstream's slider
PARTED = 0.05  # lip ratio from which a portrait's mouth stands open
MOST_CLOSING = 1.5  # largest factor on what closes an open mouth
EYES = ((11, 13), (15, 16))  # keypoints of one eye and of the other


@dataclass(frozen=True)
class KeypointFace:
    """What drives a portrait.

    motion: of one face, read from its crop. offsets: (52, K, 3), see ``keypoint_map``. landmarks: (478, 3) in pixels of
    the crop of ``size`` pixels. blendshapes: (52,). closing: (1,), a factor on what closes the portrait's open mouth,
    see ``closing_gain``. depth: (1,), 1 or -1, see ``keypoint_axes``.
    """

    motion: FaceMotion
    offsets: Tensor
    landmarks: Tensor
    blendshapes: Tensor
    size: int
    closing: Tensor
    depth: Tensor


class KeypointDriver:
    """Keypoints of the frames of one portrait; computes once what is the same in all frames."""

    def __init__(self, face: KeypointFace, basis: FaceBasis, small: Retargeting) -> None:
        self._face, self._basis, self._small = face, basis, small
        self.source = face.motion.points()  # (1, K, 3)
        self._lips, self._eyes = lip_ratio(face.landmarks)[None], eye_ratios(face.landmarks)[None]  # (1,), (1, 2)
        self._keeps_mouth = keeps_mouth(lip_aperture(face.landmarks))
        self._of_right_eye = _of_right_eye(self.source[0])
        facing, unit, middle = rigid_fit(basis.mean, face.landmarks)
        self._facing, self._unit, self._middle = facing, unit, middle
        self._origin = self._origin_of_keypoints()

    @torch.no_grad()
    def __call__(self, track: MotionTrack) -> Tensor:
        """Return the keypoints (F, K, 3) in the crop of the frames of a track on the portrait's device."""
        face = self._face
        track = replace(track, rest=track.rest * self._keeps_mouth)
        moved = move_landmarks(face.landmarks, face.blendshapes, _without_pose(track), self._basis)
        mapped = mapped_change(track, face.blendshapes)
        turn = rotation_matrix(track.rotation)  # (F, 3, 3)
        nearness = CAMERA / (CAMERA + track.translation[:, 2:])  # (F, 1)
        points = face.motion.moved(
            rotation=flipped(turn.mT, face.depth),
            expression=torch.einsum("fc,ckd->fkd", mapped, face.offsets),
            translation=self._translation(turn, nearness, track.translation),
            scale=nearness,
        ).points()
        points = points + self._lip_change(moved, mapped) + self._eye_change(track)
        return self._small.stitched(self.source, points)

    def _lip_change(self, moved: Tensor, mapped: Tensor) -> Tensor:
        """Return offsets (F, K, 3) that part the lips as in landmarks (F, 478, 3), beyond what is mapped anyway."""
        corners = moved[:, MOUTH_CORNERS, :2]
        width = (corners[:, 0] - corners[:, 1]).norm(dim=-1) / eye_distance(moved)
        target = (lip_ratio(moved) - mapped @ self._basis.aperture / width.clamp_min(1e-3)).clamp(0, WIDEST)
        closed = ((self._lips - target) / self._lips.clamp_min(1e-6)).clamp(0, 1)  # 1 for lips that are to meet
        gain = 1 + (self._face.closing - 1) * closed
        return gain[:, None, None] * self._change(self._small.lip_change, self._lips, target, self._lips)

    def _eye_change(self, track: MotionTrack) -> Tensor:
        """Return offsets (F, K, 3) that close the eyes, each as far as the track says."""
        left, right = eye_closure(track, self._face.blendshapes).unbind(1)
        seen_left, seen_right = self._eyes[0]  # in the picture: the subject's right eye, and the left one
        of_right = self._change(self._small.eye_change, self._eyes, seen_left * (1 - right), seen_left[None])
        of_left = self._change(self._small.eye_change, self._eyes, seen_right * (1 - left), seen_right[None])
        return of_left.lerp(of_right, self._of_right_eye.expand_as(of_left))

    def _change(
        self, network: Callable[[Tensor, Tensor, Tensor], Tensor], ratios: Tensor, target: Tensor, own: Tensor
    ) -> Tensor:
        """Return a retargeting network's offsets for targets (F,), less those that it gives for the portrait's own."""
        return network(self.source, ratios, target) - network(self.source, ratios, own)

    def _origin_of_keypoints(self) -> Tensor:
        """Return where the keypoints' origin lies in the head, (3,) in eye distances, as deep as the neck."""
        half = self._face.size / 2
        at = (self._face.motion.translation[0, :2] + 1) * half
        depth = NECK[2]
        seen = (at - self._middle[:2]) / self._unit - depth * self._facing[:2, 2]
        across = torch.linalg.solve(self._facing[:2, :2], seen)
        return torch.cat((across, across.new_full((1,), depth)))

    def _translation(self, turn: Tensor, nearness: Tensor, translation: Tensor) -> Tensor:
        """Return how far the keypoints' origin moves, (F, 3) in half sides of the crop: heads turn about the neck."""
        neck = self._origin.new_tensor(NECK)
        rest = self._origin @ self._facing.T
        turned = ((self._origin - neck) @ turn.mT + neck) @ self._facing.T  # (F, 3)
        shift = (self._unit / (self._face.size / 2)) * (nearness * turned - rest + translation)
        return shift * shift.new_tensor((1.0, 1.0, 0.0))


def closing_gain(own: Tensor, left: Tensor) -> Tensor:
    """Return the factor on what closes a mouth, if of a portrait's lip ratio ``own`` closing it leaves ``left``."""
    return (own / (own - left).clamp_min(1e-6)).clamp(1, MOST_CLOSING)


def mapped_change(track: MotionTrack, portrait: Tensor) -> Tensor:
    """Return the coefficients (F, 52) relative to the portrait's (52,), without those that are retargeted."""
    change = shown_expression(track, portrait) - portrait
    change[:, list(RETARGETED)] = 0
    return change


def _without_pose(track: MotionTrack) -> MotionTrack:
    still = torch.zeros_like(track.rotation)
    return replace(track, rotation=still, translation=still)


def _of_right_eye(points: Tensor) -> Tensor:
    """Return how far each keypoint (K, 3) belongs to the subject's right eye, on the picture's left: (K, 1) in 0..1."""
    share = points.new_full((len(points), 1), 0.5)
    first_is_right = points[EYES[0][0], 0] < points[EYES[1][0], 0]
    share[list(EYES[0])], share[list(EYES[1])] = first_is_right.to(share), (~first_is_right).to(share)
    return share
