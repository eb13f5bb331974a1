"""ComfyUI core's FACE_LANDMARKS as faces. Plain data in, plain data out: nothing of ComfyUI is imported.

Core's value is ``{"frames": [[face, ...], ...], "image_size": (H, W), "connection_sets": {...}}``, a list of faces for
each picture of a batch. Of a face these are read: ``landmarks_xy`` (478, 2) in pixels, ``landmarks_3d`` (478, 3) in the
pixels of the 192x192 crop that the network saw, ``blendshapes`` by ARKit name (and ``_neutral``), and ``score``. The
head pose (``transformation_matrix``) is not needed: motion is relative to the portrait, whose landmarks hold its pose.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceError
from ..types import LANDMARK_COUNT, Face
from .mediapipe import arkit_weights
from .search import area


def faces_from_comfyui(value: dict[str, Any]) -> list[list[Face]]:
    """The faces of each picture of the batch, largest first, in pixels of the pictures that they were found on.

    value: core's FACE_LANDMARKS. Raises FaceError for a value that is something else.
    """
    try:
        return [sorted(map(_face, faces), key=area, reverse=True) for faces in value["frames"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FaceError(
            "The face landmarks are not of the kind that ComfyUI's node Detect Face Landmarks (MediaPipe) gives."
        ) from error


def _face(found: dict[str, Any]) -> Face:
    flat, deep = (torch.as_tensor(np.asarray(found[name], np.float32)) for name in ("landmarks_xy", "landmarks_3d"))
    if flat.shape != (LANDMARK_COUNT, 2) or deep.shape != (LANDMARK_COUNT, 3):
        raise FaceError(f"The face landmarks must be {LANDMARK_COUNT} points, but have the shape {tuple(flat.shape)}.")
    # The crop is a turned and scaled piece of the picture: how far the points spread in both gives the scale of z.
    scale = _spread(flat) / _spread(deep[:, :2])
    return Face(torch.cat((flat, deep[:, 2:] * scale), 1), arkit_weights(found["blendshapes"]), float(found["score"]))


def _spread(points: Tensor) -> Tensor:
    return (points - points.mean(0)).norm()
