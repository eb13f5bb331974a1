"""The colours of what is painted into a mouth, from the light on the face.

They were fitted to photographs (smiles of 28 training portraits, two training people who speak freely) and to films of
GRID, whose contrast is low: black is grey there, teeth are dim, and the tongue is as light as the lips. A picture
between the two gets colours between theirs, by how black its black is (``light.veil``).
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..smooth import power
from ..types import FaceLight
from .light import dimness, veil
from .tongue import RESTING, TIP

# Colours in 0..1 for white skin.
GUMS = (0.72, 0.46, 0.45)
CAVITY = (0.89, 0.52, 0.46)  # relative to the cavity's brightness
EYES_BRIGHTNESS = 0.4  # exponent by which the brightness of teeth follows that of the whites of the eyes
FLESH_BRIGHTNESS = 0.6  # exponent by which that of gums, cavity and tongue follows that of the skin
WARMTH = (0.7, 1.0, 1.15)  # exponents of a shadow per channel: dim light is reddened by the lips
BRIGHTEST = 0.97
SEEN_LIGHT = 0.9  # light on those painted teeth that are as bright as the ones seen in a portrait


@dataclass(frozen=True)
class Palette:
    """What differs between photographs and films.

    teeth: colour for white skin. skin_brightness: exponent by which the brightness of teeth follows that of the skin.
    teeth_hue, flesh_hue: likewise their hue, and that of gums, cavity and tongue. warmth: of shadows on teeth, see
    ``warmed``. lower, cavity, tongue: light on the lower teeth, relative to the upper ones, on the cavity, and on the
    tongue at rest.
    """

    teeth: tuple[float, float, float]
    skin_brightness: float
    teeth_hue: float
    flesh_hue: float
    warmth: float
    lower: float
    cavity: float
    tongue: float


PHOTOGRAPH = Palette((1.22, 1.17, 1.12), 0.2, 0.12, 0.2, 0.4, 0.95, 0.08, 0.6)
FILM = Palette((1.11, 1.06, 1.01), 0.4, 0.28, 0.6, 1.0, 0.76, 1.3, 1.6)


@dataclass(frozen=True)
class MouthColours:
    """Colours (3, 1, 1) in 0..1 of what is in a mouth; tip: of a raised tongue, where it has most light.

    lower: () light on the lower teeth, relative to the upper ones. warmth: () of shadows on teeth, see ``warmed``.
    """

    teeth: Tensor
    gums: Tensor
    cavity: Tensor
    tongue: Tensor
    tip: Tensor
    lower: Tensor
    warmth: Tensor


def mouth_colours(
    light: FaceLight, white: tuple[float, float, float], dark: float, teeth: Tensor | None = None
) -> MouthColours:
    """Return the colours of a mouth in the light on a face.

    white, dark: see ``teeth.MouthLook``. teeth: (3, 1, 1) colour of the person's own teeth, where they are seen.
    """
    palette = _palette(light)
    skin = light.skin / light.colour  # as it would be in white light
    dimmed = dimness(light) ** (1 - FLESH_BRIGHTNESS)
    flesh = dimmed * skin[1] ** FLESH_BRIGHTNESS * (skin / skin[1]) ** palette["flesh_hue"] * light.colour

    def lit(colour: tuple[float, float, float]) -> Tensor:
        return flesh * flesh.new_tensor(colour)[:, None, None]

    if teeth is None:
        teeth = teeth_colour(light) * flesh.new_tensor(white)[:, None, None]
    else:
        teeth = teeth / torch.maximum(teeth.amax() / BRIGHTEST, teeth.new_tensor(SEEN_LIGHT))
    cavity = lit(CAVITY) * dark * warmed(palette["cavity"])
    tongue = lit(RESTING) * warmed(palette["tongue"])
    return MouthColours(teeth, lit(GUMS), cavity, tongue, lit(TIP), palette["lower"], palette["warmth"])


def teeth_colour(light: FaceLight) -> Tensor:
    """Return the colour (3, 1, 1) in 0..1 of front teeth on which no shadow falls."""
    palette = _palette(light)
    skin = light.skin / light.colour
    brightness = skin[1] ** palette["skin_brightness"] * light.eye_white**EYES_BRIGHTNESS
    # These exponents are of differences between people. Less light makes everything darker alike.
    brightness = brightness * dimness(light) ** (1 - palette["skin_brightness"] - EYES_BRIGHTNESS)
    hue = (skin / skin[1]) ** palette["teeth_hue"] * light.colour
    return (brightness * hue * palette["teeth"][:, None, None]).clamp_max(BRIGHTEST)


def warmed(light: Tensor, warmth: float | Tensor = 1.0) -> Tensor:
    """Return the colours of a light in 0..1 inside a mouth, (..., 1, h, w) or (): (..., 3, h, w).

    warmth: () how far dim light is red, in 0..1.
    """
    return power(light, 1 + (light.new_tensor(WARMTH)[:, None, None] - 1) * warmth)


def _palette(light: FaceLight) -> dict[str, Tensor]:
    """Return the fields of the ``Palette`` for a face in this light."""
    film, of_film = veil(light), asdict(FILM)
    return {
        name: film.new_tensor(value).lerp(film.new_tensor(of_film[name]), film)
        for name, value in asdict(PHOTOGRAPH).items()
    }
