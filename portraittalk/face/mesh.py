"""Faces and their landmarks by our own networks, which ship with the package and run wherever torch does.

A small detector tells where faces are by four keypoints each; by these the face is cut out upright, and the face mesh
tells its 478 landmarks. It looks twice, the second time at a crop that its own landmarks cut.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from ..types import Crop, Face
from .align import extract_crop, from_crop
from .detect import MAX_FACES
from .networks import FaceNetworks, load_face_networks
from .rigid import rigid_fit, undo_rigid
from .search import search_faces

# Landmarks whose means are the keypoints: the picture's left and right eye, the tip of the nose, the corners' middle.
KEYPOINTS = ((33, 133), (362, 263), (4,), (61, 291))
# Where they lie in an upright crop of side 1: an average frontal face, whose outer eye distance is EYE_DISTANCE.
EYE_DISTANCE = 0.36
TEMPLATE = ((0.369, 0.379), (0.631, 0.379), (0.5, 0.512), (0.5, 0.649))
LIKELY = 0.4  # score of a cell from which there may be a face
CERTAIN = 0.9  # of the face mesh, which has the last word: of real faces it is sure
NEIGHBOUR = 0.7  # of the distance from eyes to mouth: keypoints closer than that are one face's
LOOKS = 2
BARS = 0.5  # grey that fills what a picture lacks of a square


class MeshProvider:
    """Our own face detector and landmarks. networks: by default those that ship."""

    def __init__(self, networks: FaceNetworks | None = None, max_faces: int = MAX_FACES) -> None:
        self._networks = networks or load_face_networks()
        self._max_faces = max_faces

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Face]:
        return search_faces(image.to(self._networks.device, torch.float32).clamp(0, 1), self._look, self._max_faces)

    def _look(self, part: Tensor) -> list[Face]:
        keypoints = detect_keypoints(part, self._networks)
        if not len(keypoints):
            return []
        size = (part.shape[-2], part.shape[-1])
        side = self._networks.mesh.config.input_size
        for _ in range(LOOKS):
            crops = [mesh_crop(points, size, side) for points in keypoints]
            found, logits = self._networks.mesh(torch.stack([extract_crop(part, crop) for crop in crops]))
            landmarks = torch.stack([from_crop(points, crop) for points, crop in zip(found, crops, strict=True)])
            keypoints = keypoints_of(landmarks)
        expression = self._networks.expression(frontal(landmarks, self._networks.expression.mean))
        return [
            Face(points.cpu(), shapes.cpu(), float(score))
            for points, shapes, score in zip(landmarks, expression, logits.sigmoid(), strict=True)
            if score > CERTAIN
        ]


def keypoints_of(landmarks: Tensor) -> Tensor:
    """Landmarks (..., 478, 3) -> keypoints (..., 4, 2)."""
    return torch.stack([landmarks[..., points, :2].mean(-2) for points in KEYPOINTS], -2)


def mesh_crop(keypoints: Tensor, image_size: tuple[int, int], size: int) -> Crop:
    """The upright crop of ``size`` pixels about a face's keypoints (4, 2): the similarity that brings them nearest to
    ``TEMPLATE``."""
    found = torch.view_as_complex(keypoints.double().contiguous())
    wanted = torch.view_as_complex(torch.tensor(TEMPLATE, dtype=torch.float64, device=keypoints.device) * size)
    apart = found - found.mean()
    factor = (apart.conj() * (wanted - wanted.mean())).sum() / apart.abs().square().sum().clamp_min(1e-9)
    offset = wanted.mean() - factor * found.mean()
    rows = ((factor.real, -factor.imag, offset.real), (factor.imag, factor.real, offset.imag))
    return Crop(torch.stack([torch.stack(row) for row in rows]).float(), size, image_size)


def frontal(landmarks: Tensor, mean: Tensor) -> Tensor:
    """Landmarks (..., 478, 3) as an upright frontal face in eye distances. mean: (478, 3), the average one."""
    return undo_rigid(landmarks, *rigid_fit(mean.expand_as(landmarks), landmarks))


def letterbox(image: Tensor, size: int) -> tuple[Tensor, float]:
    """A picture (3, H, W) shrunk or enlarged into the top left of a grey square (3, size, size), and by how much."""
    scale = size / max(image.shape[-2:])
    height, width = (max(round(n * scale), 1) for n in image.shape[-2:])
    small = interpolate(image[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return pad(small, (0, size - width, 0, size - height), value=BARS), scale


def detect_keypoints(image: Tensor, networks: FaceNetworks) -> Tensor:
    """Keypoints (n, 4, 2) in pixels of what may be faces in a picture (3, H, W) in 0..1, the likeliest first."""
    square, scale = letterbox(image, networks.detector.config.input_size)
    logits, keypoints = networks.detector(square[None])
    scores = logits.sigmoid()
    peaks = (scores == max_pool2d(scores[:, None], 3, 1, 1)[:, 0]) & (scores > LIKELY)
    found = keypoints[peaks] * square.shape[-1] / scale
    kept: list[Tensor] = []
    for points in found[scores[peaks].argsort(descending=True)]:
        reach = NEIGHBOUR * (points[:2].mean(0) - points[3]).norm()
        if all((points - known).norm(dim=-1).mean() > reach for known in kept):
            kept.append(points)
    return torch.stack(kept) if kept else found[:0]
