"""The implicit keypoints of a face, and how they move: LivePortrait's arithmetic, without a network."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...types import Movable


@dataclass(frozen=True)
class FaceMotion(Movable):
    """Pose, expression and keypoints of N faces in their crops, where x and y run from -1 to 1.

    keypoints: (N, K, 3) of the face itself, without pose and expression. rotation: (N, 3, 3), multiplied from the
    right. expression: (N, K, 3) offsets, which do not rotate. translation: (N, 3), of which x and y count. scale:
    (N, 1). The axes are right, down and away from the camera.
    """

    keypoints: Tensor
    rotation: Tensor
    expression: Tensor
    translation: Tensor
    scale: Tensor

    def points(self) -> Tensor:
        """Return the keypoints (N, K, 3) in the crop: rotated, with the expression, scaled and translated."""
        shift = F.pad(self.translation[:, None, :2], (0, 1))
        return self.scale[:, :, None] * (self.keypoints @ self.rotation + self.expression) + shift

    def moved(self, rotation: Tensor, expression: Tensor, translation: Tensor, scale: Tensor) -> "FaceMotion":
        """Return F faces, moved relative to this one (N = 1).

        rotation: (F, 3, 3), before the face's own. expression: (F, K, 3) and translation: (F, 3), added. scale: (F, 1),
        multiplied.
        """
        return replace(
            self,
            rotation=rotation @ self.rotation,
            expression=self.expression + expression,
            translation=self.translation + translation,
            scale=self.scale * scale,
        )


def rotation_of(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Return rotations (N, 3, 3) for rows of points, from angles (N,) in degrees: pitch first, then yaw, then roll.

    Positive angles look down, turn to the picture's left, and lean clockwise.
    """
    (cp, cy, cr), (sp, sy, sr) = (
        [function(angle.deg2rad()) for angle in (pitch, yaw, roll)] for function in (torch.cos, torch.sin)
    )
    rows = (
        cr * cy, sr * cy, -sy,
        cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, cy * sp,
        cr * sy * cp + sr * sp, sr * sy * cp - cr * sp, cy * cp,
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
