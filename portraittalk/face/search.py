"""Multi-scale face search with a detector of low input resolution: the whole picture first, then smaller tiles.

Pictures in which no face stands upright are searched again in quarter turns.
"""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..types import Face

SMALL_FACE = 0.2  # relative to the picture's longer side: next to faces this small, others may have been missed
BORDER = 0.5  # relative to the picture's longer side
TILES_PER_SIDE = (2, 4)  # longer side of the picture over the side of a tile, per level
SMALLEST_TILE = 128  # pixels: about the input side of the detectors
SAME_FACE = 0.3  # IoU above which two boxes are the same face
SURE = 0.9  # face score; a doubtful face counts only where there is no sure one, whatever its size
TURNS = (0, 2, 1, 3)  # quarter turns clockwise in which a picture is searched until there are faces
TURNED_LEVELS = 3  # levels that are searched in turned pictures: not the smallest tiles, which would take seconds

View = tuple[int, int, int, int]


def search_faces(image: Tensor, detect: Callable[[Tensor], list[Face]], max_faces: int) -> list[Face]:
    """Return the faces of a picture (3, H, W), largest first; doubtful ones only if they are upright and none is sure.

    detect: finds the faces in a part of the picture, in pixels of that part, that stand within 45 degrees or more of
    upright. If there are none, or only small ones, the picture is searched again: with a border around it, for a face
    that fills the picture, then in overlapping tiles. If there is still no sure one, all this is repeated upside down
    and on both sides, except for the smallest tiles.
    """
    doubtful: list[Face] = []
    for turn in TURNS:
        turned = image.rot90(-turn, (-2, -1))
        size = (turned.shape[-2], turned.shape[-1])
        levels = _levels(*size)
        faces = _search_levels(turned, detect, max_faces, levels[:TURNED_LEVELS] if turn else levels)
        faces = [_turned_back(face, turn, size) for face in faces]
        if any(map(_is_sure, faces)):
            return _largest(list(filter(_is_sure, faces)), max_faces)
        if turn == 0:
            doubtful = faces
    return _largest(doubtful, max_faces)


def _search_levels(
    image: Tensor, detect: Callable[[Tensor], list[Face]], max_faces: int, levels: list[list[View]]
) -> list[Face]:
    height, width = image.shape[-2:]
    faces: list[Face] = []
    for views in levels:
        for view in views:
            offset = torch.tensor([view[0], view[1], 0.0])
            found = [Face(f.landmarks + offset, f.blendshapes, f.score) for f in detect(_extract(image, view))]
            faces = _merged(faces, [face for face in found if _is_complete(face, view, (height, width))])
        sides = [_side(face) for face in faces if _is_sure(face)]
        if sides and (max_faces == 1 or max(sides) > SMALL_FACE * max(height, width)):
            break
    return faces


def _is_sure(face: Face) -> bool:
    return face.score >= SURE


def _largest(faces: list[Face], count: int) -> list[Face]:
    return sorted(faces, key=area, reverse=True)[:count]


def _turned_back(face: Face, turn: int, size: tuple[int, int]) -> Face:
    """Return a face of a picture that was turned clockwise by quarter turns, in pixels of the original.

    size: (height, width) of the turned picture.
    """
    x, y, z = face.landmarks.unbind(-1)
    height, width = size
    xy = ((x, y), (y, width - x), (width - x, height - y), (height - y, x))[turn]
    return Face(torch.stack((*xy, z), -1), face.blendshapes, face.score)


def area(face: Face) -> float:
    """Return the area of a face's box in pixels."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def overlap(a: Face, b: Face) -> float:
    """Return the intersection over union (IoU) of two faces' boxes."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    intersection = max(min(ax1, bx1) - max(ax0, bx0), 0.0) * max(min(ay1, by1) - max(ay0, by0), 0.0)
    return intersection / max(area(a) + area(b) - intersection, 1e-6)


def _levels(height: int, width: int) -> list[list[View]]:
    """Return the views per level: the picture, the picture with a border, tiles overlapping by half, smaller tiles."""
    border = round(BORDER * max(height, width))
    levels: list[list[View]] = [[(0, 0, width, height)], [(-border, -border, width + border, height + border)]]
    for per_side in TILES_PER_SIDE:
        side = max(height, width) // per_side
        if side >= SMALLEST_TILE:
            starts = product(_starts(height, side), _starts(width, side))
            levels.append([(x, y, min(x + side, width), min(y + side, height)) for y, x in starts])
    return levels


def _extract(image: Tensor, view: View) -> Tensor:
    """Return the view's pixels; outside the picture its border pixels are repeated."""
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = view
    inside = image[:, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    padding = (max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    return pad(inside[None], padding, mode="replicate")[0] if any(padding) else inside


def _starts(length: int, side: int) -> list[int]:
    last = max(length - side, 0)
    return [*range(0, last, max(side // 2, 1)), last]


def _is_complete(face: Face, view: View, size: tuple[int, int]) -> bool:
    """Return whether the face stays inside the view, except at edges that are the picture's own."""
    x0, y0, x1, y1 = face.box
    return (
        (x0 > view[0] or view[0] <= 0)
        and (y0 > view[1] or view[1] <= 0)
        and (x1 < view[2] or view[2] >= size[1])
        and (y1 < view[3] or view[3] >= size[0])
    )


def _merged(faces: list[Face], more: list[Face]) -> list[Face]:
    """Merge detections by non-maximum suppression, so that one at a closer scale may replace an earlier one."""
    kept: list[Face] = []
    for face in sorted(faces + more, key=lambda face: face.score, reverse=True):
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(a: Face, b: Face) -> bool:
    """Return whether two detections are the same face: their boxes overlap, or one contains the other's centre."""
    return overlap(a, b) > SAME_FACE or _within(a, b) or _within(b, a)


def _within(a: Face, b: Face) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    return bx0 < (ax0 + ax1) / 2 < bx1 and by0 < (ay0 + ay1) / 2 < by1


def _side(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)
