"""Reading of prepared clips, and the random augmentations that all trainers share."""

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
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor

from ...errors import MediaError

T = TypeVar("T")
LIPS = 13  # middle of the upper inner lip
EYES = (159, 386)
SHAPE_KNOTS = 5  # control points per side of the random displacement field


class Clip:
    """A prepared clip file. Frames are read lazily, from JPEGs or from ``frames`` (F, 3, S, S) uint8.

    Raises MediaError if the file is damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        try:
            self._file: Any = safe_open(path, framework="pt")
            self._names = set(self._file.keys())
            self.landmarks: Tensor = self._file.get_tensor("landmarks")
            self.blendshapes: Tensor = self._file.get_tensor("blendshapes")
        except (SafetensorError, OSError) as error:
            raise MediaError(
                f"{path} is not a prepared clip ({error}): give a folder of `portraittalk prepare`."
            ) from error

    def __len__(self) -> int:
        return len(self.landmarks)

    def frames(self, start: int, stop: int) -> Tensor:
        """Return frames start..stop as float (n, 3, S, S) in 0..1."""
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
    """Split video clips into (those of rare speakers, those of the speaker with most clips).

    The speaker is the part of a clip's name before the first underscore.
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
    """Return a slice of ``length`` out of ``size`` cells around the centre of mass of ``line`` (n,).

    line: spans all ``size`` cells, at any resolution. off: maximum random offset from the centre, in cells.
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
    """Apply a random similarity to images (n, 3, S, S) and points (n, P, 2 or 3) in pixels; output at ``size`` pixels.

    rotation: maximum angle in radians. scale: range of the zoom about the centre; 1 keeps the pixel size.
    shift: maximum translation in output pixels.
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
    """Warp images (n, 3, S, S) and points (n, P, 2 or 3) by one smooth random field of at most ``reach`` pixels.

    This changes the shape of the face but hardly its position: another face, with exact landmarks.
    """
    size = images.shape[-1]
    coarse = uniform(-reach, reach, generator, 1, 2, SHAPE_KNOTS, SHAPE_KNOTS)
    field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True).clamp(-reach, reach)
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, size, size], align_corners=False)
    grid = (grid + field.permute(0, 2, 3, 1) * (2 / size)).expand(len(images), -1, -1, -1)
    flat = points[..., :2]
    moved = flat
    for _ in range(6):  # the output at q shows the input at q + field(q): solve for q
        where = moved * (2 / size) - 1
        read = F.grid_sample(field.expand(len(points), -1, -1, -1), where[:, None], "bilinear", "border", False)
        moved = flat - read[:, :, 0].transpose(1, 2)
    shaped = torch.cat((moved, points[..., 2:]), -1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False), shaped


def jitter_colour(image: Tensor, generator: Generator, strength: float = 1.0, white_balance: float = 0.12) -> Tensor:
    """Change exposure, white balance, saturation and gamma of all images (n, 3, S, S) in 0..1 by one random draw.

    white_balance: largest change of each channel, in octaves.
    """
    balance = uniform(-white_balance, white_balance, generator, 3)
    gain = 2 ** (strength * (uniform(-0.35, 0.35, generator) + balance))
    image = image * gain[:, None, None]
    grey = image.mean(-3, keepdim=True)
    image = grey + (image - grey) * (1 + strength * uniform(-0.4, 0.3, generator))
    return image.clamp(1e-4, 1) ** (2 ** (strength * uniform(-0.3, 0.3, generator)))


def bump(centres: Tensor, radius: float, size: int) -> Tensor:
    """Return the maximum of Gaussians at centres (n, 2) in pixels: (1, size, size)."""
    axis = torch.arange(size) + 0.5
    square = (axis[None, :, None] - centres[:, 1, None, None]) ** 2 + (
        axis[None, None, :] - centres[:, 0, None, None]
    ) ** 2
    return torch.exp(-square / (2 * radius**2)).amax(0, keepdim=True)
