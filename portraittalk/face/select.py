"""Selection of one face of a picture: by index, box or mask, or the largest."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor

from ..checks import check_type, shown
from ..errors import FaceError
from ..media.tensors import check_layout
from ..types import Face
from .align import eye_distance
from .detect import FaceProvider
from .manual import Box, checked_box, face_in_box
from .mesh import MeshProvider
from .search import area

logger = logging.getLogger(__name__)

SMALLEST_EYE_DISTANCE = 24.0  # pixels: a smaller face is upscaled more than four times in a 256 pixel crop
ZOOM = 2.0  # side of the search region around a box, in sides of the box


@dataclass(frozen=True)
class FaceChoice:
    """The criterion for selecting a face: at most one of these; without any, the largest face.

    index: 0 is the largest face. box: (x0, y0, x1, y1) in pixels. mask: (H, W) in 0..1, over the face.
    """

    index: int | None = None
    box: Box | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        """Raise FaceError for another kind of value."""
        if self.index is not None:
            check_type("The index of the face", self.index, Integral, "a whole number", FaceError)
        if self.box is not None:
            if not isinstance(self.box, Sequence) or len(self.box) != 4:
                raise FaceError(f"The face box must be four numbers x0, y0, x1, y1, not {shown(self.box)}.")
            for edge in self.box:
                check_type("An edge of the face box", edge, Real, "a number", FaceError)
        if self.mask is not None:
            check_layout(self.mask, "The face mask", "H W", FaceError)


LARGEST = FaceChoice()


def choose_face(faces: Sequence[Face], choice: FaceChoice, image_size: tuple[int, int]) -> Face:
    """Return the chosen face. faces: of one picture, in any order. image_size: (height, width).

    Logs which face is used if there are several and none was selected. Raises FaceError if there is no face, if the
    requested one does not exist, or if it is too small.
    """
    if not faces:
        raise FaceError(
            "No face was found in the picture: use one with a frontal, well-lit face that is not too small, or give "
            "the face's box or landmarks by hand."
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
                "%s faces found: using the largest, %s; select another by its index (0 to %d, largest first), "
                "by a box or by a mask.",
                _count(len(ordered)).capitalize(),
                _place(face),
                len(ordered) - 1,
            )
    eyes = eye_distance(face.landmarks).item()
    if eyes < SMALLEST_EYE_DISTANCE:
        raise FaceError(
            f"The face {_place(face)} is too small: its eyes are {eyes:.0f} pixels apart, and at least "
            f"{SMALLEST_EYE_DISTANCE:.0f} are needed; use a larger picture or upscale this one first."
        )
    return face


def find_face(image: Tensor, choice: FaceChoice = LARGEST, provider: FaceProvider | None = None) -> Face:
    """Detect faces and choose one. image: (3, H, W) in 0..1. provider: our own landmarker by default.

    If no face is detected in a box, the crop around it is searched; if there is still none, as in a drawing, the mean
    face is placed in the box, with a warning.
    Raises FaceError as ``choose_face`` does.
    """
    return find_people(image, choice, provider)[0]


def find_people(
    image: Tensor, choice: FaceChoice = LARGEST, provider: FaceProvider | None = None
) -> tuple[Face, list[Face]]:
    """Return the chosen face, as ``find_face`` does, and those of other people in the picture."""
    size = (image.shape[-2], image.shape[-1])
    provider = provider or MeshProvider()
    found = provider(image)
    if choice.box is None:
        chosen = choose_face(found, choice, size)
        return chosen, other_people(found, chosen)
    region = _checked_region(choice.box, size)
    faces = _overlapping(found, region)
    faces = faces or _overlapping(_search_around(image, choice.box, provider), region)
    if not faces:
        logger.warning("No face was detected in the box: an average face was placed in it.")
        faces = [face_in_box(choice.box)]
    chosen = choose_face(faces, choice, size)
    return chosen, other_people(found, chosen)


def other_people(faces: Sequence[Face], chosen: Face) -> list[Face]:
    """Return the faces whose middles are not in the box of the chosen one, nor the other way round."""
    return [face for face in faces if not _holds(face, chosen) and not _holds(chosen, face)]


def _holds(face: Face, other: Face) -> bool:
    """Return whether the middle of the other face lies in the box of this one."""
    (x0, y0, x1, y1), (ox0, oy0, ox1, oy1) = face.box, other.box
    return x0 <= (ox0 + ox1) / 2 <= x1 and y0 <= (oy0 + oy1) / 2 <= y1


def _by_index(faces: list[Face], index: int) -> Face:
    if not 0 <= index < len(faces):
        valid = "there is one face, 0" if len(faces) == 1 else f"there are {_count(len(faces))}, 0 to {len(faces) - 1}"
        raise FaceError(f"There is no face {index} in the picture: {valid}, counted from the largest.")
    return faces[index]


def _by_region(faces: list[Face], region: Tensor, kind: str) -> Face:
    overlapping = _overlapping(faces, region)
    if not overlapping:
        places = "; ".join(_place(face) for face in faces)
        raise FaceError(f"No face lies in the {kind}: place it over one of the faces found: {places}.")
    return max(overlapping, key=lambda face: _overlap(face, region))


def _overlapping(faces: list[Face], region: Tensor) -> list[Face]:
    return [face for face in faces if _overlap(face, region) > 0]


def _overlap(face: Face, region: Tensor) -> float:
    """Return the intersection over union of a face's box and a region (H, W) in 0..1."""
    box = _box_mask(face.box, (region.shape[0], region.shape[1]))
    intersection = torch.minimum(box, region).sum()
    return (intersection / (box.sum() + region.sum() - intersection).clamp_min(1e-6)).item()


def _box_mask(box: Box, image_size: tuple[int, int]) -> Tensor:
    """Return the coverage (H, W) of each pixel by the box."""
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
            f"The face box ({edges}) lies outside the picture: give one within its {image_size[1]}x{image_size[0]} "
            "pixels."
        )
    return region


def _checked_mask(mask: Tensor, image_size: tuple[int, int]) -> Tensor:
    if tuple(mask.shape) != tuple(image_size):
        raise FaceError(
            f"The face mask is {mask.shape[-1]}x{mask.shape[-2]} pixels, but the picture is "
            f"{image_size[1]}x{image_size[0]}: draw the mask on the picture itself."
        )
    if not mask.any():
        raise FaceError("The face mask is empty: paint over the face to use, or give no mask.")
    return mask.float().cpu()


def _search_around(image: Tensor, box: Box, provider: FaceProvider) -> list[Face]:
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = box
    margin = (ZOOM - 1) / 2 * max(x1 - x0, y1 - y0)
    left, top = max(int(x0 - margin), 0), max(int(y0 - margin), 0)
    right, bottom = min(int(x1 + margin) + 1, width), min(int(y1 + margin) + 1, height)
    offset = torch.tensor([left, top, 0.0])
    found = provider(image[:, top:bottom, left:right])
    return [Face(face.landmarks + offset, face.blendshapes, face.score) for face in found]


def _place(face: Face) -> str:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    return f"from ({x0}, {y0}) to ({x1}, {y1})"


def _count(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)
