"""Reading images of every mode that Pillow supports, limiting their size, and writing edited portraits as PNG."""

import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..checks import check_path, check_whole, first_line
from ..errors import MediaError
from .tags import EDITED

log = logging.getLogger(__name__)

SMALLEST_SIDE = 32
LARGEST_SIDE = 2048
# Value of white in modes deeper than 8 bits: scaled here, because Pillow's own conversion to RGB clips them.
_WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I": 65535, "F": 1}


@dataclass(frozen=True)
class Picture:
    """An image. pixels: (3, H, W) float32 in 0..1, not premultiplied by alpha. alpha: (1, H, W) in 0..1, or None."""

    pixels: Tensor
    alpha: Tensor | None = None

    def flattened(self, background: float = 1.0) -> Tensor:
        """Return the pixels (3, H, W) composited over a uniform grey level, white by default."""
        return self.pixels if self.alpha is None else self.pixels * self.alpha + background * (1 - self.alpha)


def read_image(path: str | Path, max_side: int | None = LARGEST_SIDE) -> Picture:
    """Read an image of any mode and apply its EXIF orientation.

    max_side: an image with a longer side is downscaled to it, with a warning; None keeps the full resolution.
    Raises MediaError if the file cannot be read or a side is shorter than 32 pixels, SettingsError for another
    ``max_side`` than these.
    """
    path = check_path("The picture", path, MediaError)
    if max_side is not None:
        check_whole("The longest side of a picture, in pixels,", max_side, SMALLEST_SIDE)
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give an image file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large images are valid input
            with Image.open(path) as image:
                return _read(image, path, max_side)
    except FileNotFoundError as error:
        raise MediaError(f"{path} does not exist: check the path.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path.name} has too many pixels to be opened safely: reduce it first.") from error
    except UnidentifiedImageError as error:
        raise MediaError(f"{path.name} is not an image in a supported format: give another file.") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:  # what Pillow's decoders raise
        raise MediaError(
            f"{path.name} is damaged or incomplete ({first_line(error)}): export or copy it again."
        ) from error


def write_png(picture: Tensor, path: Path) -> None:
    """Write a model-edited picture (3, H, W) in 0..1, with a comment that marks it as generated.

    Raises MediaError if the file cannot be written.
    """
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    info = PngInfo()
    info.add_itxt("Comment", EDITED)
    try:
        Image.fromarray(pixels).save(path, format="PNG", pnginfo=info)
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error}.") from error


def limit_size(image: Tensor, max_side: int = LARGEST_SIDE) -> Tensor:
    """Downscale images (..., 3, H, W) so that no side exceeds ``max_side`` pixels; logs a warning if it does."""
    height, width = image.shape[-2:]
    if max(height, width) <= max_side:
        return image
    size = _limited(height, width, max_side)
    _warn_reduced("The picture", (height, width), size)
    pixels = image.reshape(-1, *image.shape[-3:])
    reduced = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
    return reduced.reshape(*image.shape[:-2], *size)


def _read(image: Image.Image, path: Path, max_side: int | None) -> Picture:
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise MediaError(f"{path.name} is only {width}x{height} pixels: each side needs at least {SMALLEST_SIDE}.")
    if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # rotated by 90 degrees
        width, height = height, width
    size = (height, width) if max_side is None else _limited(height, width, max_side)
    if size != (height, width):
        _warn_reduced(path.name, (height, width), size)
        image.draft(None, (2 * max(size), 2 * max(size)))  # decodes a JPEG at 1/2, 1/4 or 1/8
    ImageOps.exif_transpose(image, in_place=True)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    white = _WHITE.get(image.mode, 255)
    mode = "F" if image.mode in _WHITE else "RGBA" if has_alpha else "RGB"
    if mode != "RGB" or image.mode in ("1", "P"):  # cannot be resampled as they are
        image = image.convert(mode)
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS, reducing_gap=2.0)
    values = torch.from_numpy(np.array(image.convert(mode), dtype=np.float32) / white).clamp(0, 1)
    if values.ndim == 2:
        return Picture(values.expand(3, -1, -1).contiguous())
    channels = values.permute(2, 0, 1)
    return Picture(channels[:3].contiguous(), channels[3:].contiguous() if has_alpha else None)


def _limited(height: int, width: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _warn_reduced(name: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    log.warning("%s was reduced from %dx%d to %dx%d pixels.", name, before[1], before[0], after[1], after[0])
