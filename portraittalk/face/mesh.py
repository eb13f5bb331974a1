"""Our own face landmarker, in plain torch, whose networks ship with the package.

A small detector predicts four keypoints per face; from these an upright crop is taken, in which the face mesh predicts
478 landmarks. The mesh runs twice, the second time on the crop of its own landmarks, and says whether that crop shows a
face. If it is not sure, a third, tilted crop must give the same landmarks.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from ..types import Crop, Face
from .align import extract_crop, eye_distance, from_crop
from .detect import MAX_FACES
from .networks import FaceNetworks, load_face_networks
from .rigid import rigid_fit, undo_rigid
from .search import search_faces

# Landmarks whose means are the keypoints: left and right eye in the picture, tip of the nose, centre of the mouth.
KEYPOINTS = ((33, 133), (362, 263), (4,), (61, 291))
# Their positions in an upright crop of side 1: a mean frontal face with an outer eye distance of EYE_DISTANCE.
EYE_DISTANCE = 0.36
TEMPLATE = ((0.369, 0.379), (0.631, 0.379), (0.5, 0.512), (0.5, 0.649))
LIKELY = 0.4  # detector score threshold
LEAST = 0.5  # face score of the mesh, which decides
CLEAR = 0.98  # score under which another crop must show the same face; clear portraits have 0.99
TILT, WIDER = math.radians(12), 1.15  # of that crop
AGREE = 0.06  # largest mean distance of the landmarks of both crops, in eye distances
NEIGHBOUR = 0.7  # in distances from eyes to mouth: detections closer than this are the same face
LOOKS = 2  # passes of the mesh
BARS = 0.5  # grey level of the letterbox


class MeshProvider:
    """Our own face landmarker. networks: by default those of the package."""

    def __init__(self, networks: FaceNetworks | None = None, max_faces: int = MAX_FACES) -> None:
        self._networks = networks or load_face_networks()
        self._max_faces = max_faces

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Face]:
        return search_faces(image.to(self._networks.device, torch.float32).clamp(0, 1), self._detect, self._max_faces)

    def _detect(self, part: Tensor) -> list[Face]:
        keypoints = detect_keypoints(part, self._networks)
        if not len(keypoints):
            return []
        for _ in range(LOOKS):
            landmarks, scores = self._look(part, keypoints)
            keypoints = keypoints_of(landmarks)
        kept = scores > LEAST
        doubtful = kept & (scores < CLEAR)
        if doubtful.any():
            kept[doubtful] = self._come_again(part, landmarks[doubtful])
        if not kept.any():
            return []
        landmarks, scores = landmarks[kept], scores[kept]
        expression = self._networks.expression(frontal(landmarks, self._networks.expression.mean))
        return [
            Face(points.cpu(), shapes.cpu(), float(score))
            for points, shapes, score in zip(landmarks, expression, scores, strict=True)
        ]

    def _look(self, part: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Return landmarks (n, 478, 3) in pixels and scores (n,) of the crops at keypoints (n, 4, 2)."""
        size, side = (part.shape[-2], part.shape[-1]), self._networks.mesh.config.input_size
        crops = [mesh_crop(points, size, side) for points in keypoints]
        in_crop, logits = self._networks.mesh(torch.stack([extract_crop(part, crop) for crop in crops]))
        landmarks = torch.stack([from_crop(points, crop) for points, crop in zip(in_crop, crops, strict=True)])
        return landmarks, logits.sigmoid()

    def _come_again(self, part: Tensor, landmarks: Tensor) -> Tensor:
        """Return for each of the landmarks (n, 478, 3) whether a wider, tilted crop shows the same face."""
        keypoints = keypoints_of(landmarks)
        middle = keypoints.mean(1, keepdim=True)
        cos, sin = WIDER * math.cos(TILT), WIDER * math.sin(TILT)
        tilted = middle + (keypoints - middle) @ keypoints.new_tensor(((cos, sin), (-sin, cos)))
        again, scores = self._look(part, tilted)
        apart = (again - landmarks)[..., :2].norm(dim=-1).mean(-1) / eye_distance(landmarks)
        return (apart < AGREE) & (scores > LEAST)


def keypoints_of(landmarks: Tensor) -> Tensor:
    """Return the keypoints (..., 4, 2) of landmarks (..., 478, 3)."""
    return torch.stack([landmarks[..., points, :2].mean(-2) for points in KEYPOINTS], -2)


def mesh_crop(keypoints: Tensor, image_size: tuple[int, int], size: int) -> Crop:
    """Return the upright crop with a side of ``size`` pixels: the least-squares similarity to ``TEMPLATE``.

    keypoints: (4, 2) in pixels.
    """
    source = torch.view_as_complex(keypoints.double().contiguous())
    target = torch.view_as_complex(torch.tensor(TEMPLATE, dtype=torch.float64, device=keypoints.device) * size)
    centred = source - source.mean()
    factor = (centred.conj() * (target - target.mean())).sum() / centred.abs().square().sum().clamp_min(1e-9)
    offset = target.mean() - factor * source.mean()
    rows = ((factor.real, -factor.imag, offset.real), (factor.imag, factor.real, offset.imag))
    return Crop(torch.stack([torch.stack(row) for row in rows]).float(), size, image_size)


def frontal(landmarks: Tensor, mean: Tensor) -> Tensor:
    """Return landmarks (..., 478, 3) as an upright frontal face in eye distances. mean: (478, 3), the mean face."""
    return undo_rigid(landmarks, *rigid_fit(mean.expand_as(landmarks), landmarks))


def letterbox(image: Tensor, size: int) -> tuple[Tensor, float]:
    """Return a picture (3, H, W) scaled into the top left of a grey square (3, size, size), and the scale."""
    scale = size / max(image.shape[-2:])
    height, width = (max(round(n * scale), 1) for n in image.shape[-2:])
    small = interpolate(image[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return pad(small, (0, size - width, 0, size - height), value=BARS), scale


def detect_keypoints(image: Tensor, networks: FaceNetworks, least: float = LIKELY) -> Tensor:
    """Return keypoints (n, 4, 2) in pixels of candidate faces in a picture (3, H, W) in 0..1, highest score first.

    least: the detector score that a candidate needs.
    """
    square, scale = letterbox(image, networks.detector.config.input_size)
    logits, keypoints = networks.detector(square[None])
    scores = logits.sigmoid()
    peaks = (scores == max_pool2d(scores[:, None], 3, 1, 1)[:, 0]) & (scores > least)
    candidates = keypoints[peaks] * square.shape[-1] / scale
    kept: list[Tensor] = []
    for points in candidates[scores[peaks].argsort(descending=True)]:
        radius = NEIGHBOUR * (points[:2].mean(0) - points[3]).norm()
        if all((points - other).norm(dim=-1).mean() > radius for other in kept):
            kept.append(points)
    return torch.stack(kept) if kept else candidates[:0]
