"""Conversion of ComfyUI core's FACE_LANDMARKS to faces, without importing ComfyUI.

The value is ``{"frames": [[face, ...], ...], "image_size": (H, W), "connection_sets": {...}}``, a list of faces for
each picture of a batch. These keys of a face are read: ``landmarks_xy`` (478, 2) in pixels, ``landmarks_3d`` (478, 3)
in pixels of the network's 192x192 crop, ``blendshapes`` by ARKit name (and ``_neutral``), and ``score``. The head pose
(``transformation_matrix``) is not needed: motion is relative to the portrait, whose landmarks contain its pose.
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
    """Return the faces of each picture of the batch, largest first, in pixels of the picture.

    value: core's FACE_LANDMARKS. Raises FaceError for any other value.
    """
    try:
        return [sorted(map(_face, faces), key=area, reverse=True) for faces in value["frames"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FaceError(
            "The face landmarks have the wrong format: connect those of ComfyUI's Detect Face Landmarks (MediaPipe)."
        ) from error


def _face(value: dict[str, Any]) -> Face:
    xy, xyz = (torch.as_tensor(np.asarray(value[name], np.float32)) for name in ("landmarks_xy", "landmarks_3d"))
    if xy.shape != (LANDMARK_COUNT, 2) or xyz.shape != (LANDMARK_COUNT, 3):
        raise FaceError(f"The face landmarks must be {LANDMARK_COUNT} points, but have the shape {tuple(xy.shape)}.")
    if not (xy.isfinite().all() and xyz.isfinite().all()):
        raise FaceError("The face landmarks contain NaN or infinite values: detect them again.")
    # The network's crop is a rotated and scaled part of the picture: the ratio of the spreads is the scale of z.
    scale = _spread(xy) / _spread(xyz[:, :2])
    return Face(torch.cat((xy, xyz[:, 2:] * scale), 1), arkit_weights(value["blendshapes"]), float(value["score"]))


def _spread(points: Tensor) -> Tensor:
    return (points - points.mean(0)).norm()
