"""What shows between opening lips.

A portrait with closed lips does not tell: there the warp has nothing but stretched lip. A further reference whose mouth
is open does: its mouth is warped into the frames (our own reading of the paper's several references); without one,
the network draws, over whose picture a mouth is painted (``teeth``). What a picture shows of a mouth keeps its height
where lips open further than in it.
"""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..face.align import eye_distance
from ..face.draw import mouth_opening
from ..face.light import skin_colour
from ..face.openings import height_over
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from ..face.warp import flow_between, warp
from ..smooth import smoothstep
from ..types import View
from .geometry import SHOWS_TEETH, lip_aperture

PARTED = 0.03  # eye distances by which closed lips have to part for nothing of them to be left between
FURTHER = 1.1  # times its opening at which a mouth is no longer stretched
UPPER = 0.6  # of the height of a mouth that opens further: what stays at the upper lip; the rest stays at the lower one
EDGE = 0.04  # eye distances over which that fades out
LIGHT = (0.5, 2.0)  # range of the factor that brings a reference into the portrait's light


def shows_mouth(aperture: Tensor) -> Tensor:
    """How far a picture of so open lips shows what is behind them, in 0..1."""
    return smoothstep(2 * aperture / SHOWS_TEETH - 1)


def stretched_mouth(opening: Tensor, landmarks: Tensor, portrait_aperture: Tensor) -> Tensor:
    """How far each pixel inside of an open mouth is stretched, rather than what the portrait's own mouth shows.

    Of a portrait that shows no mouth of its own, all is stretched lip that opens by ``PARTED``; of one that does, all
    is stretched that opens ``FURTHER``. opening: (F, 1, S, S) in 0..1, the ``mouth_opening`` of landmarks:
    (F, 478, 3) in crop pixels; portrait_aperture: () -> (F, 1, S, S) in 0..1, with a soft edge.
    """
    asked = lip_aperture(landmarks)
    parted = ((asked - portrait_aperture) / PARTED).clamp(0, 1)
    share = parted.lerp(_wider(asked, portrait_aperture), shows_mouth(portrait_aperture))
    return opening * share[:, None, None, None]


def open_mouth(references: Tensor, landmarks: Tensor) -> View | None:
    """The mouth of the reference whose lips are furthest apart, unless that is the portrait, or shows hardly more.

    references: (N, 3, S, S) in 0..1, the portrait first; landmarks: (N, 478, 3) in their pixels.
    """
    apertures = lip_aperture(landmarks)
    widest = int(apertures.argmax())
    if apertures[widest] < torch.clamp_min(apertures[0] + PARTED, SHOWS_TEETH):
        return None
    own, other = skin_colour(references[[0, widest]], landmarks[[0, widest]]).clamp_min(0.02)
    return View((references[widest] * (own / other).clamp(*LIGHT)).clamp(0, 1), landmarks[widest])


def lend_mouth(
    warped: Tensor, landmarks: Tensor, portrait_aperture: Tensor, mouth: View | None, flow_size: int
) -> tuple[Tensor, Tensor]:
    """The warped portrait (F, 3, S, S) with what a picture shows of the mouth where the portrait's own is stretched,
    and how far each pixel is of that, (F, 1, S, S) in 0..1.

    mouth: another reference's, shown where lips open further than the portrait's own by ``PARTED``. Without one it is
    the portrait's own, if it shows any, which keeps its height where it opens ``FURTHER``.
    """
    size, asked = warped.shape[-1], lip_aperture(landmarks)
    if mouth is None:
        seen, known = warped, portrait_aperture
        share = shows_mouth(portrait_aperture) * _wider(asked, portrait_aperture)
    else:
        seen, known = (
            warp(mouth.picture, flow_between(mouth.landmarks, landmarks, size, flow_size)),
            lip_aperture(mouth.landmarks),
        )
        share = ((asked - portrait_aperture) / PARTED).clamp(0, 1)
    if not share.any():
        return warped, torch.zeros_like(warped[:, :1])
    seen, kept = unstretched(seen, landmarks, asked / known.clamp_min(1e-6))
    lent = mouth_opening(landmarks, size) * share[:, None, None, None] * kept
    return warped.lerp(seen, lent), lent


def unstretched(pictures: Tensor, landmarks: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    """Mouths that are stretched ``by`` a factor (F,), at their own height again: the upper part of each hangs from the
    upper lip, the lower part stands on the lower one; and how far each pixel is of either, (F, 1, S, S) in 0..1.

    pictures: (F, 3, S, S); landmarks: (F, 478, 3) in their pixels. A factor below 1 leaves them as they are.
    """
    size, by = pictures.shape[-1], by.clamp_min(1)[:, None, None]
    centres = torch.arange(size, device=pictures.device) + 0.5
    edges = (landmarks[:, list(edge), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, bottom = (height_over(edge, centres.expand(len(edge), -1))[:, None] for edge in edges)  # (F, 1, S)
    gap = (bottom - top).clamp_min(1e-3)
    down = (centres[:, None] - top) / gap  # (F, S, S), 0 at the upper lip, 1 at the lower one
    hanging, standing = UPPER / by, 1 - (1 - UPPER) / by  # down to where, and from where on, something is known
    is_upper = down < (hanging + standing) / 2
    from_where = torch.where(is_upper, down * by, 1 - (1 - down) * by)
    beyond = torch.where(is_upper, down - hanging, standing - down) * gap
    inside = (down > 0) & (down < 1)
    y = torch.where(inside, top + from_where * gap, centres[:, None].expand_as(down))
    grid = torch.stack((centres.expand_as(y), y), -1) * (2 / size) - 1
    kept = 1 - smoothstep(beyond / (EDGE * eye_distance(landmarks)[:, None, None]))
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False), kept[:, None]


def _wider(asked: Tensor, aperture: Tensor) -> Tensor:
    """How far ``asked`` lips are wider open than ``aperture``: 1 where they are ``FURTHER``."""
    return ((asked / aperture.clamp_min(1e-6) - 1) / (FURTHER - 1)).clamp(0, 1)
