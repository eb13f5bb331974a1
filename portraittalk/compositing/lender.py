"""Choosing the picture that lends the inside of its mouth to a portrait, and matching it to the portrait."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..face.rigid import rigid_fit
from ..motion.geometry import lip_aperture
from ..types import CloseUp, FaceLight, LentMouth
from .lent_mouth import ABOVE, DETAIL, lent_mouth
from .light import LEAST, without_glare
from .mouth import LIGHT, PARTED
from .mouth_inside import mouth_inside
from .mouth_window import PIXEL_BLUR, view_of

OPEN = 0.04  # smallest lip aperture of a picture that lends its mouth
SAME_BLACK = 0.08  # difference of the blacks of two pictures that is not seen for certain
FLESH = 0.6  # brightness relative to a mouth's brightest below which nothing counts as a tooth
BRIGHTEST = 0.98  # quantile that is taken for the brightest


def may_lend(landmarks: Tensor, portrait: Tensor) -> bool:
    """Return whether the mouth of a face (478, 3) is open enough to show what that of the portrait does not."""
    return float(lip_aperture(landmarks)) >= max(float(lip_aperture(portrait)) + PARTED, OPEN)


def lender(close_ups: dict[int, CloseUp], portrait: CloseUp, crop_size: float, mean: Tensor) -> tuple[int, CloseUp]:
    """Return the number of the picture that lends its mouth, and its close-up in the light of the portrait.

    It is the one that shows most of its teeth, at the best resolution and most from the front. close_ups: of pictures
    that may lend theirs, at least one, by their numbers. mean: (478, 3) the average frontal face.
    """
    found: list[tuple[float, int, CloseUp]] = []
    for number, other in close_ups.items():
        shown = replace(other, picture=relit(other.picture, other.light, portrait.light))
        view = view_of(shown, crop_size)
        view = replace(view, inside=mouth_inside(view))
        lent = lent_mouth(view, portrait.landmarks, mean, softer(other, portrait))
        facing = float(rigid_fit(mean, other.landmarks)[0][2, 2])
        score = shown_teeth(lent) * min(other.density / portrait.density, 1) * facing
        found.append((score, number, replace(shown, inside=view.inside, lent=lent)))
    _, number, chosen = max(found, key=lambda one: one[0])
    return number, chosen


def relit(picture: Tensor, light: FaceLight, onto: FaceLight) -> Tensor:
    """Return a picture (3, h, w) of a face in ``light`` as it would be in the light ``onto``.

    Skin gets the same colour. Black is lifted or lowered only where it differs by more than ``SAME_BLACK``.
    """
    gain = (onto.skin / light.skin.clamp_min(LEAST)).clamp(*LIGHT)
    matched, black = without_glare(picture, light.glare) * gain, light.black * gain
    differs = onto.black - black
    lifted = differs.sign() * (differs.abs() - SAME_BLACK).clamp_min(0)
    matched = matched + lifted * (onto.skin - matched) / (onto.skin - black).clamp_min(LEAST)
    return (onto.glare + (1 - onto.glare) * matched).clamp(0, 1)


def softer(other: CloseUp, portrait: CloseUp) -> float:
    """Return the standard deviation in pixels of the blur that makes a close-up no sharper than the portrait's."""
    return PIXEL_BLUR * math.sqrt(max(portrait.density**-2 - other.density**-2, 0.0))


def shown_teeth(lent: LentMouth) -> float:
    """Return the area that is as light as teeth in a lent mouth, in squared eye distances."""
    light, rows = lent.picture.mean(0), torch.arange(lent.picture.shape[1], device=lent.picture.device)
    y = (rows[:, None] + 0.5) / DETAIL - ABOVE
    within = (y > lent.top) & (y < lent.bottom) & (lent.columns > 0.5)
    if not within.any():
        return 0.0
    return float((light[within] > FLESH * light[within].quantile(BRIGHTEST)).sum()) / DETAIL**2
