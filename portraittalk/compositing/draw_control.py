"""Drawing faces as coloured lines on black, as public weights expect them.

The connected points, the colours and the sizes are those of the training of CrucibleAI/ControlNetMediaPipeFace, or of
AniPortrait.
"""

from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..face import topology as mesh

LINE = 3  # line width in pixels, equal to what OpenCV draws for a thickness of 2
PUPIL = 2  # half the side of a pupil's square, in pixels
TRAINED_SIZE = 512  # side in pixels of the pictures for which these sizes hold

_Colour = tuple[int, int, int]  # red, green, blue
Lines = tuple[tuple[_Colour, tuple[tuple[int, ...], ...]], ...]  # paths through landmarks, and their colours
Pupils = tuple[tuple[_Colour, int], ...]
# In drawing order. Right and left are the subject's.
LINES: Lines = (
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
# AniPortrait (Wei et al. 2024, arXiv 2403.17694) draws each half of each lip line in its own colour, and neither
# forehead nor pupils. Its channels are not RGB; their order is kept as it is.
_JAW = mesh.FACE_OVAL[mesh.FACE_OVAL.index(251) : mesh.FACE_OVAL.index(21) + 1]


def _halves(path: tuple[int, ...], right: _Colour, left: _Colour) -> Lines:
    """Split a lip path from the right corner to the left one into two colours."""
    middle = len(path) // 2
    return (right, (path[: middle + 1],)), (left, (path[middle:],))


POSE_LINES: Lines = (
    ((10, 200, 10), (_JAW,)),
    ((180, 200, 10), (mesh.EYE_LEFT_LOWER, mesh.EYE_LEFT_UPPER)),
    ((180, 220, 10), (mesh.BROW_LEFT_LOWER, mesh.BROW_LEFT_UPPER)),
    ((10, 200, 180), (mesh.EYE_RIGHT_LOWER, mesh.EYE_RIGHT_UPPER)),
    ((10, 220, 180), (mesh.BROW_RIGHT_LOWER, mesh.BROW_RIGHT_UPPER)),
    *_halves(mesh.LIPS_OUTER_LOWER, (10, 180, 20), (20, 10, 180)),
    *_halves(mesh.LIPS_INNER_LOWER, (100, 100, 30), (100, 150, 50)),
    *_halves(mesh.LIPS_OUTER_UPPER, (20, 80, 100), (80, 100, 20)),
    *_halves(mesh.LIPS_INNER_UPPER, (120, 100, 200), (150, 120, 100)),
)
PUPILS: Pupils = (((250, 200, 10), mesh.IRIS_RIGHT[0]), ((10, 200, 250), mesh.IRIS_LEFT[0]))


def draw_control(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """Draw landmarks (F, 478, 3) in crop pixels for the ControlNet: RGB (F, 3, size, size) in 0..1."""
    points = (landmarks[..., :2] * (size / crop_size)).tolist()
    drawn = torch.from_numpy(np.stack([_draw(face, size, LINES, PUPILS, LINE) for face in points]))
    return (drawn.permute(0, 3, 1, 2).float() / 255).to(landmarks)


def draw_pose(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """Draw landmarks (F, 478, 3) in crop pixels for AniPortrait's pose guider: (F, 3, size, size) bytes."""
    points = (landmarks[..., :2] * (size / crop_size)).tolist()
    drawn = torch.from_numpy(np.stack([_draw(face, size, POSE_LINES, (), LINE) for face in points]))
    return drawn.permute(0, 3, 1, 2).to(landmarks.device)


def _draw(points: list[list[float]], size: int, lines: Lines, pupils: Pupils, line: int) -> np.ndarray:
    picture = Image.new("RGB", (size, size))
    pen = ImageDraw.Draw(picture)
    width = max(round(line * size / TRAINED_SIZE), 1)
    for colour, paths in lines:
        for path in paths:
            for start, end in pairwise(path):
                pen.line([*points[start], *points[end]], colour, width)
    half = max(round(PUPIL * size / TRAINED_SIZE), 1)
    for colour, centre in pupils:
        x, y = int(points[centre][0]), int(points[centre][1])
        pen.rectangle((x - half, y - half, x + half - 1, y + half - 1), colour)
    return np.asarray(picture)


MARGIN = 0.1  # enlargement of the face box on each side, as a fraction of its size


def face_box_map(landmarks: Tensor, size: int) -> Tensor:
    """Return EchoMimic's face map (1, size, size): 1 inside the slightly enlarged face box, 0 outside.

    landmarks: (478, 3) in crop pixels.
    """
    low, high = landmarks[:, :2].amin(0), landmarks[:, :2].amax(0)
    grown = MARGIN * (high - low)
    left, top = (low - grown).round().clamp(0, size).long().tolist()
    right, bottom = (high + grown).round().clamp(0, size).long().tolist()
    drawn = torch.zeros(1, size, size)
    drawn[:, top:bottom, left:right] = 1
    return drawn
