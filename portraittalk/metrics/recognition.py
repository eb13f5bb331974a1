"""Identity preservation, measured with dlib's face recognition network, which PortraitTalk was not trained with."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceError
from ..types import Face

# dlib's five points: outer and inner corner of the right eye in the picture, the same of the left one, the nose base.
FIVE_POINTS = (263, 362, 33, 133, 2)
CHIP_SIZE = 150
CHIP_PADDING = 0.25
HOW_TO = "pip install dlib-bin face-recognition-models"


class FaceRecognition:
    """Face embeddings (128,): distances up to about 0.5 mean the same person, from about 0.65 different people.

    Raises FaceError if the optional packages are missing.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise FaceError(f"Measuring identity needs dlib: {HOW_TO}.") from error
        spec = find_spec("face_recognition_models")
        if spec is None or spec.origin is None:
            raise FaceError(f"Measuring identity needs the recognition network: {HOW_TO}.")
        path = Path(spec.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(path))

    @staticmethod
    def installed() -> bool:
        """Return whether the optional packages are installed."""
        return all(find_spec(name) is not None for name in ("dlib", "face_recognition_models"))

    def __call__(self, image: Tensor, face: Face) -> Tensor:
        """Return the embedding (128,) of a face in an image (3, H, W) in 0..1."""
        pixels = np.ascontiguousarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
        x0, y0, x1, y1 = (round(value) for value in face.box)
        points = [self._dlib.point(round(x), round(y)) for x, y, _ in face.landmarks[list(FIVE_POINTS)].tolist()]
        shape = self._dlib.full_object_detection(self._dlib.rectangle(x0, y0, x1, y1), points)
        chip = self._dlib.get_face_chip(pixels, shape, CHIP_SIZE, CHIP_PADDING)
        return torch.tensor(list(self._network.compute_face_descriptor(chip)))
