"""The canonical crop: a similarity transform that puts the eyes level and the face at a fixed place and size.

Only points that do not move with speech decide it (eye corners and the base of the nose), so that an open mouth or a
raised brow does not shift the crop.
"""

import torch
from torch import Tensor

from ..types import Crop

EYE_OUTER = (33, 263)  # outer eye corners: the picture's left, right
NOSE_BASE = 2
SIDE_PER_EYE_DISTANCE = 2.5  # about 225 mm on an adult: from above the brows to below an open jaw
CENTRE_BELOW_EYES = 0.4  # of the eye distance, about the tip of the nose
EYE_DISTANCE_PER_NOSE = 1.7  # frontal ratio of eye distance to eyes-to-nose-base; holds the size when the head turns


def eye_distance(landmarks: Tensor) -> Tensor:
    """The outer eye distance of a frontal view: landmarks (..., 478, 3) in pixels -> (...) in pixels.

    A turned head shows its eyes closer together, so the distance from the eyes to the base of the nose sets a floor.
    """
    left, right = landmarks[..., EYE_OUTER[0], :2], landmarks[..., EYE_OUTER[1], :2]
    across = (right - left).norm(dim=-1)
    down = (landmarks[..., NOSE_BASE, :2] - (left + right) / 2).norm(dim=-1)
    return torch.maximum(across, EYE_DISTANCE_PER_NOSE * down)


def aligned_crop(landmarks: Tensor, image_size: tuple[int, int], size: int) -> Crop:
    """The canonical crop of a face. landmarks: (478, 3) in pixels. image_size: (height, width). size: the crop's side."""
    left, right = landmarks[EYE_OUTER[0], :2].double(), landmarks[EYE_OUTER[1], :2].double()
    axis = (right - left) / (right - left).norm().clamp_min(1e-6)
    down = torch.stack((-axis[1], axis[0]))
    distance = eye_distance(landmarks).double()
    centre = (left + right) / 2 + CENTRE_BELOW_EYES * distance * down
    linear = torch.stack((axis, down)) * (size / (SIDE_PER_EYE_DISTANCE * distance))
    offset = size / 2 - linear @ centre
    return Crop(torch.cat((linear, offset[:, None]), 1).float(), size, image_size)


def scale_of(crop: Crop) -> float:
    """Crop pixels per picture pixel."""
    return crop.matrix[0, :2].norm().item()


def to_crop(points: Tensor, crop: Crop) -> Tensor:
    """Picture points (..., 2 or 3) in pixels -> crop pixels; z is scaled alike."""
    matrix = crop.matrix.to(points)
    moved = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return torch.cat((moved, points[..., 2:] * scale_of(crop)), -1)


def from_crop(points: Tensor, crop: Crop) -> Tensor:
    """Crop points (..., 2 or 3) in pixels -> picture pixels; the inverse of ``to_crop``."""
    matrix = crop.matrix.to(points)
    moved = (points[..., :2] - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2].double()).to(points).T
    return torch.cat((moved, points[..., 2:] / scale_of(crop)), -1)
