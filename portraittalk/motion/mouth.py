"""What shows between opening lips.

A portrait with closed lips does not tell: there the warp has nothing but stretched lip. A further reference whose mouth
is open does: its mouth is warped into the frames (our own reading of the paper's several references); without one,
the network draws.
"""

import torch
from torch import Tensor

from ..face.draw import mouth_opening
from ..face.light import skin_colour
from ..face.warp import flow_between, warp
from ..smooth import smoothstep
from ..types import OpenMouth
from .geometry import SHOWS_TEETH, lip_aperture

PARTED = 0.03  # eye distances by which closed lips have to part for nothing of them to be left between
LIGHT = (0.5, 2.0)  # range of the factor that brings a reference into the portrait's light


def stretched_mouth(opening: Tensor, landmarks: Tensor, portrait_aperture: Tensor) -> Tensor:
    """How far each pixel inside of an open mouth is stretched lip, rather than what the portrait's own mouth shows.

    Of a portrait that shows no mouth of its own, all is stretched that opens by ``PARTED``; of one that does, the share
    by which it opens further. opening: (F, 1, S, S) in 0..1, the ``mouth_opening`` of landmarks: (F, 478, 3) in crop
    pixels; portrait_aperture: () -> (F, 1, S, S) in 0..1, with a soft edge.
    """
    asked = lip_aperture(landmarks)
    further = (asked - portrait_aperture) / PARTED
    wider = 1 - portrait_aperture / asked.clamp_min(1e-6)
    shows = smoothstep(portrait_aperture / SHOWS_TEETH - 0.5)  # half of it where training draws the line
    share = further.clamp(0, 1).lerp(wider.clamp(0, 1), shows)
    return opening * share[:, None, None, None]


def open_mouth(references: Tensor, landmarks: Tensor) -> OpenMouth | None:
    """The mouth of the reference whose lips are furthest apart, unless that is the portrait, or shows hardly more.

    references: (N, 3, S, S) in 0..1, the portrait first; landmarks: (N, 478, 3) in their pixels.
    """
    apertures = lip_aperture(landmarks)
    widest = int(apertures.argmax())
    if apertures[widest] < torch.clamp_min(apertures[0] + PARTED, SHOWS_TEETH):
        return None
    own, other = skin_colour(references[[0, widest]], landmarks[[0, widest]]).clamp_min(0.02)
    return OpenMouth((references[widest] * (own / other).clamp(*LIGHT)).clamp(0, 1), landmarks[widest])


def lend_mouth(
    warped: Tensor, landmarks: Tensor, portrait_aperture: Tensor, mouth: OpenMouth, flow_size: int
) -> tuple[Tensor, Tensor]:
    """The warped portrait (F, 3, S, S) with another reference's mouth where it opens further than its own by
    ``PARTED``, and how far each pixel is of that one, (F, 1, S, S) in 0..1: less where even its lips are stretched."""
    size, asked = warped.shape[-1], lip_aperture(landmarks)
    reach = (lip_aperture(mouth.landmarks) / asked.clamp_min(1e-6)).clamp_max(1)
    share = ((asked - portrait_aperture) / PARTED).clamp(0, 1) * reach
    lent = mouth_opening(landmarks, size) * share[:, None, None, None]
    other = warp(mouth.picture, flow_between(mouth.landmarks, landmarks, size, flow_size))
    return warped.lerp(other, lent), lent
