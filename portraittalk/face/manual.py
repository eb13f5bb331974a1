"""Faces given by hand as landmarks or as a box, for pictures in which no face is detected."""

import math
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import FaceError
from ..text_files import read_json
from ..types import LANDMARK_COUNT, Face
from .align import aligned_crop, from_crop

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

_TEMPLATE = Path(__file__).parent.parent / "assets" / "face" / "template.safetensors"


@cache
def template() -> Tensor:
    """Return (478, 3): the mean adult face, frontal with the mouth closed, in an aligned crop of side 1.

    It is the mean of many people's tracked landmarks (``training/face/template.py``).
    """
    return load_file(_TEMPLATE)["landmarks"].float()


def face_in_box(box: Box) -> Face:
    """Return the mean face, stretched to a box (x0, y0, x1, y1) in pixels from forehead to chin and ear to ear.

    Raises FaceError for an empty box.
    """
    x0, y0, x1, y1 = checked_box(box)
    mean = template()
    low, high = mean[:, :2].amin(0), mean[:, :2].amax(0)
    sides = torch.tensor([x1 - x0, y1 - y0]) / (high - low)
    xy = (mean[:, :2] - low) * sides + torch.tensor([x0, y0])
    return Face(torch.cat((xy, mean[:, 2:] * sides.mean()), 1))


def face_from_landmarks(landmarks: Tensor) -> Face:
    """Return a face with the given landmarks (478, 3), or (478, 2) with the depth of the mean face, in picture pixels.

    Raises FaceError for another shape, values that are not finite, or points at one place or on one line.
    """
    if landmarks.ndim != 2 or landmarks.shape[0] != LANDMARK_COUNT or landmarks.shape[1] not in (2, 3):
        raise FaceError(
            f"Landmarks must be {LANDMARK_COUNT} points of 2 or 3 numbers each, in the order of MediaPipe's face mesh, "
            f"but have the shape {tuple(landmarks.shape)}."
        )
    points = landmarks.detach().float().cpu()
    if not points.isfinite().all():
        raise FaceError("The landmarks contain NaN or infinite values: give every point in pixels.")
    if (points[:, :2].amax(0) - points[:, :2].amin(0)).min() < 1:
        raise FaceError("The landmarks lie in one place or on one line: give every point in pixels of the picture.")
    if points.shape[1] == 2:
        mean = from_crop(template(), aligned_crop(points, (0, 0), 1))
        points = torch.cat((points, mean[:, 2:]), 1)
    return Face(points)


def read_landmarks(path: Path) -> Face:
    """Read a JSON list of 478 points [x, y] or [x, y, z] in pixels, or an object with that list as ``landmarks``.

    Raises FaceError if the file cannot be read or contains anything else.
    """
    try:
        content = read_json(path)
        points = torch.tensor(content["landmarks"] if isinstance(content, dict) else content, dtype=torch.float32)
    except OSError as error:
        raise FaceError(f"The landmarks file {path} cannot be read ({error.strerror}): check the path.") from error
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:  # what torch.tensor raises
        raise FaceError(
            f"The landmarks file {path} has the wrong content: give a JSON list of {LANDMARK_COUNT} points [x, y] or "
            "[x, y, z] in pixels."
        ) from error
    return face_from_landmarks(points)


def checked_box(box: Box) -> Box:
    """Return the box. Raises FaceError if a side is shorter than a pixel or a value is not finite."""
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)) or x1 - x0 < 1 or y1 - y0 < 1:
        raise FaceError(f"The face box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is empty: give x0 < x1 and y0 < y1 in pixels.")
    return box
