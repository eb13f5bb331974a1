"""Estimating the lighting of a face, from its skin and from the whites of its eyes.

Skin alone does not tell light from complexion. The whites of the eyes are nearly the same in everybody, but narrow,
shaded or closed eyes do not show them, and they may be bloodshot. So the light is taken for warm or cold only if skin
and eyes agree that it is, by more than people differ.

The constants were fitted to 180 portraits of the training data, of which 40 show their teeth, and to two speakers.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from ..face import topology as mesh
from ..smooth import smoothstep
from ..types import FaceLight
from .draw import fill

SKIN = (50, 280, 205, 425, 199)  # landmarks on cheeks and chin, where the skin colour is sampled
EYES = ((mesh.EYE_RIGHT, mesh.IRIS_RIGHT), (mesh.EYE_LEFT, mesh.IRIS_LEFT))
IRIS_RIM = 1.15  # radius around an iris that is left out, in its radii
BRIGHTEST = 0.25  # share of an eye's pixels outside of its iris that is taken for its white
DARKEST = 0.03  # share of the pixels between the lids that is taken for black
DARK, BRIGHTER = 0.01, 1.3  # quantile of a crop, and how much brighter than it black may be: hair, nostrils, clothes
FEWEST = 12  # pixels of an eye that show a white
LEAST = 0.02  # smallest colour, before its logarithm is taken
SEEN = (0.45, 0.75)  # green of the whites relative to the skin's at which they are not, and surely, seen
EYE_WHITE, EYE_WHITE_LIGHT = 0.55, 0.42  # usual green of the whites: the first, times the skin's to the second power
FILM_BLACK, BLACK_LIGHT = 0.2, 0.6  # green of the darkest in GRID's films: the first, times the skin's to the second
GREYEST = 0.22  # black of the greyest films; more is a faded picture
DIM = (0.27, 0.24)  # green of the skin and of the whites of the eyes that are darker only in little light
# From the light of the sky to that of lamps, the logarithm of red rises by half of what that of blue falls.
RED_BY_BLUE = 0.5
# Warmth in that sense (0 for grey) of skin and of whites in white light: median, and how far people differ from it.
SKIN_WARMTH, WHITE_WARMTH = (0.34, 0.15), (0.15, 0.10)


def skin_colour(images: Tensor, landmarks: Tensor) -> Tensor:
    """Return the mean colour (F, 3, 1, 1) of cheeks and chin in images (F, 3, S, S), at landmarks (F, 478, 3)."""
    smooth = avg_pool2d(images, 9, stride=1, padding=4)
    where = landmarks[:, None, SKIN, :2] * (2 / images.shape[-1]) - 1
    return grid_sample(smooth, where, align_corners=False).mean(-1, keepdim=True)


def face_light(image: Tensor, landmarks: Tensor) -> FaceLight:
    """Estimate the light on a face in a crop (3, S, S), at landmarks (478, 3) in its pixels."""
    skin = skin_colour(image[None], landmarks[None])[0]
    return light_on(skin, eye_white(image, landmarks), black_level(image, landmarks))


def light_on(skin: Tensor, white: Tensor | None = None, black: Tensor | None = None) -> FaceLight:
    """Return the light on a face with this colour of skin (3, 1, 1).

    white: the colour (3,) of the whites of the eyes, if they are seen. black: see ``black_level``; unknown in pictures
    of the mouth alone, which are taken for films.
    """
    glare = skin.new_zeros(()) if black is None else ((black - GREYEST) / (1 - GREYEST)).clamp_min(0)
    skin = without_glare(skin, glare).clamp(LEAST, 1)
    usual = EYE_WHITE * skin[1, 0, 0] ** EYE_WHITE_LIGHT
    black = _film_black(skin) if black is None else without_glare(black, glare)
    if white is None:
        return FaceLight(skin, usual, torch.ones_like(skin), black, glare)
    white = without_glare(white, glare).clamp(LEAST, 1)
    sure = smoothstep((white[1] / skin[1, 0, 0] - SEEN[0]) / (SEEN[1] - SEEN[0]))
    of_skin, of_white = _beyond(skin.flatten(), *SKIN_WARMTH), _beyond(white, *WHITE_WARMTH)
    both = (of_skin.sign() + of_white.sign()) / 2 * torch.minimum(of_skin.abs(), of_white.abs())
    colour = (sure * both * skin.new_tensor((RED_BY_BLUE, 0.0, -1.0))).exp()
    return FaceLight(skin, usual * (white[1] / usual) ** sure, colour[:, None, None], black, glare)


def without_glare(colours: Tensor, glare: Tensor) -> Tensor:
    """Return colours of a picture as they are below a glare, see ``FaceLight``."""
    return (colours - glare) / (1 - glare)


def dimness(light: FaceLight) -> Tensor:
    """Return the light on a face relative to the least in which people usually are photographed, () in 0..1.

    Skin may be dark in much light, and eyes may be shaded: both must be darker than in anybody.
    """
    return torch.maximum(light.skin[1, 0, 0] / DIM[0], light.eye_white / DIM[1]).clamp_max(1)


def veil(light: FaceLight) -> Tensor:
    """Return how far a picture lifts black to grey (veiling glare), (): 0 is not at all, 1 as in GRID's films."""
    return (light.black / _film_black(light.skin)).clamp(0, 1)


def eye_white(image: Tensor, landmarks: Tensor) -> Tensor | None:
    """Return the colour (3,) of the whites of the eyes in a crop (3, S, S); None if the eyes show none.

    It is that of the eye with more light. landmarks: (478, 3) in the crop's pixels.
    """
    size = image.shape[-1]
    centres = torch.arange(size, device=image.device) + 0.5
    found = []
    for outline, iris in EYES:
        between_lids = fill(landmarks[None, outline, :2], size)[0] > 0.9
        middle = landmarks[iris[0], :2]
        radius = IRIS_RIM * (landmarks[list(iris[1:]), :2] - middle).norm(dim=-1).mean()
        outside = (centres - middle[0]).square() + (centres[:, None] - middle[1]).square() > radius**2
        pixels = image[:, between_lids & outside]
        count = pixels.shape[1]
        if count >= FEWEST:
            brightest = pixels.mean(0).topk(max(round(BRIGHTEST * count), 1)).indices
            found.append(pixels[:, brightest].mean(1))
    return torch.stack(found).amax(0) if found else None


def black_level(image: Tensor, landmarks: Tensor) -> Tensor:
    """Return the green () of what no light reaches in a crop (3, S, S): of pupils and lashes, or of hair and nostrils.

    Eyes that are nearly closed show neither of the first. landmarks: (478, 3) in the crop's pixels.
    """
    size = image.shape[-1]
    around = BRIGHTER * image[1].flatten().quantile(DARK)
    outlines = torch.stack([landmarks[list(outline), :2] for outline, _ in EYES])
    green = image[1][fill(outlines, size).amax(0) > 0.5]
    if len(green) < FEWEST:
        return around
    in_eyes = green.topk(max(round(DARKEST * len(green)), 1), largest=False).values.mean()
    return torch.minimum(in_eyes, around)


def _film_black(skin: Tensor) -> Tensor:
    return FILM_BLACK * skin[1, 0, 0].clamp_min(LEAST) ** BLACK_LIGHT


def _beyond(colour: Tensor, usual: float, varies: float) -> Tensor:
    """Return how much warmer a colour (3,) is than usual, (); 0 within the range by which people differ."""
    red, green, blue = colour.log()
    warmth = (RED_BY_BLUE * (red - green) - (blue - green)) / (1 + RED_BY_BLUE**2) - usual
    return warmth.sign() * (warmth.abs() - varies).clamp_min(0)
