"""The inside of a mouth, painted: what a photograph with closed lips cannot show when its lips are made to open.

Teeth are where anatomy puts them: the upper ones fixed to the skull, the lower ones to the jaw, the lips sliding over
both. Two small pictures of them, rendered once from the front out of ICT-FaceKit (MIT), are placed
into every frame, lit as the portrait's skin is. Cutting the picture out along the inner lips is the caller's part.

Our own addition to the paper: the latents of a small autoencoder do not hold a row of teeth, and what is behind closed
lips nobody knows, so a network by itself learns a haze between all mouths that it has seen.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_INNER_UPPER
from ..models.face_basis import FaceBasis
from ..motion.geometry import CENTRAL_LIPS, lip_aperture
from ..smooth import smoothstep
from ..types import Identity, Movable
from .light import skin_colour
from .openings import height_over

SHIPPED = Path(__file__).parents[1] / "assets" / "face" / "teeth.safetensors"
CHIN = (152, 148, 377, 176, 400)  # what the lower teeth move with
HALF_WIDTH, REACH = 0.4, 0.2  # eye distances shown beside, and above and below, the middle of the incisal edge
DETAIL = 400  # pixels of such a picture per eye distance
CLOSED = 0.01  # eye distances between lips that meet, as they are tracked
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
    upper: float = 0.03
    lower: float = 0.01
    white: tuple[float, float, float] = (1.0, 0.98, 0.95)
    dark: float = 0.3
    shade: float = 0.72
    flesh: float = 1.0


AVERAGE_MOUTH = MouthLook()


@dataclass(frozen=True)
class Dentition(Movable):
    """Pictures of the upper and the lower teeth, seen from the front: (4, h, w) in 0..1 at ``DETAIL``, the middle of
    the incisal edge at their centre. Channels: light on the teeth and on the gums, each times how much of the pixel
    they cover; how much teeth and gums cover."""

    upper: Tensor
    lower: Tensor


@lru_cache(maxsize=4)
def load_dentition(path: Path = SHIPPED, device: torch.device | str = "cpu") -> Dentition:
    """The teeth that ``portraittalk train teeth`` rendered: those that ship, unless another file is given."""
    pictures = {name: picture.to(device).float() / 255 for name, picture in load_file(path).items()}
    return Dentition(**pictures)


def painted_mouth(identity: Identity, landmarks: Tensor, basis: FaceBasis) -> Tensor:
    """The inside of the average mouth for a portrait's frames: landmarks (F, 478, 3) in crop pixels -> (F, 3, S, S) in
    0..1, right around the lips alone."""
    portrait = identity.references[:1]
    skin = skin_colour(portrait, identity.landmarks[None])[0]
    dentition = load_dentition(device=landmarks.device)
    return mouth_interior(dentition, identity.landmarks, landmarks, skin, portrait.shape[-1], basis.mean)


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

    rest: (478, 3) the portrait's landmarks in crop pixels; moved: (F, 478, 3) those of the frames. skin: (3,) the mean
    colour of its cheeks in 0..1. basis_mean: (478, 3), the average frontal face in eye distances.
    """
    skin = skin.reshape(3).clamp(0.02, 1)
    facing, unit, offset = rigid_fit(basis_mean, rest)
    face = undo_rigid(rest, facing, unit, offset)
    detail = 2 * float(unit) * look.size  # pixels of what is painted, per eye distance of the teeth
    facing, pixels, offset = rigid_fit(face.expand(len(moved), -1, -1), moved)
    frontal = undo_rigid(moved, facing, pixels, offset)
    opened = (lip_aperture(rest) - CLOSED).clamp_min(0)
    jaw = frontal[:, CHIN, 1].mean(1) - face[CHIN, 1].mean() + opened
    jaw = (jaw + (jaw.square() + SOFT_STOP**2).sqrt() - SOFT_STOP) / 2
    lips = face[[point for pair in CENTRAL_LIPS for point in pair]].mean(0) + face.new_tensor((0, 0, BEHIND_LIPS))
    lips[1] -= opened / 2  # where they would meet

    flesh_light = skin**FLESH_LIGHT
    cavity = flesh_light * skin.new_tensor(CAVITY) * look.dark
    canvas = cavity[:, None, None].expand(len(moved), -1, size, size).clone()
    lip_points = moved[:, LIPS_INNER, :2].flatten(0, 1)
    low, high = (t.clamp(0, size).long().tolist() for t in (lip_points.amin(0) - MARGIN, lip_points.amax(0) + MARGIN))
    if low[0] >= high[0] or low[1] >= high[1]:
        return canvas
    rows, columns = (torch.arange(2 * low[k], 2 * high[k], device=moved.device) / 2 + 0.25 for k in (1, 0))
    x, y = _on_teeth(rows, columns, facing, pixels, offset, lips)  # (F, rows, columns)
    upper, lower = (
        _drawn(picture, x / look.size, (y - below) / look.size, detail)
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
