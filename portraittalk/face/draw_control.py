"""The face as the ControlNet for MediaPipe's landmarks was shown it: coloured lines on black.

Which points are joined, the colours and the sizes are those that CrucibleAI/ControlNetMediaPipeFace was trained with.
"""

from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from . import topology as mesh

LINE = 3  # pixels, that OpenCV's lines of thickness 2 cover
PUPIL = 2  # half the side of a pupil's square, in pixels
TRAINED_SIZE = 512  # pixels, of the pictures in which lines have this width

_Colour = tuple[int, int, int]  # red, green, blue
# In the order in which they are drawn. Right and left are the subject's own.
LINES: tuple[tuple[_Colour, tuple[tuple[int, ...], ...]], ...] = (
    ((10, 200, 10), ((*mesh.FACE_OVAL, mesh.FACE_OVAL[0]),)),
    ((10, 200, 180), (mesh.EYE_LEFT_LOWER, mesh.EYE_LEFT_UPPER)),
    ((10, 220, 180), (mesh.BROW_LEFT_LOWER, mesh.BROW_LEFT_UPPER)),
    ((180, 200, 10), (mesh.EYE_RIGHT_LOWER, mesh.EYE_RIGHT_UPPER)),
    ((180, 220, 10), (mesh.BROW_RIGHT_LOWER, mesh.BROW_RIGHT_UPPER)),
    (
        (10, 180, 10),
        (mesh.LIPS_OUTER_LOWER, mesh.LIPS_OUTER_UPPER, mesh.LIPS_INNER_LOWER, mesh.LIPS_INNER_UPPER),
    ),
)
PUPILS: tuple[tuple[_Colour, int], ...] = (((250, 200, 10), mesh.IRIS_RIGHT[0]), ((10, 200, 250), mesh.IRIS_LEFT[0]))


def draw_control(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """landmarks: (F, 478, 3) in crop pixels -> (F, 3, size, size) in 0..1, red, green and blue."""
    points = (landmarks[..., :2] * (size / crop_size)).tolist()
    drawn = torch.from_numpy(np.stack([_draw(face, size) for face in points]))
    return (drawn.permute(0, 3, 1, 2).float() / 255).to(landmarks)


def _draw(points: list[list[float]], size: int) -> np.ndarray:
    picture = Image.new("RGB", (size, size))
    pen = ImageDraw.Draw(picture)
    width = max(round(LINE * size / TRAINED_SIZE), 1)
    for colour, paths in LINES:
        for path in paths:
            for start, end in pairwise(path):
                pen.line([*points[start], *points[end]], colour, width)
    half = max(round(PUPIL * size / TRAINED_SIZE), 1)
    for colour, centre in PUPILS:
        x, y = int(points[centre][0]), int(points[centre][1])
        pen.rectangle((x - half, y - half, x + half - 1, y + half - 1), colour)
    return np.asarray(picture)
