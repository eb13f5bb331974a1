"""Painting the inside of a mouth, which a photograph with closed lips does not show when the lips are opened.

Teeth move as in anatomy: the upper ones with the skull, the lower ones with the jaw, and the lips slide over both. Two
small pictures of them, rendered once from the front of ICT-FaceKit (MIT), are placed into every frame and lit like the
portrait's skin. The caller masks the picture by the inner lips.

This is our own addition to the paper: the latents of a small autoencoder cannot represent a row of teeth, and closed
lips do not determine the mouth behind them, so a network learns a blurred average of the mouths in its training data.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..face.rigid import rigid_fit, undo_rigid
from ..face.topology import LIPS_INNER, LIPS_INNER_UPPER
from ..models.face_basis import FaceBasis
from ..motion.geometry import CENTRAL_LIPS
from ..smooth import smoothstep
from ..types import FaceLight, Identity, LentMouth, Movable, Tongue
from .light import face_light, without_glare
from .mouth_colours import mouth_colours, warmed
from .openings import height_over
from .planes import halved
from .tongue import behind_teeth, raised_tongue, resting_tongue
from .tooth_row import CHIN, lowered_jaw, on_row, row_of_teeth

SHIPPED = Path(__file__).parents[1] / "assets" / "face" / "teeth.safetensors"
HALF_WIDTH, REACH = 0.4, 0.2  # half width and half height of the pictures in eye distances, about the incisal edge
DETAIL = 400  # resolution of the pictures in pixels per eye distance
LOWER_SEEN = 0.07  # eye distances of the lower teeth that stand out of the lower lip at most
SHADOW_REACH = 0.065  # eye distances below the upper lip at which its shadow ends
GOES_ON = 0.02  # eye distances above another picture's lip over which its teeth give way to painted ones
MARGIN = 3  # pixels painted around the lips


@dataclass(frozen=True)
class MouthLook:
    """Parameters of a painted mouth; the defaults are those of the average mouth that is painted into portraits.

    size: of the teeth, relative to the average. upper, lower: eye distances of the incisal edges below the line at
    which closed lips meet. white: the teeth's colour relative to the usual one. dark: the cavity's brightness. shade:
    light at the edge of the upper lip. flesh: visibility of the tongue.
    """

    size: float = 1.0
    upper: float = 0.03
    lower: float = 0.01
    white: tuple[float, float, float] = (1.0, 0.98, 0.95)
    dark: float = 0.3
    shade: float = 0.5
    flesh: float = 1.0


AVERAGE_MOUTH = MouthLook()


@dataclass(frozen=True)
class Dentition(Movable):
    """Frontal pictures of the upper and the lower teeth, (4, h, w) in 0..1 at ``DETAIL``.

    The middle of the incisal edge is at the centre. Channels: light on the teeth and on the gums, each premultiplied by
    their alpha; alpha of the teeth and of the gums.
    """

    upper: Tensor
    lower: Tensor


@lru_cache(maxsize=4)
def load_dentition(path: Path = SHIPPED, device: torch.device | str = "cpu") -> Dentition:
    """Load teeth rendered by ``portraittalk train teeth``, by default the shipped ones."""
    pictures = {name: picture.to(device).float() / 255 for name, picture in load_file(path).items()}
    return Dentition(**pictures)


def painted_mouth(identity: Identity, landmarks: Tensor, basis: FaceBasis, tongue: Tongue | None = None) -> Tensor:
    """Paint the average mouth for a portrait's frames: (F, 3, S, S) in 0..1, valid only around the lips.

    landmarks: (F, 478, 3) of the frames, in crop pixels. tongue: of the frames, by default at rest.
    """
    portrait = identity.references[:1]
    light, size = face_light(portrait[0], identity.landmarks), portrait.shape[-1]
    dentition = load_dentition(device=landmarks.device)
    return mouth_interior(dentition, identity.landmarks, landmarks, light, size, basis.mean, tongue=tongue)


def mouth_interior(
    dentition: Dentition,
    rest: Tensor,
    moved: Tensor,
    light: FaceLight,
    size: int,
    basis_mean: Tensor,
    look: MouthLook = AVERAGE_MOUTH,
    teeth: Tensor | None = None,
    tongue: Tongue | None = None,
    upper_share: float | Tensor = 1.0,
    lower_share: float | Tensor = 1.0,
    lent: LentMouth | None = None,
) -> Tensor:
    """Paint the mouth interior of a moving portrait: (F, 3, size, size) in 0..1, valid only around the lips.

    rest: (478, 3) landmarks of the portrait, in crop pixels; moved: (F, 478, 3) those of the frames. light: on its
    face. basis_mean: (478, 3) the average frontal face in eye distances. teeth: (3, 1, 1) colour of the portrait's
    own, where it shows some. tongue: of the frames, by default at rest. upper_share, lower_share: () how far the teeth
    are painted, in 0..1; beside the portrait's own they would be a second row. lent: another picture's mouth that is
    shown over this one: what is painted goes on where that ends.
    """
    face, lips, unit, opened = row_of_teeth(basis_mean, rest)
    detail = 2 * float(unit) * look.size  # painted pixels per eye distance of the teeth
    facing, pixels, offset = rigid_fit(face.expand(len(moved), -1, -1), moved)
    frontal = undo_rigid(moved, facing, pixels, offset)
    jaw = lowered_jaw(frontal[:, CHIN, 1].mean(1) - face[CHIN, 1].mean() + opened)
    upper_at, lower_at = _incisal_edges(look, lent, face, opened)
    lower_edge = lower_at + jaw
    lower_lip = frontal[:, [low for _, low in CENTRAL_LIPS], 1].mean(1) - lips[1]
    lower_edge = torch.maximum(lower_edge, lower_lip - LOWER_SEEN)[:, None, None]

    own = None if teeth is None else without_glare(teeth, light.glare)
    colours = mouth_colours(light, look.white, look.dark, own)
    canvas = light.glare + (1 - light.glare) * colours.cavity.expand(len(moved), -1, size, size)
    lip_points = moved[:, LIPS_INNER, :2].flatten(0, 1)
    low, high = (t.clamp(0, size).long().tolist() for t in (lip_points.amin(0) - MARGIN, lip_points.amax(0) + MARGIN))
    if low[0] >= high[0] or low[1] >= high[1]:
        return canvas
    rows, columns = (torch.arange(2 * low[k], 2 * high[k], device=moved.device) / 2 + 0.25 for k in (1, 0))
    x, y = on_row(rows, columns, facing, pixels, offset, lips)  # (F, rows, columns)
    upper, lower = (
        _drawn(picture, x / look.size, (y - below) / look.size, detail)
        for picture, below in ((dentition.upper, upper_at), (dentition.lower, lower_edge))
    )
    half = (face[308, 0] - face[78, 0]) / 2
    corners = (1 - 0.4 * (x / half).square().clamp(0, 1) ** 2)[:, None]
    shadow = corners * _lip_shadow(moved, rows, columns, pixels, look.shade)
    aside = behind_teeth(x, facing)
    tip = None if tongue is None else raised_tongue(aside, y, upper_at, lower_edge, tongue)
    if lent is not None:
        upper_share, lower_share = _shares_beside(lent, x, y)
    picture = colours.cavity.lerp(colours.tongue, resting_tongue(aside, y - lower_edge) * look.flesh)
    if tip is not None:
        lit_tip = colours.tip * warmed(tip.light * shadow)
        picture = picture.lerp(lit_tip, tip.alpha)
    for layer, share, shade in ((lower, lower_share, colours.lower * shadow), (upper, upper_share, shadow)):
        lit = layer[:, 0:1] * colours.teeth + layer[:, 1:2] * colours.gums
        picture = picture * (1 - share * (layer[:, 2:3] + layer[:, 3:4])) + share * lit * warmed(shade, colours.warmth)
        if layer is lower and tip is not None:
            picture = picture.lerp(lit_tip, tip.over_teeth)
    picture = light.glare + (1 - light.glare) * halved(picture)
    canvas[:, :, low[1] : high[1], low[0] : high[0]] = picture
    return canvas.clamp(0, 1)


def _incisal_edges(
    look: MouthLook, lent: LentMouth | None, face: Tensor, opened: Tensor
) -> tuple[float | Tensor, float | Tensor]:
    """Return where the upper teeth end, and where the lower ones do with a closed jaw, below the lips' line.

    They are those that another picture shows, where it shows any. face, opened: see ``row_of_teeth``.
    """
    upper, lower = look.upper, look.lower
    if lent is None:
        return upper, lower
    middle = len(lent.columns) // 2
    jaw = lowered_jaw(lent.jaw - face[CHIN, 1].mean() + opened)
    return torch.lerp(lent.jaw.new_tensor(upper), lent.hanging[middle], lent.upper), (
        lent.standing[middle] - jaw if lent.stands else lower
    )


def _shares_beside(lent: LentMouth, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far upper and lower teeth are painted beside those of another picture, (F, 1, rows, columns) in 0..1.

    x, y: (F, rows, columns) on the row of teeth, see ``on_row``.
    """
    seen, top = lent.across(x, lent.columns), lent.across(x, lent.top)
    below = smoothstep((y - top) / GOES_ON + 1)  # what is above the other picture's lip is not known from it
    return (1 - seen * lent.upper * below)[:, None], (1 - seen * float(lent.stands))[:, None]


def _drawn(picture: Tensor, x: Tensor, y: Tensor, detail: float) -> Tensor:
    """Sample a picture of teeth (4, h, w) at x, y (F, rows, columns): (F, 4, rows, columns).

    x, y: in eye distances from its centre. detail: output pixels per eye distance, for antialiasing.
    """
    smooth = _reduced(picture, min(detail / DETAIL, 1.0))
    grid = torch.stack((x / HALF_WIDTH, y / REACH), -1)
    return grid_sample(smooth.expand(len(x), -1, -1, -1), grid, align_corners=False)


@lru_cache(maxsize=8)  # the same for all frames of a portrait
def _reduced(picture: Tensor, scale: float) -> Tensor:
    """Return a picture (4, h, w) at a lower resolution: (1, 4, scale * h, scale * w)."""
    size = [max(round(n * scale), 2) for n in picture.shape[-2:]]
    return interpolate(picture[None], size, mode="bilinear", antialias=True, align_corners=False)


def _lip_shadow(moved: Tensor, rows: Tensor, columns: Tensor, pixels: Tensor, shade: float) -> Tensor:
    """Return the light (F, 1, rows, columns) below the upper lip: ``shade`` at its edge, 1 far below it."""
    edge = height_over(moved[:, LIPS_INNER_UPPER, :2], columns.expand(len(moved), -1))
    away = (rows[:, None] - edge[:, None]) / (SHADOW_REACH * pixels[:, None, None])
    return (shade + (1 - shade) * smoothstep(away))[:, None]
