"""Rendering of the teeth pictures from ICT-FaceKit, and random variations of the mouth interior."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from ...compositing.teeth import DETAIL, HALF_WIDTH, REACH, Dentition, MouthLook
from ...output_files import make_folder
from ...tensor_files import write_tensors
from ..data.clips import uniform
from ..face.ict import read_ict

PUPILS = 0.756  # pupil distance of an average face, in eye distances
TEETH_WIDTH = 0.85  # scale of the model's teeth: the six upper front teeth then span 0.7 of an average mouth's width
FRONT = 0.08  # maximum distance from the midline at which the incisal edge is measured, in eye distances
GUM_DEPTH = 0.06  # eye distances from the nearest tooth; the model's gum material beyond is tongue and cheeks
SUN = (0.0, -0.35, -0.94)  # direction to the light: from above and the camera
AMBIENT = 0.35  # ambient light, which also reaches surfaces facing away
DEPTH_FADE = 4.0  # exponential falloff of light behind the front teeth, per eye distance
RELIEF = 0.6  # exponent of the light, because lips and tongue throw light where the sun does not reach
TOUCHING, GAP_LIGHT = 5, 0.6  # pixels of gaps between teeth that are closed, because real ones touch; the light in them
LOST = (0.15, 0.3)  # range of depths behind the front teeth, in eye distances, over which the teeth fade out


def random_mouth(generator: Generator) -> MouthLook:
    """Return a random mouth look."""

    def between(low: float, high: float) -> float:
        return float(uniform(low, high, generator))

    bright, yellow = between(0.92, 1.08), between(0, 1)
    return MouthLook(
        size=between(0.9, 1.1),
        upper=between(0.0, 0.03),
        lower=between(-0.015, 0.015),
        white=(bright, bright * (1 - 0.02 * yellow), bright * (1 - 0.1 * yellow)),
        dark=between(0.15, 0.5),
        shade=between(0.4, 0.65),
        flesh=between(0.7, 1.0),
    )


def read_dentition(path: Path) -> Dentition:
    """Render both rows of teeth from an ICT-FaceKit .npz.

    Its arrays: V (vertices in cm; axes right, up, towards the camera), F (faces), M (materials).
    """
    vertices, faces, materials = read_ict(path, "VFM")
    corners = faces[..., 0]
    eyes = [vertices[corners[materials == f"M_Sclera{side}"]].reshape(-1, 3) for side in ("Left", "Right")]
    left, right = ((eye.min(0) + eye.max(0)) / 2 for eye in eyes)
    unit = np.linalg.norm(left - right) / (PUPILS * TEETH_WIDTH)
    points = vertices * np.array((1, -1, -1)) / unit
    teeth, gums = corners[materials == "M_Teeth"], corners[materials == "M_GumsTongue"]
    middles = points[teeth].mean(1)
    pieces = _pieces(teeth, len(points))
    heights = {piece: middles[pieces == piece, 1].mean() for piece in np.unique(pieces)}
    between = (min(heights.values()) + max(heights.values())) / 2
    is_lower = np.array([heights[piece] > between for piece in pieces])
    distances = torch.cdist(torch.from_numpy(points[gums].mean(1)).float(), torch.from_numpy(middles).float())
    near, nearest = (t.numpy() for t in distances.min(1))
    pictures = []
    for lower in (False, True):
        own = teeth[is_lower == lower]
        flesh = gums[(is_lower[nearest] == lower) & (near < GUM_DEPTH)]
        front = points[np.unique(own)]
        middle = front[np.abs(front[:, 0]) < FRONT]
        edge = middle[:, 1].min() if lower else middle[:, 1].max()
        origin = np.array((0.0, edge, middle[:, 2].min()))
        pictures.append(_softened(_render(points - origin, own, flesh)))
    return Dentition(*pictures)


def _softened(picture: Tensor) -> Tensor:
    """Return teeth and gums (4, h, w) in softer light, and without gaps between neighbouring teeth."""
    alphas = picture[2:]
    light, gums = alphas * (picture[:2] / alphas.clamp_min(1e-3)).clamp(0, 1) ** RELIEF
    alpha, gums_alpha = alphas
    wider = max_pool2d(alpha[None], (1, TOUCHING), 1, (0, TOUCHING // 2))
    closed = torch.maximum(-max_pool2d(-wider, (1, TOUCHING), 1, (0, TOUCHING // 2))[0], alpha)
    light = light + (closed - alpha) * GAP_LIGHT
    beside = (1 - closed) / (1 - alpha).clamp_min(1e-3)
    return torch.stack((light, gums * beside, closed, gums_alpha * beside))


def _pieces(triangles: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Label the connected components of triangles (T, 3): (T,), each by its lowest vertex index."""
    label = np.arange(count)
    while True:
        merged = label.copy()
        np.minimum.at(merged, triangles, label[triangles].min(1, keepdims=True).repeat(3, 1))
        if (merged == label).all():
            return np.asarray(label[triangles[:, 0]])
        label = merged


def _render(points: NDArray[np.float64], teeth: NDArray[np.int32], gums: NDArray[np.int32]) -> Tensor:
    """Render triangles (T, 3) of points (V, 3), in eye distances from the incisal edge: (4, h, w) of ``Dentition``."""
    triangles = np.concatenate((teeth, gums))
    a, b, c = (points[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], faces)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    light = AMBIENT + (1 - AMBIENT) * (normals @ np.array(SUN)).clip(0, 1)
    light *= np.exp(-DEPTH_FADE * points[:, 2].clip(0))
    covers = ((LOST[1] - points[:, 2]) / (LOST[1] - LOST[0])).clip(0, 1)
    fine = 2 * DETAIL
    height, width = round(2 * REACH * fine), round(2 * HALF_WIDTH * fine)
    pixels = points[:, :2] * fine + np.array((width / 2, height / 2))
    depth = np.full((height, width), np.inf)
    picture = np.zeros((4, height, width), np.float32)
    for number, corners in enumerate(triangles):
        (x0, y0), (x1, y1), (x2, y2) = pixels[corners]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        left, right = max(int(min(x0, x1, x2)), 0), min(int(max(x0, x1, x2)) + 1, width)
        top, bottom = max(int(min(y0, y1, y2)), 0), min(int(max(y0, y1, y2)) + 1, height)
        if left >= right or top >= bottom or abs(area) < 1e-9:
            continue
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
        u = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
        v = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
        weights = np.stack((1 - u - v, u, v))
        z = np.tensordot(points[corners, 2], weights, 1)
        region = (slice(top, bottom), slice(left, right))
        visible = (weights >= 0).all(0) & (z < depth[region])
        depth[region][visible] = z[visible]
        is_gum = int(number >= len(teeth))
        patch = picture[:, region[0], region[1]]
        patch[:, visible] = 0
        patch[is_gum, visible] = np.tensordot((light * covers)[corners], weights, 1)[visible]
        patch[2 + is_gum, visible] = np.tensordot(covers[corners], weights, 1)[visible]
    return avg_pool2d(torch.from_numpy(picture), 2)


def save_dentition(dentition: Dentition, path: Path) -> None:
    """Write the pictures in 8 bits."""
    pictures = {"upper": dentition.upper, "lower": dentition.lower}
    make_folder(path.parent)
    write_tensors(path, {name: (picture * 255).round().byte() for name, picture in pictures.items()})
