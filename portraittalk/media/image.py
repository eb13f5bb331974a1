"""Reading images of every mode that Pillow supports, limiting their size, and writing edited portraits as PNG."""

import logging
import math
import struct
import warnings
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..checks import check_path, check_whole, first_line
from ..errors import MediaError
from ..output_files import atomic_file, explained
from .file_kinds import what_else
from .profile import to_srgb
from .salvage import salvaged
from .tags import EDITED

log = logging.getLogger(__name__)

SMALLEST_SIDE = 32
LARGEST_SIDE = 2048
# Modes deeper than 8 bits are scaled here, because Pillow's own conversion to RGB clips them. White is 65535 in those
# of 16 bits; in the others the values tell.
_SIXTEEN_BITS, _WIDE = ("I;16", "I;16L", "I;16B", "I;16N"), ("I", "F")
_WHITES = (1, 255, 65535)
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error)  # what Pillow's decoders raise
_UPRIGHT = {  # how to turn the pixels, for each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """An image. pixels: (3, H, W) float32 in 0..1, not premultiplied by alpha. alpha: (1, H, W) in 0..1, or None."""

    pixels: Tensor
    alpha: Tensor | None = None

    def flattened(self, background: float = 1.0) -> Tensor:
        """Return the pixels (3, H, W) composited over a uniform grey level, white by default."""
        return self.pixels if self.alpha is None else self.pixels * self.alpha + background * (1 - self.alpha)


def read_image(path: str | Path, max_side: int | None = LARGEST_SIDE) -> Picture:
    """Read an image of any mode, apply its EXIF orientation, and convert it to sRGB if it has a colour profile.

    max_side: an image with a longer side is downscaled to it, with a warning; None keeps the full resolution.
    Metadata that is damaged is ignored, with a warning.
    Raises MediaError if the file cannot be read or a side is shorter than 32 pixels, SettingsError for another
    ``max_side`` than these.
    """
    path = check_path("The picture", path, MediaError)
    if max_side is not None:
        check_whole("The longest side of a picture, in pixels,", max_side, SMALLEST_SIDE)
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give an image file.")
    try:
        try:
            return _opened(path, path, max_side)
        except _UNREADABLE as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the system; Pillow's own have no number
                raise
            return _salvaged(path, max_side, error)
    except FileNotFoundError as error:
        raise MediaError(f"{path} does not exist: check the path.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path.name} has too many pixels to be opened safely: reduce it first.") from error
    except UnidentifiedImageError as error:
        raise MediaError(f"{path.name} {what_else(path)}.") from error
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise MediaError(
                f"{path} cannot be read ({error.strerror}): check the file and its permissions."
            ) from error
        what = first_line(error)
        raise MediaError(f"{path.name} is damaged or incomplete ({what}): export or copy it again.") from error


def _opened(file: Path | BytesIO, path: Path, max_side: int | None) -> Picture:
    """Read an image from ``file``; messages name the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large images are valid input, and damaged metadata is named below
        with Image.open(file) as image:
            return _read(image, path, max_side)


def _salvaged(path: Path, max_side: int | None, error: Exception) -> Picture:
    """Read what ``salvaged`` makes of a file that Pillow refuses with ``error``, which is raised if nothing works."""
    for data, what in salvaged(path):
        with suppress(*_UNREADABLE):
            picture = _opened(BytesIO(data), path, max_side)
            log.warning("%s is damaged: %s.", path.name, what)
            return picture
    raise error


def write_png(picture: Tensor, path: Path, comment: str | None = EDITED) -> None:
    """Write a picture (3, H, W) in 0..1, by default with a comment that marks it as edited by a model.

    Raises OutputError if the file cannot be written.
    """
    pixels = (picture.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    info = PngInfo()
    if comment is not None:
        info.add_itxt("Comment", comment)
    with atomic_file(path) as part, explained(path):
        Image.fromarray(pixels).save(part, format="PNG", pnginfo=info)


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
    if max_side is not None and max(width, height) > max_side:
        image.draft(None, (2 * max_side, 2 * max_side))  # decodes a JPEG at 1/2, 1/4 or 1/8
    image.load()
    if image.format == "TIFF":  # which Pillow turns upright while it loads it
        width, height = image.size
    orientation = 1 if image.format == "TIFF" else _orientation(image, path)
    if orientation >= 5:  # rotated by 90 degrees
        width, height = height, width
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    size = (height, width) if max_side is None else _limited(height, width, max_side)
    if size != (height, width):
        _warn_reduced(path.name, (height, width), size)
    if image.mode in _SIXTEEN_BITS or image.mode in _WIDE:
        values = np.array(_resized(image.convert("F"), size), dtype=np.float32)
        scaled = values / 65535 if image.mode in _SIXTEEN_BITS else _wide(values, path)
        return Picture(torch.from_numpy(scaled).clamp(0, 1).expand(3, -1, -1).contiguous())
    mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
    if mode != "RGB" or image.mode in ("1", "P", "YCbCr"):  # cannot be resampled, or have profiles, as they are
        image = image.convert(mode)
    image = to_srgb(_resized(image, size), path.name).convert(mode)
    channels = torch.from_numpy(np.array(image, dtype=np.float32) / 255).permute(2, 0, 1)
    return Picture(channels[:3].contiguous(), channels[3:].contiguous() if mode == "RGBA" else None)


def _orientation(image: Image.Image, path: Path) -> int:
    """Return the EXIF orientation that is still to be applied, 1 (upright) where there is none or a damaged one."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _UNREADABLE:
        orientation = None
    if isinstance(orientation, int):
        return orientation if orientation in _UPRIGHT else 1  # 0 is written for "unknown"
    log.warning("The EXIF data of %s is damaged and ignored: turn the picture upright if it is not.", path.name)
    return 1


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the image with this (height, width)."""
    if image.size == (size[1], size[0]):
        return image
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _wide(values: np.ndarray, path: Path) -> np.ndarray:
    """Return the values (H, W) of an image of 32-bit integers or floats in about 0..1.

    Their range tells whether white is 1, 255 or 65535; few pixels are brighter. Raises MediaError if none fits.
    """
    lowest, highest = float(values.min()), float(values.max())
    bright = float(np.quantile(values, 0.99)) if np.isfinite(values).all() else math.nan
    white = next((white for white in _WHITES if bright <= 1.01 * white), None)
    if white is None or lowest < -0.1 * white:
        raise MediaError(
            f"{path.name} has values from {lowest:g} to {highest:g}, but 0 to 1, 0 to 255 or 0 to 65535 are supported: "
            "export it with 8 or 16 bits."
        )
    if white == 255:
        log.warning("%s has values from %g to %g: 255 is taken as white.", path.name, lowest, highest)
    return values / white


def _limited(height: int, width: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _warn_reduced(name: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    log.warning("%s was reduced from %dx%d to %dx%d pixels.", name, before[1], before[0], after[1], after[0])
