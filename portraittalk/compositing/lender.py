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
TURNED = 28.0  # degrees from the camera from which it does not
SAME_BLACK = 0.08  # difference of the blacks of two pictures that is not seen for certain
FLESH = 0.6  # brightness relative to a mouth's brightest below which nothing counts as a tooth
BRIGHTEST = 0.98  # quantile that is taken for the brightest


def lender(close_ups: list[CloseUp], crop_size: float, basis_mean: Tensor) -> tuple[int, CloseUp] | None:
    """Return the number of the picture that lends its mouth, and its close-up in the portrait's light.

    It is the one that shows most of its teeth, at the best resolution and most from the front. close_ups: of all
    pictures of a person, the portrait's first. basis_mean: (478, 3) the average frontal face. None if no picture from
    the front is open by ``OPEN``, and by ``PARTED`` further than the portrait.
    """
    portrait, *others = close_ups
    least = max(float(lip_aperture(portrait.landmarks)) + PARTED, OPEN)
    found: list[tuple[float, int, CloseUp]] = []
    for number, other in enumerate(others, 1):
        turned = turned_by(other.landmarks, basis_mean)
        if float(lip_aperture(other.landmarks)) < least or turned > TURNED:
            continue
        shown = replace(other, picture=relit(other.picture, other.light, portrait.light))
        view = view_of(shown, crop_size)
        view = replace(view, inside=mouth_inside(view))
        lent = lent_mouth(view, portrait.landmarks, basis_mean, softer(other, portrait))
        shown = replace(shown, inside=view.inside, lent=lent)
        score = shown_teeth(lent) * min(other.density / portrait.density, 1) * math.cos(math.radians(turned))
        found.append((score, number, shown))
    if not found:
        return None
    _, number, chosen = max(found, key=lambda one: one[0])
    return number, chosen


def turned_by(landmarks: Tensor, basis_mean: Tensor) -> float:
    """Return the angle in degrees by which a face (478, 3) is turned from the camera."""
    return float(rigid_fit(basis_mean, landmarks)[0][2, 2].clamp(-1, 1).acos().rad2deg())


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
