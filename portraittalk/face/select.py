"""Which of the faces in a picture is meant."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import FaceError
from ..types import Face
from .align import eye_distance
from .detect import FaceProvider
from .manual import Box, checked_box, face_in_box
from .mesh import MeshProvider
from .search import area

logger = logging.getLogger(__name__)

SMALLEST_EYE_DISTANCE = 24.0  # pixels: less is enlarged more than four times into a 256 pixel crop
ZOOM = 2.0  # how much of the surroundings of a box is searched, in sides of the box


@dataclass(frozen=True)
class FaceChoice:
    """How a face is chosen; at most one of these is given, and the largest face is taken where none is.

    index: counts from 0, the largest face. box: (x0, y0, x1, y1) in pixels. mask: (H, W) in 0..1, over the face.
    """

    index: int | None = None
    box: Box | None = None
    mask: Tensor | None = None


LARGEST = FaceChoice()


def choose_face(faces: Sequence[Face], choice: FaceChoice, image_size: tuple[int, int]) -> Face:
    """The chosen face. faces: of one picture, in any order. image_size: (height, width).

    Logs which face was taken where there are several and none was named. Raises FaceError where there is no face, not
    the one that was asked for, or where it is too small.
    """
    if not faces:
        raise FaceError(
            "No face was found in the picture: take one in which a face is seen from the front, well lit and not too "
            "small, or give the face's box or landmarks by hand."
        )
    ordered = sorted(faces, key=area, reverse=True)
    if choice.index is not None:
        face = _by_index(ordered, choice.index)
    elif choice.box is not None:
        face = _by_region(ordered, _checked_region(choice.box, image_size), "box")
    elif choice.mask is not None:
        face = _by_region(ordered, _checked_mask(choice.mask, image_size), "mask")
    else:
        face = ordered[0]
        if len(ordered) > 1:
            logger.warning(
                "%s faces found: took the largest, %s; another is chosen by its index (0 to %d, largest first), "
                "by a box or by a mask.",
                _count(len(ordered)).capitalize(),
                _place(face),
                len(ordered) - 1,
            )
    eyes = eye_distance(face.landmarks).item()
    if eyes < SMALLEST_EYE_DISTANCE:
        raise FaceError(
            f"The face {_place(face)} is too small: its eyes are {eyes:.0f} pixels apart and at least "
            f"{SMALLEST_EYE_DISTANCE:.0f} are needed; take a larger picture of it, or enlarge this one first."
        )
    return face


def find_face(image: Tensor, choice: FaceChoice = LARGEST, provider: FaceProvider | None = None) -> Face:
    """Detects and chooses. image: (3, H, W) in 0..1. provider: our own networks by default.

    A box in which no face was seen is searched again by itself; where there is still none, as in a drawing, an average
    face is placed in it, and the log says so.
    Raises FaceError as ``choose_face`` does.
    """
    size = (image.shape[-2], image.shape[-1])
    provider = provider or MeshProvider()
    if choice.box is None:
        return choose_face(provider(image), choice, size)
    region = _checked_region(choice.box, size)
    faces = _overlapping(provider(image), region)
    faces = faces or _overlapping(_search_around(image, choice.box, provider), region)
    if not faces:
        logger.warning("An average face was placed in the box: no face was recognised in it.")
        faces = [face_in_box(choice.box)]
    return choose_face(faces, choice, size)


def _by_index(faces: list[Face], index: int) -> Face:
    if not 0 <= index < len(faces):
        there = "there is one face, 0" if len(faces) == 1 else f"there are {_count(len(faces))}, 0 to {len(faces) - 1}"
        raise FaceError(f"There is no face {index} in the picture: {there}, counted from the largest.")
    return faces[index]


def _by_region(faces: list[Face], region: Tensor, kind: str) -> Face:
    overlapping = _overlapping(faces, region)
    if not overlapping:
        places = "; ".join(_place(face) for face in faces)
        raise FaceError(f"No face lies in the {kind}: it must lie over one of the faces found: {places}.")
    return max(overlapping, key=lambda face: _overlap(face, region))


def _overlapping(faces: list[Face], region: Tensor) -> list[Face]:
    return [face for face in faces if _overlap(face, region) > 0]


def _overlap(face: Face, region: Tensor) -> float:
    """Intersection over union of a face's box and a region (H, W) in 0..1."""
    inside = _box_mask(face.box, (region.shape[0], region.shape[1]))
    shared = torch.minimum(inside, region).sum()
    return (shared / (inside.sum() + region.sum() - shared).clamp_min(1e-6)).item()


def _box_mask(box: Box, image_size: tuple[int, int]) -> Tensor:
    """(H, W): how much of each pixel the box covers."""
    x0, y0, x1, y1 = box
    rows, columns = (torch.arange(n) for n in image_size)
    across = (torch.clamp(columns + 1, max=x1) - torch.clamp(columns, min=x0)).clamp(0, 1)
    down = (torch.clamp(rows + 1, max=y1) - torch.clamp(rows, min=y0)).clamp(0, 1)
    return down[:, None] * across


def _checked_region(box: Box, image_size: tuple[int, int]) -> Tensor:
    region = _box_mask(checked_box(box), image_size)
    if not region.any():
        edges = ", ".join(f"{edge:g}" for edge in box)
        raise FaceError(
            f"The face box ({edges}) lies outside of the picture of {image_size[1]}x{image_size[0]} pixels."
        )
    return region


def _checked_mask(mask: Tensor, image_size: tuple[int, int]) -> Tensor:
    if tuple(mask.shape) != tuple(image_size):
        raise FaceError(
            f"The face mask is {mask.shape[-1]}x{mask.shape[-2]} pixels, but the picture "
            f"{image_size[1]}x{image_size[0]}: draw the mask on the picture itself."
        )
    if not mask.any():
        raise FaceError("The face mask is empty: paint over the face that is meant, or leave the mask out.")
    return mask.float().cpu()


def _search_around(image: Tensor, box: Box, provider: FaceProvider) -> list[Face]:
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = box
    reach = (ZOOM - 1) / 2 * max(x1 - x0, y1 - y0)
    left, top = max(int(x0 - reach), 0), max(int(y0 - reach), 0)
    right, bottom = min(int(x1 + reach) + 1, width), min(int(y1 + reach) + 1, height)
    offset = torch.tensor([left, top, 0.0])
    found = provider(image[:, top:bottom, left:right])
    return [Face(face.landmarks + offset, face.blendshapes, face.score) for face in found]


def _place(face: Face) -> str:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    return f"from ({x0}, {y0}) to ({x1}, {y1})"


def _count(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)
