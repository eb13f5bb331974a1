"""The inside of a mouth, painted: what a photograph with closed lips cannot show when its lips are made to open.

Training needs targets in which teeth are where anatomy puts them: the upper ones fixed to the skull, the lower ones to
the jaw, the lips sliding over both. The teeth and gums of ICT-FaceKit (MIT) are rendered once, from the front, into two
small pictures, which are then placed into every frame, lit as the portrait's skin is. Cutting the picture out along the
inner lips is the caller's part.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from ..face.openings import height_over
from ..face.topology import LIPS_INNER, LIPS_INNER_UPPER
from ..motion.basis import rigid_fit, undo_rigid
from ..smooth import smoothstep
from .data import uniform

CHIN = (152, 148, 377, 176, 400)  # what the lower teeth move with
PUPILS = 0.756  # eye distances between the pupils of an average face
TEETH_WIDTH = 0.85  # of the model's teeth, so that the six upper front teeth take 0.7 of an average mouth's width
HALF_WIDTH, REACH = 0.4, 0.2  # eye distances shown beside, and above and below, the middle of the incisal edge
DETAIL = 400  # pixels of such a picture per eye distance
FRONT = 0.08  # eye distances beside the middle within which the incisal edge is looked for
GUM_DEPTH = 0.06  # eye distances from the nearest tooth beyond which the model's gums are tongue and cheeks
SUN = (0.0, -0.35, -0.94)  # where the light comes from: above and the camera
AMBIENT = 0.35  # light that reaches what faces away
DEPTH_FADE = 4.0  # light lost behind the front teeth: exponent per eye distance
LOST = (0.15, 0.3)  # eye distances behind the front teeth between which the rest of the row vanishes in the dark
BEHIND_LIPS = 0.03  # eye distances from the lips' landmarks back to the front teeth
BEND = 3.0  # depth of the row of teeth in eye distances, over the square of how far beside the middle
SOFT_STOP = 0.005  # eye distances over which the jaw's rise above its rest is stopped
SHADOW_REACH = 0.05  # eye distances below the upper lip at which its shadow ends
MARGIN = 3  # pixels painted around the lips
LOWER_LIGHT = 0.8  # light on the lower teeth, over that on the upper

# Colours 0..1 in the light of a white skin. Nothing in a mouth takes on all of a skin's darkness: teeth the least.
TEETH, TEETH_LIGHT = (0.88, 0.86, 0.85), 0.28
GUMS = (0.72, 0.46, 0.45)
WARMTH = (0.8, 1.0, 1.05)  # exponents of the light on teeth: where it is dim, the lips redden it
TONGUE = (0.55, 0.32, 0.30)
CAVITY = (0.89, 0.52, 0.46)  # over the cavity's brightness
FLESH_LIGHT = 0.6


@dataclass(frozen=True)
class MouthLook:
    """In what mouths differ; as it stands, the one that is drawn into portraits which do not show theirs.

    size: of the teeth, over the average. upper, lower: eye distances of the incisal edges below the line at which
    closed lips meet. white: the teeth's colour over ``TEETH``; dark: the cavity's brightness. shade: the light that the
    upper lip leaves beneath it. flesh: how much of the tongue shows.
    """

    size: float = 1.0
    upper: float = 0.01
    lower: float = 0.01
    white: tuple[float, float, float] = (0.92, 0.90, 0.87)
    dark: float = 0.22
    shade: float = 0.6
    flesh: float = 0.95


AVERAGE_MOUTH = MouthLook()


def random_mouth(generator: Generator) -> MouthLook:
    """Somebody's mouth."""

    def between(low: float, high: float) -> float:
        return float(uniform(low, high, generator))

    bright, yellow = between(0.92, 1.08), between(0, 1)
    return MouthLook(
        size=between(0.9, 1.1),
        upper=between(0.0, 0.03),
        lower=between(-0.015, 0.015),
        white=(bright, bright * (1 - 0.02 * yellow), bright * (1 - 0.1 * yellow)),
        dark=between(0.15, 0.5),
        shade=between(0.6, 0.85),
        flesh=between(0.7, 1.0),
    )


@dataclass(frozen=True)
class Dentition:
    """Pictures of the upper and the lower teeth, seen from the front: (4, h, w) in 0..1 at ``DETAIL``, the middle of
    the incisal edge at their centre. Channels: light on the teeth and on the gums, each times how much of the pixel
    they cover; how much teeth and gums cover."""

    upper: Tensor
    lower: Tensor


def read_dentition(path: Path) -> Dentition:
    """path: the ICT-FaceKit arrays V (vertices, in cm, right, up and towards the camera), F and M (materials)."""
    with np.load(path) as arrays:
        vertices, corners, materials = arrays["V"], arrays["F"][..., 0], arrays["M"]
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
    apart = torch.cdist(torch.from_numpy(points[gums].mean(1)).float(), torch.from_numpy(middles).float())
    near, nearest = (t.numpy() for t in apart.min(1))
    pictures = []
    for lower in (False, True):
        own = teeth[is_lower == lower]
        flesh = gums[(is_lower[nearest] == lower) & (near < GUM_DEPTH)]
        front = points[np.unique(own)]
        middle = front[np.abs(front[:, 0]) < FRONT]
        edge = middle[:, 1].min() if lower else middle[:, 1].max()
        origin = np.array((0.0, edge, middle[:, 2].min()))
        pictures.append(_render(points - origin, own, flesh))
    return Dentition(*pictures)


def _pieces(triangles: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """To which connected piece each triangle (T, 3) belongs: (T,), named by the piece's lowest vertex."""
    name = np.arange(count)
    while True:
        lowest = name.copy()
        np.minimum.at(lowest, triangles, name[triangles].min(1, keepdims=True).repeat(3, 1))
        if (lowest == name).all():
            return np.asarray(name[triangles[:, 0]])
        name = lowest


def _render(points: NDArray[np.float64], teeth: NDArray[np.int32], gums: NDArray[np.int32]) -> Tensor:
    """Points (V, 3) in eye distances from the incisal edge, triangles (T, 3) -> the (4, h, w) of ``Dentition``."""
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
        seen = (weights >= 0).all(0) & (z < depth[region])
        depth[region][seen] = z[seen]
        is_gum = int(number >= len(teeth))
        patch = picture[:, region[0], region[1]]
        patch[:, seen] = 0
        patch[is_gum, seen] = np.tensordot((light * covers)[corners], weights, 1)[seen]
        patch[2 + is_gum, seen] = np.tensordot(covers[corners], weights, 1)[seen]
    return avg_pool2d(torch.from_numpy(picture), 2)


def mouth_interior(
    dentition: Dentition,
    rest: Tensor,
    moved: Tensor,
    skin: Tensor,
    size: int,
    basis_mean: Tensor,
    look: MouthLook = AVERAGE_MOUTH,
) -> Tensor:
    """What shows between the lips of a portrait that is moved: (F, 3, size, size) in 0..1, right around the lips alone.

    rest: (478, 3) the portrait's landmarks in crop pixels, its lips closed; moved: (F, 478, 3) those of the frames.
    skin: (3,) the mean colour of its cheeks in 0..1. basis_mean: (478, 3), the average frontal face in eye distances.
    """
    skin = skin.reshape(3).clamp(0.02, 1)
    facing, pixels, offset = rigid_fit(basis_mean, rest)
    face = undo_rigid(rest, facing, pixels, offset)
    facing, pixels, offset = rigid_fit(face.expand(len(moved), -1, -1), moved)
    frontal = undo_rigid(moved, facing, pixels, offset)
    jaw = frontal[:, CHIN, 1].mean(1) - face[CHIN, 1].mean()
    jaw = (jaw + (jaw.square() + SOFT_STOP**2).sqrt() - SOFT_STOP) / 2
    lips = face[list(LIPS_INNER)].mean(0) + face.new_tensor((0, 0, BEHIND_LIPS))

    flesh_light = skin**FLESH_LIGHT
    cavity = flesh_light * skin.new_tensor(CAVITY) * look.dark
    canvas = cavity[:, None, None].expand(len(moved), -1, size, size).clone()
    lip_points = moved[:, LIPS_INNER, :2].flatten(0, 1)
    low, high = (t.clamp(0, size).long().tolist() for t in (lip_points.amin(0) - MARGIN, lip_points.amax(0) + MARGIN))
    if low[0] >= high[0] or low[1] >= high[1]:
        return canvas
    rows, columns = (torch.arange(2 * low[k], 2 * high[k]) / 2 + 0.25 for k in (1, 0))
    x, y = _on_teeth(rows, columns, facing, pixels, offset, lips)  # (F, rows, columns)
    upper, lower = (
        _drawn(picture, x / look.size, (y - below) / look.size, 2 * float(pixels.mean() * look.size))
        for picture, below in ((dentition.upper, look.upper), (dentition.lower, look.lower + jaw[:, None, None]))
    )
    teeth = (skin**TEETH_LIGHT * skin.new_tensor(TEETH) * skin.new_tensor(look.white))[:, None, None]
    gums = (flesh_light * skin.new_tensor(GUMS))[:, None, None]
    below = y - look.lower - jaw[:, None, None]
    tongue = torch.exp(-((x / 0.17) ** 4) - ((below - 0.03) / 0.08) ** 2)[:, None] * look.flesh
    picture = cavity[:, None, None].lerp((flesh_light * skin.new_tensor(TONGUE))[:, None, None], tongue)
    half = (face[308, 0] - face[78, 0]) / 2
    corners = (1 - 0.4 * (x / half).square().clamp(0, 1) ** 2)[:, None]
    light = (corners * _lip_shadow(moved, rows, columns, pixels, look.shade)) ** skin.new_tensor(WARMTH)[:, None, None]
    for layer, share in ((lower, LOWER_LIGHT), (upper, 1.0)):
        lit = layer[:, 0:1] * teeth * share + layer[:, 1:2] * gums
        picture = picture * (1 - layer[:, 2:3] - layer[:, 3:4]) + lit * light
    canvas[:, :, low[1] : high[1], low[0] : high[0]] = avg_pool2d(picture, 2)
    return canvas.clamp(0, 1)


def _on_teeth(
    rows: Tensor, columns: Tensor, facing: Tensor, pixels: Tensor, offset: Tensor, lips: Tensor
) -> tuple[Tensor, Tensor]:
    """Where on the row of teeth each pixel looks: (F, rows, columns) in eye distances right of and below the lips.

    The row bends back at its sides, so that it turns with the head; the depth there is found by iteration.
    """
    linear = pixels[:, None, None] * facing[:, :2]  # (F, 2, 3)
    start = offset[:, :2] + (linear @ lips)
    inverse = torch.linalg.inv(linear[..., :2])
    towards = (inverse @ linear[..., 2:])[..., 0, None, None]  # (F, 2, 1, 1)
    right, down = (columns - start[:, :1])[:, None], (rows - start[:, 1:])[..., None]
    flat = [inverse[:, k, 0, None, None] * right + inverse[:, k, 1, None, None] * down for k in (0, 1)]
    depth = torch.zeros_like(flat[0])
    for _ in range(3):
        depth = BEND * (flat[0] - towards[:, 0] * depth).clamp(-0.2, 0.2).square()
    return flat[0] - towards[:, 0] * depth, flat[1] - towards[:, 1] * depth


def _drawn(picture: Tensor, x: Tensor, y: Tensor, detail: float) -> Tensor:
    """A picture of teeth (4, h, w) seen at x, y (F, rows, columns), in eye distances from its centre, where an eye
    distance takes ``detail`` pixels -> (F, 4, rows, columns)."""
    shrink = min(detail / DETAIL, 1.0)
    small = [max(round(n * shrink), 2) for n in picture.shape[-2:]]
    smooth = interpolate(picture[None], small, mode="bilinear", antialias=True, align_corners=False)
    grid = torch.stack((x / HALF_WIDTH, y / REACH), -1)
    return grid_sample(smooth.expand(len(x), -1, -1, -1), grid, align_corners=False)


def _lip_shadow(moved: Tensor, rows: Tensor, columns: Tensor, pixels: Tensor, shade: float) -> Tensor:
    """The light that the upper lip leaves: (F, 1, rows, columns), ``shade`` at its edge and 1 far below it."""
    edge = height_over(moved[:, LIPS_INNER_UPPER, :2], columns.expand(len(moved), -1))
    away = (rows[:, None] - edge[:, None]) / (SHADOW_REACH * pixels[:, None, None])
    return (shade + (1 - shade) * smoothstep(away))[:, None]
