"""The face as networks for public weights were shown it: coloured lines on black.

Which points are joined, the colours and the sizes are those that CrucibleAI/ControlNetMediaPipeFace was trained with,
or AniPortrait.
"""

from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..face import topology as mesh

LINE = 3  # pixels, that OpenCV's lines of thickness 2 cover
PUPIL = 2  # half the side of a pupil's square, in pixels
TRAINED_SIZE = 512  # pixels, of the pictures in which lines have this width

_Colour = tuple[int, int, int]  # red, green, blue
Lines = tuple[tuple[_Colour, tuple[tuple[int, ...], ...]], ...]  # paths through landmarks, and their colours
Pupils = tuple[tuple[_Colour, int], ...]
# In the order in which they are drawn. Right and left are the subject's own.
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
# AniPortrait's (Wei et al. 2024, arXiv 2403.17694): each quarter of each lip line has a colour of its own; no forehead
# and no pupils. Its channels are not red, green and blue, but as they stand here.
_JAW = mesh.FACE_OVAL[mesh.FACE_OVAL.index(251) : mesh.FACE_OVAL.index(21) + 1]


def _halves(path: tuple[int, ...], right: _Colour, left: _Colour) -> Lines:
    """A path over the lips from the right corner to the left one, in two colours."""
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
    """landmarks: (F, 478, 3) in crop pixels -> (F, 3, size, size) in 0..1, red, green and blue."""
    points = (landmarks[..., :2] * (size / crop_size)).tolist()
    drawn = torch.from_numpy(np.stack([_draw(face, size, LINES, PUPILS, LINE) for face in points]))
    return (drawn.permute(0, 3, 1, 2).float() / 255).to(landmarks)


def draw_pose(landmarks: Tensor, crop_size: int, size: int) -> Tensor:
    """landmarks: (F, 478, 3) in crop pixels -> (F, 3, size, size) bytes, as AniPortrait's pose guider takes them."""
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


MARGIN = 0.1  # by which the face's box grows on each side, in parts of its own


def face_box_map(landmarks: Tensor, size: int) -> Tensor:
    """EchoMimic's face map, (1, size, size): 1 in the face's box, a little enlarged, and 0 around it.

    landmarks: (478, 3) in crop pixels.
    """
    low, high = landmarks[:, :2].amin(0), landmarks[:, :2].amax(0)
    grown = MARGIN * (high - low)
    left, top = (low - grown).round().clamp(0, size).long().tolist()
    right, bottom = (high + grown).round().clamp(0, size).long().tolist()
    drawn = torch.zeros(1, size, size)
    drawn[:, top:bottom, left:right] = 1
    return drawn
