"""The canonical crop: a similarity transform that puts the eyes level and the face at a fixed place and size.

Only points that do not move with speech decide it (eye corners and the base of the nose), so that an open mouth or a
raised brow does not shift the crop.
"""

import math

import torch
import torch.nn.functional as F
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


def aligned_crop(
    landmarks: Tensor, image_size: tuple[int, int], size: int, width: float = SIDE_PER_EYE_DISTANCE
) -> Crop:
    """The canonical crop of a face. landmarks: (478, 3) in pixels. image_size: (height, width). size: crop's side, in
    crop pixels; width: the same in eye distances."""
    left, right = landmarks[EYE_OUTER[0], :2].double(), landmarks[EYE_OUTER[1], :2].double()
    axis = (right - left) / (right - left).norm().clamp_min(1e-6)
    down = torch.stack((-axis[1], axis[0]))
    distance = eye_distance(landmarks).double()
    centre = (left + right) / 2 + CENTRE_BELOW_EYES * distance * down
    linear = torch.stack((axis, down)) * (size / (width * distance))
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


def resized(crop: Crop, size: int) -> Crop:
    """The same square of the picture, sampled at ``size`` pixels a side."""
    return Crop(crop.matrix * (size / crop.size), size, crop.image_size)


def bounds(crop: Crop, margin: int = 0) -> tuple[int, int, int, int]:
    """The pixels (x0, y0, x1, y1) of the picture that hold the crop's square, ``margin`` pixels more on each side, but
    at least one pixel, and none outside of the picture."""
    side = float(crop.size)
    corners = from_crop(torch.tensor([(0.0, 0.0), (side, 0.0), (0.0, side), (side, side)], dtype=torch.float64), crop)
    low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
    height, width = crop.image_size
    x0, y0 = (min(max(math.floor(v + 1e-3) - margin, 0), n - 1) for v, n in zip(low, (width, height), strict=True))
    x1, y1 = (min(max(math.ceil(v - 1e-3) + margin, 1), n) for v, n in zip(high, (width, height), strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def extract_crop(image: Tensor, crop: Crop, size: int | None = None) -> Tensor:
    """The pixels of an aligned crop: image (..., 3, H, W) in 0..1 -> (..., 3, S, S) in 0..1.

    size: the side S to sample at, by default the crop's own. A face that shrinks is low-passed first, so that it does
    not alias; outside of the picture its border is repeated.
    """
    crop = resized(crop, size or crop.size)
    scale = scale_of(crop)
    x0, y0, x1, y1 = bounds(crop, margin=math.ceil(4 / min(scale, 1.0)))
    cut = image[..., y0:y1, x0:x1].flatten(0, -4) if image.ndim > 3 else image[None, :, y0:y1, x0:x1]
    if scale < 1:
        shrunk = [max(round(n * scale), 1) for n in cut.shape[-2:]]
        cut = F.interpolate(cut, size=shrunk, mode="bicubic", antialias=True, align_corners=False)
    centres = torch.arange(crop.size, dtype=torch.float64) + 0.5
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    points = from_crop(torch.stack((columns, rows), -1), crop)
    grid = (points - points.new_tensor((x0, y0))) / points.new_tensor((x1 - x0, y1 - y0)) * 2 - 1
    grid = grid.to(cut).expand(cut.shape[0], -1, -1, -1)
    pixels = F.grid_sample(cut, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)
    return pixels.reshape(*image.shape[:-2], crop.size, crop.size)
