"""Things drawn in front of mouths: masks, scarves, hands and objects, to train a head that tells covered mouths."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Generator, Tensor

from ...face.align import eye_distance
from ...face.topology import LIPS_OUTER
from ...types import image_size
from ..data.clips import choose, one_of, uniform
from .faceless import MAKERS

# Landmarks along the edges of a mask: from the bridge of the nose over a cheek to the jaw, the chin, and back.
NOSE = (6, 197, 195, 5)
RIGHT_EDGE, LEFT_EDGE = (234, 93, 132, 58, 172, 136, 150, 149), (378, 379, 365, 397, 288, 361, 323, 454)
CHIN = 152
CHEEK = (50, 280, 205, 425)
Point = tuple[float, float]


def covered_mouth(image: Tensor, landmarks: Tensor, generator: Generator) -> Tensor:
    """Return a picture (3, H, W) with something in front of the mouth. landmarks: (478, 3) in its pixels."""
    shape = one_of((_mask, _mask, _scarf, _hand, _hand, _object), generator)
    height, width = image_size(image)
    cover = Image.new("L", (width, height))
    skin = shape(ImageDraw.Draw(cover), landmarks[:, :2], generator)
    soft = float(eye_distance(landmarks)) * float(uniform(0.002, 0.03, generator))
    alpha = torch.from_numpy(np.array(cover.filter(ImageFilter.GaussianBlur(soft)))).float() / 255
    surface = _skin(image, landmarks, cover, generator) if skin else _cloth(image, generator)
    shadow = F.avg_pool2d(alpha[None, None], 2 * max(round(3 * soft), 1) + 1, 1, max(round(3 * soft), 1))[0]
    darker = image * (1 - uniform(0, 0.4, generator) * shadow)
    return darker.lerp(surface, alpha).clamp(0, 1)


def _mask(draw: ImageDraw.ImageDraw, points: Tensor, generator: Generator) -> bool:
    """Draw a face mask, with loops to the ears."""
    top = points[NOSE[choose(len(NOSE), generator)]]
    centre = points[[*RIGHT_EDGE, *LEFT_EDGE]].mean(0)
    drop = 1 + choose(3, generator)
    edge = points[[*RIGHT_EDGE[drop:], CHIN, *LEFT_EDGE[: len(LEFT_EDGE) - drop]]]
    edge = centre + (edge - centre) * uniform(0.85, 1.12, generator)
    draw.polygon(_pairs(torch.cat((top[None], edge))), fill=255)
    width = max(round(float((points[33] - points[263]).norm()) * 0.03), 1)
    for ear, corner in ((points[127], edge[0]), (points[356], edge[-1])):
        draw.line(_pairs(torch.stack((ear, corner))), 255, width)
    return False


def _scarf(draw: ImageDraw.ImageDraw, points: Tensor, generator: Generator) -> bool:
    """Draw a scarf or collar, from the nose or the upper lip down over the chin and beyond the cheeks."""
    down = points[CHIN] - points[6]
    across = points[454] - points[234]
    middle = points[2].lerp(points[0], uniform(-0.8, 0.8, generator))
    wide, bend = uniform(0.55, 1.1, generator), uniform(-0.12, 0.12, generator)
    upper = [middle + across * side * wide + down * (bend * abs(side) * 2) for side in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    lower = [points[CHIN] + across * side * wide + down * uniform(0.1, 0.6, generator) for side in (1.0, -1.0)]
    draw.polygon(_pairs(torch.stack(upper + lower)), fill=255)
    return False


def _hand(draw: ImageDraw.ImageDraw, points: Tensor, generator: Generator) -> bool:
    """Draw fingers, with or without the back of the hand, that lie over the lips."""
    eyes = float((points[33] - points[263]).norm())
    lips = points[list(LIPS_OUTER)].mean(0) + uniform(-0.12, 0.12, generator, 2) * eyes
    angle = uniform(0, 2 * torch.pi, generator)
    along, across = torch.stack((angle.cos(), angle.sin())), torch.stack((-angle.sin(), angle.cos()))
    width = float(uniform(0.16, 0.26, generator)) * eyes
    count = 3 + choose(2, generator)
    for number in range(count):
        side = across * (number - (count - 1) / 2) * width * uniform(0.9, 1.1, generator)
        tip = lips + side + along * uniform(0.2, 0.7, generator) * eyes
        root = lips + side * 1.1 - along * uniform(0.5, 1.4, generator) * eyes
        draw.line(_pairs(torch.stack((root, tip))), 255, round(width))
        r = width / 2
        x, y = tip.tolist()
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    if choose(3, generator):
        x, y = (lips - along * uniform(0.7, 1.3, generator) * eyes).tolist()
        r = 0.6 * count * width
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return True


def _object(draw: ImageDraw.ImageDraw, points: Tensor, generator: Generator) -> bool:
    """Draw a round or square thing, such as a cup, a microphone or a telephone."""
    eyes = float((points[33] - points[263]).norm())
    corners = points[61], points[291]
    lips = (corners[0] + corners[1]) / 2 + uniform(-0.1, 0.1, generator, 2) * eyes
    half = uniform(0.28, 0.6, generator, 2) * eyes
    x, y = lips.tolist()
    a, b = half.tolist()
    box = (x - a, y - min(b, 0.3 * eyes), x + a, y + b)
    one_of((draw.ellipse, draw.rectangle), generator)(box, fill=255)
    return False


def _skin(image: Tensor, landmarks: Tensor, cover: Image.Image, generator: Generator) -> Tensor:
    """Return skin of the person's cheeks, shaded from the middle of each finger to its edge."""
    height, width = image_size(image)
    x, y = landmarks[CHEEK[choose(len(CHEEK), generator)], :2].long().tolist()
    r = max(round(0.08 * float(eye_distance(landmarks))), 1)
    colour = image[:, max(y - r, 0) : min(y + r, height), max(x - r, 0) : min(x + r, width)].flatten(1).mean(1)
    colour = colour * uniform(0.75, 1.2, generator) * uniform(0.95, 1.05, generator, 3)
    inside = cover.filter(ImageFilter.GaussianBlur(0.06 * float(eye_distance(landmarks))))
    shade = torch.from_numpy(np.array(inside)).float() / 255
    grain = 0.02 * torch.randn((1, height, width), generator=generator)
    return colour[:, None, None] * (uniform(0.4, 0.8, generator) + 0.4 * shade) + grain


def _cloth(image: Tensor, generator: Generator) -> Tensor:
    """Return a surface: plain, patterned, or another part of the picture."""
    height, width = image_size(image)
    axis = torch.linspace(0, 1, height)[:, None]
    kind = choose(4, generator)
    if kind < 2:
        folds = (axis * uniform(10, 80, generator) + uniform(0, 6, generator)).sin() * uniform(0, 0.08, generator)
        surface = uniform(0, 1, generator, 3, 1, 1) + folds.expand(height, width)
    elif kind == 2:
        surface = one_of(MAKERS, generator)(max(height, width), generator)[:, :height, :width]
    else:
        surface = image.roll((height // 2 + choose(height // 4, generator), choose(width, generator)), (1, 2))
    return surface + 0.01 * torch.randn((1, height, width), generator=generator)


def _pairs(points: Tensor) -> list[Point]:
    return [(float(x), float(y)) for x, y in points]
