"""The crop of a face that LivePortrait's networks were trained on, from our landmarks.

Upstream puts a square around 106 or 203 landmarks. Both sets reach from the brows down to the chin and from one temple
to the other, but not to the hairline as MediaPipe's do. The landmarks of that outline are taken here.
"""

import torch
from torch import Tensor

from ..types import Crop
from . import topology as mesh

SIDE = 2.3  # of the square, in longest extents of the landmarks
HIGHER = 0.125  # of the side, by which its centre lies above that of the landmarks
_CHIN = mesh.FACE_OVAL.index(152)
JAW = mesh.FACE_OVAL[_CHIN - 11 : _CHIN + 12]  # from temple to temple, by way of the chin
MOUTH_CORNERS = (mesh.LIPS_OUTER_UPPER[0], mesh.LIPS_OUTER_UPPER[-1])
OUTLINE = (*JAW, *mesh.BROW_RIGHT_UPPER, *mesh.BROW_LEFT_UPPER)


def expression_crop(landmarks: Tensor, image_size: tuple[int, int], size: int) -> Crop:
    """Return the crop of a face. landmarks: (478, 3) in pixels. image_size: (height, width). size: side in pixels."""
    points = landmarks[:, :2].double()
    eyes = [points[list(eye)].mean(0) for eye in (mesh.EYE_RIGHT, mesh.EYE_LEFT)]
    lips = points[list(MOUTH_CORNERS)].mean(0)
    return crop_around(points[list(OUTLINE)], (eyes[0] + eyes[1]) / 2, lips, image_size, size)


def crop_around(points: Tensor, eyes: Tensor, lips: Tensor, image_size: tuple[int, int], size: int) -> Crop:
    """Return the crop around points (N, 2) whose lower side is that of the lips (2,), seen from the eyes (2,)."""
    down = lips - eyes
    down = down / down.norm() if down.norm() > 1e-3 else down.new_tensor((0.0, 1.0))
    axes = torch.stack((torch.stack((down[1], -down[0])), down))  # right and down along the face
    along = points @ axes.T
    low, high = along.amin(0), along.amax(0)
    side = SIDE * (high - low).max()
    centre = (low + high) / 2 - side * along.new_tensor((0.0, HIGHER))
    scale = size / side
    matrix = torch.cat((scale * axes, (size / 2 - scale * centre)[:, None]), 1)
    return Crop(matrix.float(), size, image_size)


def lip_ratio(landmarks: Tensor) -> Tensor:
    """Return the gap between the inner lips over the width of the mouth, (...), of landmarks (..., 478, 3)."""
    return _ratio(landmarks, (13, 14), MOUTH_CORNERS)


def eye_ratios(landmarks: Tensor) -> Tensor:
    """Return the height of the eye on the picture's left and on its right over its width, (..., 2)."""
    right, left = _ratio(landmarks, (159, 145), (33, 133)), _ratio(landmarks, (386, 374), (263, 362))
    return torch.stack((right, left), -1)


def _ratio(landmarks: Tensor, height: tuple[int, int], width: tuple[int, int]) -> Tensor:
    (top, bottom), (one, other) = ([landmarks[..., point, :2] for point in pair] for pair in (height, width))
    return (bottom - top).norm(dim=-1) / (other - one).norm(dim=-1).clamp_min(1e-6)
