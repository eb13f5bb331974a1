"""The portrait with expressions and poses that geometry alone gives it: no network draws.

These pictures are not shown. A network that reads expressions and poses from pictures tells from them what a
coefficient does to this face.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..config import SMALL
from ..face.align import aligned_crop, extract_crop, to_crop
from ..models.face_basis import FaceBasis
from ..motion.geometry import lip_aperture
from ..motion.track import MotionTrack
from ..types import Identity, image_size
from .compose import Compositor
from .draw import mouth_opening
from .layers import FaceFrames, layers_of
from .mouth import stretched_mouth
from .structure import build_structure

CONFIG = replace(SMALL, painted_mouth=1.0)


@torch.no_grad()
def with_expressions(
    picture: Tensor,
    landmarks: Tensor,
    blendshapes: Tensor,
    track: MotionTrack,
    basis: FaceBasis,
    chunk: int = 8,
    turn: bool = False,
) -> Iterator[Tensor]:
    """Yield pictures (n, 3, H, W) of a face with the expressions of a track, ``chunk`` at a time.

    picture: (3, H, W) in 0..1. landmarks: (478, 3) in its pixels. blendshapes: (52,) of the face. turn: whether the
    face also has the track's pose; otherwise it keeps its own. It turns by its landmarks alone, which bends the hair.
    Tongues stay at rest.
    """
    size = CONFIG.crop_size
    crop = aligned_crop(landmarks, image_size(picture), size)
    view, points = extract_crop(picture, crop), to_crop(landmarks, crop)
    identity = Identity(picture, crop, points, blendshapes, view[None], tokens=picture.new_zeros(0))
    compositor = Compositor(picture, crop, landmarks=points)
    for start in range(0, len(track), chunk):
        structure = build_structure(identity, track[start : start + chunk], basis, CONFIG, turn_later=not turn)
        structure = replace(structure, tongue=torch.zeros_like(structure.tongue))
        opening, none = mouth_opening(structure.landmarks, size), torch.zeros_like(structure.warped)
        weight = stretched_mouth(opening, structure.landmarks, lip_aperture(points))
        frames = FaceFrames(structure, opening, none, structure.mask, structure.warped, weight)
        for _, layer in layers_of(identity, basis, CONFIG, None):
            frames = layer(frames)
        pictures = frames.picture, frames.picture_weight
        yield compositor(structure.flow, frames.residual, frames.mask, pictures, closure=structure.closure)
