"""Colour management: pictures with an embedded ICC profile are converted to sRGB, as browsers show them."""

import logging
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # Pillow's mode of each colour space
_BLACK_POINT_COMPENSATION: Any = 0x2000  # so that the black of a printing profile is black; unnamed in older Pillow
# A profile that moves no colour by more than this many levels is sRGB, in one of its many versions: such pictures stay
# exactly as they are.
SAME_LEVELS = 1


def to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Return the picture in sRGB if it has an ICC profile, with its alpha; else the picture itself.

    A profile that is damaged, or made for another colour space than the picture's, is ignored with a warning that
    names the picture.
    """
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "RGBA", "L", "LA", "CMYK"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        space = profile.profile.xcolor_space.strip()
        colours = _in_space(image, space)
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            colours.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            _BLACK_POINT_COMPENSATION,
        )
        if colours.mode == "RGB" and _is_identity(transform):
            return image
        converted = ImageCms.applyTransform(colours, transform)
    except (ImageCms.PyCMSError, ImportError, ValueError, OSError, TypeError) as error:
        log.warning("The colour profile of %s cannot be used and is ignored (%s).", name, error)
        return image
    assert converted is not None  # only if converted in place
    if image.mode in ("RGBA", "LA"):
        converted.putalpha(image.getchannel("A"))
    return converted


def _in_space(image: Image.Image, space: str) -> Image.Image:
    """Return the colours of the picture in a mode that the profile's colour space describes.

    Raises ValueError if it is of another kind; grey pictures may have a profile for RGB.
    """
    mode = _MODES.get(space)
    grey, printed = image.mode in ("L", "LA"), image.mode == "CMYK"
    if mode is None or printed != (mode == "CMYK") or (mode == "L" and not grey):
        raise ValueError(f"it describes {space}, the picture is {image.mode}")
    return image.convert(mode)


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    moved = ImageCms.applyTransform(Image.fromarray(grid), transform)
    return bool(np.abs(np.asarray(moved, dtype=int) - grid).max() <= SAME_LEVELS)
