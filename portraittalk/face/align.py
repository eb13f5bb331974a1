"""The aligned face crop: a similarity transform that levels the eyes and puts the face at a fixed position and size.

It depends only on points that do not move with speech (eye corners and nose base), so that an open mouth or a raised
brow does not shift the crop.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Crop

EYE_OUTER = (33, 263)  # outer eye corners: left and right in the picture
NOSE_BASE = 2
SIDE_PER_EYE_DISTANCE = 2.5  # about 225 mm on an adult: from above the brows to below an open jaw
CENTRE_BELOW_EYES = 0.4  # in eye distances, about the tip of the nose
EYE_DISTANCE_PER_NOSE = 1.7  # frontal ratio of eye distance to eyes-to-nose-base; keeps the size when the head turns


def eye_distance(landmarks: Tensor) -> Tensor:
    """Return the outer eye distance of a frontal view: landmarks (..., 478, 3) in pixels -> (...) in pixels.

    Yaw foreshortens the eye distance, so the distance from the eyes to the nose base sets a lower bound.
    """
    left, right = landmarks[..., EYE_OUTER[0], :2], landmarks[..., EYE_OUTER[1], :2]
    eyes = (right - left).norm(dim=-1)
    nose = (landmarks[..., NOSE_BASE, :2] - (left + right) / 2).norm(dim=-1)
    return torch.maximum(eyes, EYE_DISTANCE_PER_NOSE * nose)


def aligned_crop(
    landmarks: Tensor, image_size: tuple[int, int], size: int, width: float = SIDE_PER_EYE_DISTANCE
) -> Crop:
    """Return the aligned crop of a face.

    landmarks: (478, 3) in pixels. image_size: (height, width). size: side of the crop in crop pixels. width: the same
    side in eye distances.
    """
    left, right = landmarks[EYE_OUTER[0], :2].double(), landmarks[EYE_OUTER[1], :2].double()
    axis = (right - left) / (right - left).norm().clamp_min(1e-6)
    down = torch.stack((-axis[1], axis[0]))
    distance = eye_distance(landmarks).double()
    centre = (left + right) / 2 + CENTRE_BELOW_EYES * distance * down
    linear = torch.stack((axis, down)) * (size / (width * distance))
    offset = size / 2 - linear @ centre
    return Crop(torch.cat((linear, offset[:, None]), 1).float(), size, image_size)


def scale_of(crop: Crop) -> float:
    """Return the crop pixels per picture pixel."""
    return crop.matrix[0, :2].norm().item()


def to_crop(points: Tensor, crop: Crop) -> Tensor:
    """Map points (..., 2 or 3) from picture pixels to crop pixels; z is scaled by the same factor."""
    matrix = crop.matrix.to(points)
    moved = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return torch.cat((moved, points[..., 2:] * scale_of(crop)), -1)


def from_crop(points: Tensor, crop: Crop) -> Tensor:
    """Map points (..., 2 or 3) from crop pixels to picture pixels; the inverse of ``to_crop``."""
    matrix = crop.matrix.to(points)
    moved = (points[..., :2] - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2].double()).to(points).T
    return torch.cat((moved, points[..., 2:] / scale_of(crop)), -1)


def grid_to_crop(columns: Tensor, rows: Tensor, crop: Crop) -> Tensor:
    """Return ``to_crop`` of all points of a grid, columns (w,) and rows (h,) of the picture: (h, w, 2)."""
    matrix = crop.matrix.to(columns)
    return _affine_grid(columns, rows, matrix[:, :2], matrix[:, 2])


def grid_from_crop(columns: Tensor, rows: Tensor, crop: Crop) -> Tensor:
    """Return ``from_crop`` of all points of a grid, columns (w,) and rows (h,) of the crop: (h, w, 2)."""
    matrix = crop.matrix.to(columns)
    inverse = torch.linalg.inv(matrix[:, :2].double()).to(columns)
    return _affine_grid(columns, rows, inverse, -inverse @ matrix[:, 2])


def _affine_grid(columns: Tensor, rows: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Return ``linear @ (x, y) + offset`` for each row y and column x: (h, w, 2). Faster than of each point alone."""
    along = linear[:, 0] * columns[:, None]
    return along + (linear[:, 1] * rows[:, None] + offset)[:, None]


def resized(crop: Crop, size: int) -> Crop:
    """Return the crop of the same square of the picture with a side of ``size`` pixels."""
    return Crop(crop.matrix * (size / crop.size), size, crop.image_size)


def bounds(crop: Crop, margin: int = 0) -> tuple[int, int, int, int]:
    """Return the bounding box (x0, y0, x1, y1) of the crop in picture pixels, enlarged by ``margin`` on each side.

    It is clipped to the picture and at least one pixel large.
    """
    side = float(crop.size)
    corners = from_crop(torch.tensor([(0.0, 0.0), (side, 0.0), (0.0, side), (side, side)], dtype=torch.float64), crop)
    low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
    height, width = crop.image_size
    x0, y0 = (min(max(math.floor(v + 1e-3) - margin, 0), n - 1) for v, n in zip(low, (width, height), strict=True))
    x1, y1 = (min(max(math.ceil(v - 1e-3) + margin, 1), n) for v, n in zip(high, (width, height), strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def extract_crop(image: Tensor, crop: Crop, size: int | None = None) -> Tensor:
    """Return the pixels of an aligned crop: image (..., 3, H, W) in 0..1 -> (..., 3, S, S) in 0..1.

    size: the side S to sample at, by default the crop's own. Downscaling is antialiased; outside the picture its border
    pixels are repeated.
    """
    crop = resized(crop, size or crop.size)
    scale = scale_of(crop)
    x0, y0, x1, y1 = bounds(crop, margin=math.ceil(4 / min(scale, 1.0)))
    region = image[..., y0:y1, x0:x1].flatten(0, -4) if image.ndim > 3 else image[None, :, y0:y1, x0:x1]
    if scale < 1:
        reduced = [max(round(n * scale), 1) for n in region.shape[-2:]]
        region = F.interpolate(region, size=reduced, mode="bicubic", antialias=True, align_corners=False)
    centres = torch.arange(crop.size, dtype=torch.float64) + 0.5
    points = grid_from_crop(centres, centres, crop)
    grid = (points - points.new_tensor((x0, y0))) / points.new_tensor((x1 - x0, y1 - y0)) * 2 - 1
    grid = grid.to(region).expand(region.shape[0], -1, -1, -1)
    pixels = F.grid_sample(region, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)
    return pixels.reshape(*image.shape[:-2], crop.size, crop.size)
