"""Searching a picture for faces of every size with a detector that sees little: level by level, closer each time."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..types import Face

SMALL_FACE = 0.2  # of the picture's longer side: a face as small as this may have neighbours that were missed
BORDER = 0.5  # of the picture's longer side
TILES_PER_SIDE = (2, 4)  # the longer side of the picture over that of its tiles, level by level
SMALLEST_TILE = 128  # pixels: about the side of what a detector looks at, whatever it is given
SAME_FACE = 0.3  # intersection over union of the boxes

View = tuple[int, int, int, int]


def search_faces(image: Tensor, look: Callable[[Tensor], list[Face]], max_faces: int) -> list[Face]:
    """Faces of a picture (3, H, W), largest first. look: finds the faces of a part of it, in that part's pixels.

    Where there are none, or only small ones, the picture is searched again: with a border around it, for a face that
    fills it, then in overlapping tiles.
    """
    height, width = image.shape[-2:]
    faces: list[Face] = []
    for views in _levels(height, width):
        for view in views:
            offset = torch.tensor([view[0], view[1], 0.0])
            found = [Face(f.landmarks + offset, f.blendshapes, f.score) for f in look(_cut(image, view))]
            faces = _merged(faces, [face for face in found if _whole(face, view, (height, width))])
        if faces and (max_faces == 1 or max(map(_side, faces)) > SMALL_FACE * max(height, width)):
            break
    return sorted(faces, key=area, reverse=True)[:max_faces]


def area(face: Face) -> float:
    """Pixels covered by a face's box."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two faces' boxes."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    shared = max(min(ax1, bx1) - max(ax0, bx0), 0.0) * max(min(ay1, by1) - max(ay0, by0), 0.0)
    return shared / max(area(a) + area(b) - shared, 1e-6)


def _levels(height: int, width: int) -> list[list[View]]:
    """What to look at: the picture, the picture with a border, square tiles that overlap by half, smaller tiles."""
    border = round(BORDER * max(height, width))
    levels: list[list[View]] = [[(0, 0, width, height)], [(-border, -border, width + border, height + border)]]
    for per_side in TILES_PER_SIDE:
        side = max(height, width) // per_side
        if side >= SMALLEST_TILE:
            starts = product(_starts(height, side), _starts(width, side))
            levels.append([(x, y, min(x + side, width), min(y + side, height)) for y, x in starts])
    return levels


def _cut(image: Tensor, view: View) -> Tensor:
    """The view's pixels; beyond the picture those of its border are repeated."""
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = view
    inside = image[:, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    beyond = (max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    return pad(inside[None], beyond, mode="replicate")[0] if any(beyond) else inside


def _starts(length: int, side: int) -> list[int]:
    last = max(length - side, 0)
    return [*range(0, last, max(side // 2, 1)), last]


def _whole(face: Face, view: View, size: tuple[int, int]) -> bool:
    """Whether the face does not reach the border of the view, except where that is the picture's own."""
    x0, y0, x1, y1 = face.box
    return (
        (x0 > view[0] or view[0] <= 0)
        and (y0 > view[1] or view[1] <= 0)
        and (x1 < view[2] or view[2] >= size[1])
        and (y1 < view[3] or view[3] >= size[0])
    )


def _merged(faces: list[Face], more: list[Face]) -> list[Face]:
    """Of what is one face the likeliest stays: a closer look corrects what was seen from afar."""
    kept: list[Face] = []
    for face in sorted(faces + more, key=lambda face: face.score, reverse=True):
        if not any(_same(face, known) for known in kept):
            kept.append(face)
    return kept


def _same(a: Face, b: Face) -> bool:
    """Whether two finds are of one face: they overlap, or the middle of one lies within the other."""
    return overlap(a, b) > SAME_FACE or _within(a, b) or _within(b, a)


def _within(a: Face, b: Face) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    return bx0 < (ax0 + ax1) / 2 < bx1 and by0 < (ay0 + ay1) / 2 < by1


def _side(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)
