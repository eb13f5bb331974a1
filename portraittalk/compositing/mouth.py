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
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from ..motion.geometry import SHOWS_TEETH, lip_aperture
from ..smooth import smoothstep
from ..types import View
from .draw import mouth_opening
from .light import skin_colour
from .openings import height_over
from .warp import flow_between, warp

PARTED = 0.03  # eye distances by which closed lips have to part for nothing of them to be left between
MIN_BORROW_APERTURE = 0.08  # lip aperture from which a mouth has enough to give: a smile's row of teeth is a few pixels
FURTHER = 1.1  # times its opening at which a mouth is no longer stretched
ROWS = 17  # of a mouth that are compared
UPPER = (0.4, 1.0)  # of a mouth's height: where what belongs to the upper lip may end and the dark begin
DARK = 0.7  # times as bright as the brightest row of a mouth: what is darker lies behind the teeth
EDGE = 0.04  # eye distances over which that fades out
LEAST = 0.005  # eye distances that are added to openings before they are compared
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
    if apertures[widest] < torch.clamp_min(apertures[0] + PARTED, MIN_BORROW_APERTURE):
        return None
    own, other = skin_colour(references[[0, widest]], landmarks[[0, widest]]).clamp_min(0.02)
    return View((references[widest] * (own / other).clamp(*LIGHT)).clamp(0, 1), landmarks[widest])


def borrow_mouth(
    warped: Tensor, landmarks: Tensor, portrait: View, mouth: View | None, flow_size: int
) -> tuple[Tensor, Tensor]:
    """The warped portrait (F, 3, S, S) with what a picture shows of the mouth where the portrait's own is stretched,
    and how far each pixel is of that, (F, 1, S, S) in 0..1.

    landmarks: (F, 478, 3) of the frames; portrait: it and its own. mouth: another reference's, shown where lips open
    further than the portrait's own by ``PARTED``. Without one it is the portrait's own, if it shows any, which keeps
    its height where it opens ``FURTHER``.
    """
    size, asked, own = warped.shape[-1], lip_aperture(landmarks), lip_aperture(portrait.landmarks)
    if mouth is None:
        seen, known = warped, portrait
        share = shows_mouth(own) * _wider(asked, own)
    else:
        seen = warp(mouth.picture, flow_between(mouth.landmarks, landmarks, size, flow_size))
        known = mouth
        share = ((asked - own) / PARTED).clamp(0, 1)
    if not share.any():
        return warped, torch.zeros_like(warped[:, :1])
    seen, kept = unstretched(seen, landmarks, known)
    borrowed = mouth_opening(landmarks, size) * share[:, None, None, None] * kept
    return warped.lerp(seen, borrowed), borrowed


def unstretched(pictures: Tensor, landmarks: Tensor, known: View) -> tuple[Tensor, Tensor]:
    """Mouths that were stretched from that of a ``known`` picture, at their own height again: the upper teeth hang from
    the upper lip, what lies below the dark behind them stands on the lower one; and how far each pixel is of either,
    (F, 1, S, S) in 0..1. A mouth that opens no further than it did stays as it is.

    pictures: (F, 3, S, S); landmarks: (F, 478, 3) in their pixels.
    """
    size = pictures.shape[-1]
    centres = torch.arange(size, device=pictures.device) + 0.5
    at = centres.expand(len(pictures), -1)
    upper, lower = (landmarks[:, edge, :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, bottom = (height_over(edge, at)[:, None] for edge in (upper, lower))  # (F, 1, S)
    gap = (bottom - top).clamp_min(1e-3)
    by = _stretch(landmarks, known.landmarks)
    by = height_over(torch.stack((upper[..., 0], by), -1), at)[:, None]
    down = (centres[:, None] - top) / gap  # (F, S, S), 0 at the upper lip, 1 at the lower one
    middle = _dark_row(known)
    hanging, standing = middle / by, 1 - (1 - middle) / by  # down to where, and from where on, something is known
    is_upper = (down < (hanging + standing) / 2) | (middle == 1)
    from_where = torch.where(is_upper, (down * by).clamp_max(1), 1 - (1 - down) * by)
    beyond = torch.where(is_upper, down - hanging, standing - down) * gap
    inside = (down > 0) & (down < 1)
    y = torch.where(inside, top + from_where * gap, centres[:, None].expand_as(down))
    grid = torch.stack((centres.expand_as(y), y), -1) * (2 / size) - 1
    kept = 1 - smoothstep(beyond / (EDGE * eye_distance(landmarks)[:, None, None]))
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False), kept[:, None]


def _dark_row(known: View) -> float:
    """Where between the lips of a mouth it is darkest, as a share of its height from above: 1 where teeth fill it."""
    upper, lower = (known.landmarks[list(edge[3:-3]), :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    down = torch.linspace(0.1, 0.9, ROWS, device=upper.device)[:, None, None]
    at = upper + (lower - upper) * down  # (R, K, 2)
    seen = grid_sample(known.picture[None], at[None] * (2 / known.picture.shape[-1]) - 1, align_corners=False)
    rows = seen.mean((0, 1, 3))  # (R,)
    within = rows.where(down[:, 0, 0] > UPPER[0], rows.max())
    darkest = int(within.argmin())
    return float(down[darkest]) if within[darkest] < DARK * rows.max() else UPPER[1]


def _stretch(landmarks: Tensor, known: Tensor) -> Tensor:
    """How many times further lips are open along their length than in ``known`` landmarks (478, 3), at least 1:
    (F, K), K the points of each of their edges; the corners are as what is beside them."""
    heights = [
        (points[..., LIPS_INNER_LOWER, 1] - points[..., LIPS_INNER_UPPER, 1]) / eye_distance(points)[..., None]
        for points in (landmarks, known)
    ]
    by = ((heights[0] + LEAST) / (heights[1].clamp_min(0) + LEAST)).clamp_min(1)
    return torch.cat((by[:, 1:2], by[:, 1:-1], by[:, -2:-1]), 1)


def _wider(asked: Tensor, aperture: Tensor) -> Tensor:
    """How far ``asked`` lips are wider open than ``aperture``: 1 where they are ``FURTHER``."""
    return ((asked / aperture.clamp_min(1e-6) - 1) / (FURTHER - 1)).clamp(0, 1)
