"""Reading prepared clips, and the augmentations that all trainers share, random by the generator they are given."""

import io
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from torch import Generator, Tensor

T = TypeVar("T")
LIPS = 13  # middle of the upper inner lip; with 14, the lower's, the centre of the mouth
EYES = (159, 386)
SHAPE_KNOTS = 5  # control points a side of a random change of shape


class Clip:
    """One prepared clip file, read lazily: its frames stay on disk, as JPEGs or as ``frames`` (F, 3, S, S) uint8."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._file: Any = safe_open(path, framework="pt")
        self._names = set(self._file.keys())
        self.landmarks: Tensor = self._file.get_tensor("landmarks")
        self.blendshapes: Tensor = self._file.get_tensor("blendshapes")

    def __len__(self) -> int:
        return len(self.landmarks)

    def frames(self, start: int, stop: int) -> Tensor:
        """Frames start..stop as float (n, 3, S, S) in 0..1."""
        if "frames" in self._names:
            return self._file.get_slice("frames")[start:stop].float() / 255
        offsets = self._file.get_tensor("offsets")[start : stop + 1].tolist()
        data = self._file.get_slice("jpeg")[offsets[0] : offsets[-1]].numpy().tobytes()
        spans = [(a - offsets[0], b - offsets[0]) for a, b in pairwise(offsets)]
        pictures = [np.asarray(Image.open(io.BytesIO(data[a:b]))) for a, b in spans]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255

    def tensor(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


@lru_cache(maxsize=4096)
def open_clip(path: Path) -> Clip:
    return Clip(path)


def split_speakers(videos: list[Path]) -> tuple[list[Path], list[Path]]:
    """Files of video clips -> (those of rare speakers, those of the speaker with most clips).

    A speaker is what stands before the first underscore of a clip's name.
    """
    speakers = [path.stem.split("_")[0] for path in videos]
    frequent = max(sorted(set(speakers)), key=speakers.count, default="")
    rare = [path for path, speaker in zip(videos, speakers, strict=True) if speaker != frequent]
    return rare, [path for path, speaker in zip(videos, speakers, strict=True) if speaker == frequent]


def choose(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def one_of(options: Sequence[T], generator: Generator) -> T:
    return options[choose(len(options), generator)]


def span_about(line: Tensor, size: int, length: int, off: int, generator: Generator) -> slice:
    """``length`` of ``size`` cells about the centre of mass of ``line`` (n,), at most ``off`` cells beside it.

    line: covers all ``size`` cells, at any resolution.
    """
    middle = float((line * (torch.arange(len(line)) + 0.5)).sum() / line.sum().clamp_min(1e-6)) * size / len(line)
    start = round(middle - length / 2) + choose(2 * off + 1, generator) - off
    start = min(max(start, 0), size - length)
    return slice(start, start + length)


def uniform(low: float, high: float, generator: Generator, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def random_affine(
    image: Tensor,
    points: Tensor,
    size: int,
    generator: Generator,
    rotation: float,
    scale: tuple[float, float],
    shift: float,
) -> tuple[Tensor, Tensor]:
    """A random similarity view of images (n, 3, S, S) and points (n, P, 2 or 3) in their pixels, at ``size`` pixels.

    rotation: largest angle in radians. scale: range of the zoom; 1 keeps the pixels' size, about the centre.
    shift: largest translation in output pixels.
    """
    side = image.shape[-1]
    angle, zoom = uniform(-rotation, rotation, generator), uniform(*scale, generator)
    offset = uniform(-shift, shift, generator, 2)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    linear = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos))))  # source -> output pixels
    moved = points.clone()
    moved[..., :2] = (points[..., :2] - side / 2) @ linear.T + size / 2 + offset
    moved[..., 2:] = points[..., 2:] * zoom
    inverse = torch.linalg.inv(linear)
    theta = torch.cat((inverse * (size / side), (-inverse @ offset / (side / 2))[:, None]), 1)
    grid = F.affine_grid(theta[None].expand(len(image), -1, -1), [len(image), 3, size, size], align_corners=False)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False), moved


def random_shape(images: Tensor, points: Tensor, reach: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """One smooth random displacement of at most ``reach`` pixels for all images (n, 3, S, S) and points (n, P, 2 or 3).

    It changes the shape of a head that stays about where it is: somebody else's face, with exact landmarks.
    """
    size = images.shape[-1]
    coarse = uniform(-reach, reach, generator, 1, 2, SHAPE_KNOTS, SHAPE_KNOTS)
    field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True).clamp(-reach, reach)
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, size, size], align_corners=False)
    grid = (grid + field.permute(0, 2, 3, 1) * (2 / size)).expand(len(images), -1, -1, -1)
    flat = points[..., :2]
    moved = flat
    for _ in range(6):  # the image at q shows what was at q + field(q): solve for q
        where = moved * (2 / size) - 1
        read = F.grid_sample(field.expand(len(points), -1, -1, -1), where[:, None], "bilinear", "border", False)
        moved = flat - read[:, :, 0].transpose(1, 2)
    shaped = torch.cat((moved, points[..., 2:]), -1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False), shaped


def jitter_colour(image: Tensor, generator: Generator, strength: float = 1.0) -> Tensor:
    """One random change of exposure, white balance, saturation and gamma for all images (n, 3, S, S) in 0..1."""
    gain = 2 ** (strength * (uniform(-0.35, 0.35, generator) + uniform(-0.12, 0.12, generator, 3)))
    image = image * gain[:, None, None]
    grey = image.mean(-3, keepdim=True)
    image = grey + (image - grey) * (1 + strength * uniform(-0.4, 0.3, generator))
    return image.clamp(1e-4, 1) ** (2 ** (strength * uniform(-0.3, 0.3, generator)))


def bump(centres: Tensor, radius: float, size: int) -> Tensor:
    """Soft discs: centres (n, 2) in pixels -> (1, size, size), the largest of their Gaussians."""
    axis = torch.arange(size) + 0.5
    square = (axis[None, :, None] - centres[:, 1, None, None]) ** 2 + (
        axis[None, None, :] - centres[:, 0, None, None]
    ) ** 2
    return torch.exp(-square / (2 * radius**2)).amax(0, keepdim=True)
