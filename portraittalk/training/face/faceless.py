"""Pictures without a face, drawn at random or made from tracked pictures: negatives for the face networks.

They imitate what was taken for faces: glyphs, line drawings, patterns, spots, and people whose face is not seen.
``benchmarks/face_search.py`` measures with other makers, fonts and photographs.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from ...face.topology import FACE_OVAL
from ..data.clips import choose, one_of, uniform
from .views import FaceSources

GLYPHS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdeghkmnopqrsuvwxyz0123456789@%&#?!=+*().,:;-"
FONT_SIZE = 11  # pixels, about that of Pillow's own font
Maker = Callable[[int, Generator], Tensor]


def faceless(sources: FaceSources, side: int, generator: Generator) -> Tensor:
    """Return a picture without a face (3, side, side) in 0..1."""
    if uniform(0, 1, generator) < 0.45:
        return _without_face(*sources.pick(generator), side, generator)
    picture = one_of(MAKERS, generator)(side, generator)
    if uniform(0, 1, generator) < 0.25:  # two on top of each other
        over = one_of(MAKERS, generator)(side, generator)
        picture = picture.lerp(over, uniform(0.2, 0.8, generator))
    return picture


def _without_face(image: Tensor, landmarks: Tensor, side: int, generator: Generator) -> Tensor:
    """Return a picture whose face is painted over, in one colour, softly, or with another part of it."""
    height, width = image.shape[-2:]
    oval = landmarks[list(FACE_OVAL), :2]
    mask = Image.new("L", (width, height))
    grown = oval.mean(0) + (oval - oval.mean(0)) * uniform(1.02, 1.5, generator)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in grown.tolist()], fill=255)
    covered = torch.from_numpy(np.array(mask)).float()[None, None] / 255
    kind = choose(4, generator)
    if kind == 0:
        cover = uniform(0, 1, generator, 1, 3, 1, 1).expand(1, 3, height, width)
    elif kind == 1:  # the colours around the face, smoothed
        cells = 3 + choose(6, generator)
        known = F.interpolate(1 - covered, (cells, cells), mode="area")
        colours = F.interpolate(image[None] * (1 - covered), (cells, cells), mode="area") / known.clamp_min(0.02)
        colours = torch.where(known > 0.02, colours, (image * (1 - covered[0])).mean((1, 2))[None, :, None, None])
        cover = F.interpolate(colours, (height, width), mode="bicubic").clamp(0, 1)
    elif kind == 2:  # another part: shifted by more than the face
        shift = [round(n * float(uniform(0.35, 0.65, generator))) for n in (height, width)]
        cover = image.roll(shift, (1, 2))[None]
        around = covered.roll(shift, (2, 3))
        cover = cover.lerp(image.mean((1, 2))[None, :, None, None].expand_as(cover), around)
    else:
        cover = one_of(MAKERS, generator)(max(height, width), generator)[None, :, :height, :width]
    soft = F.avg_pool2d(covered, 9, 1, 4, count_include_pad=False) if choose(2, generator) else covered
    filled = image[None].lerp(cover, soft)
    cut = round(min(height, width) * float(uniform(0.4, 1, generator)))
    left, top = choose(width - cut + 1, generator), choose(height - cut + 1, generator)
    return F.interpolate(filled[..., top : top + cut, left : left + cut], (side, side), mode="area")[0]


def _glyphs(side: int, generator: Generator) -> Tensor:
    """Draw rows of letters and digits, or a few large ones."""
    zoom = float(uniform(-0.7, 2.4, generator).exp())  # the font that Pillow ships has one size in its older versions
    small = max(round(side / zoom), 16)
    image, draw, ink = _sheet(small, generator)
    font, y, spacing = ImageFont.load_default(), choose(FONT_SIZE, generator), float(uniform(1.0, 2.2, generator))
    while y < small:
        x = choose(2 * FONT_SIZE, generator)
        while x < small and choose(12, generator):
            word = "".join(one_of(GLYPHS, generator) for _ in range(1 + choose(9, generator)))
            draw.text((x, y), word, ink, font)
            x += round(draw.textlength(word + " ", font))
        y += round(FONT_SIZE * spacing)
    return _tensor(image.resize((side, side), Image.Resampling.BICUBIC))


def _lines(side: int, generator: Generator) -> Tensor:
    """Draw polylines, grids, boxes and circles, as in plots and diagrams."""
    image, draw, _ = _sheet(side, generator)

    def place() -> tuple[int, int]:
        return choose(side, generator), choose(side, generator)

    for _ in range(1 + choose(14, generator)):
        ink, kind, width = _colour(generator), choose(6, generator), 1 + choose(max(side // 60, 2), generator)
        (a, b), (c, d) = place(), place()
        box = (min(a, c), min(b, d), max(a, c), max(b, d))
        if kind == 0:
            walk = (uniform(-0.5, 0.5, generator, 30).cumsum(0) * side * 0.1 + b).tolist()
            draw.line([(number * side / 29, y) for number, y in enumerate(walk)], ink, width)
        elif kind == 1:
            step = 4 + choose(max(side // 5, 5), generator)
            for at in range(choose(step, generator), side, step):
                draw.line((at, box[1], at, box[3]), ink, 1)
                draw.line((box[0], at, box[2], at), ink, 1)
        elif kind == 2:
            draw.rectangle(box, ink if choose(2, generator) else None, ink, width)
        elif kind == 3:
            draw.ellipse(box, ink if choose(2, generator) else None, ink, width)
        elif kind == 4:
            start = choose(360, generator)
            draw.pieslice(box, start, start + 20 + choose(200, generator), ink)
        else:
            draw.line([place() for _ in range(2 + choose(5, generator))], ink, width)
    return _tensor(image)


def _diagram(side: int, generator: Generator) -> Tensor:
    """Draw boxes and ovals with words in them, in rough rows, and lines between them."""
    zoom = float(uniform(-0.3, 1.2, generator).exp())
    small = max(round(side / zoom), 48)
    image, draw, ink = _sheet(small, generator)
    columns, rows, font = 1 + choose(4, generator), 1 + choose(4, generator), ImageFont.load_default()
    cell_x, cell_y = small / columns, small / rows
    for row in range(rows):
        for column in range(columns):
            x, y = (column + float(uniform(0.0, 0.3, generator))) * cell_x, (row + 0.2) * cell_y
            right, bottom = x + float(uniform(0.4, 0.75, generator)) * cell_x, y + 0.5 * cell_y
            middle = (y + bottom) / 2
            if choose(4, generator):
                draw.line((right, middle, right + 0.5 * cell_x, middle), ink, 1 + choose(3, generator))
            if choose(3, generator) == 0:
                draw.line((x, bottom, x, bottom + 0.6 * cell_y), ink, 1 + choose(3, generator))
            shape = one_of((draw.rectangle, draw.ellipse), generator)
            shape((x, y, right, bottom), _colour(generator), ink, 1 + choose(3, generator))
            word = "".join(one_of(GLYPHS, generator) for _ in range(1 + choose(9, generator)))
            draw.text((x + 0.1 * cell_x, middle - FONT_SIZE / 2), word, ink, font)
    return _tensor(image.resize((side, side), Image.Resampling.BICUBIC))


def _spots(side: int, generator: Generator) -> Tensor:
    """Draw round and oval spots, sharp or soft: berries, coins, snow, buttons, petals."""
    image, draw, _ = _sheet(side, generator)
    largest = side * float(uniform(-4, -1.2, generator).exp())
    for _ in range(2 + choose(200 if largest < 0.06 * side else 25, generator)):
        x, y = (uniform(0, side, generator, 2)).tolist()
        r, flat = float(uniform(0.3, 1, generator)) * largest, float(uniform(0.4, 1, generator))
        draw.ellipse((x - r, y - flat * r, x + r, y + flat * r), _colour(generator))
        if choose(3, generator) == 0:
            draw.ellipse((x - r / 2, y - flat * r / 2, x + r / 3, y + flat * r / 3), _colour(generator))
    drawn = _tensor(image)
    if choose(2, generator):
        reach = 3 + 2 * choose(max(side // 40, 1), generator)
        drawn = F.avg_pool2d(drawn[None], reach, 1, reach // 2, count_include_pad=False)[0]
    return drawn


def _waves(side: int, generator: Generator) -> Tensor:
    """Draw sums of plane and ring waves, smooth or cut into two tones: stripes, weave, wood, tiles."""
    axis = torch.linspace(0, 1, side)
    value = torch.zeros(side, side)
    for _ in range(1 + choose(4, generator)):
        x, y = uniform(-0.3, 1.3, generator, 2)
        frequency = uniform(1.2, 4.8, generator).exp()
        if choose(2, generator):
            phase = (axis[None] * x + axis[:, None] * y) * frequency
        else:
            phase = ((axis[None] - x).square() + (axis[:, None] - y).square()).sqrt() * frequency
        value = value + uniform(0.2, 1, generator) * (phase + 6.28 * uniform(0, 1, generator)).sin()
    if choose(2, generator):
        value = (value * uniform(1, 30, generator)).sigmoid() * 2 - 1
    return _coloured(value / 2 + 0.5, generator)


def _clouds(side: int, generator: Generator) -> Tensor:
    """Draw noise of several scales: smooth colours, clouds, foliage, grain."""
    channels, fall = (1, 3)[choose(2, generator)], float(uniform(0.3, 1.1, generator))
    value = torch.zeros(1, channels, side, side)
    cells, strength = 2 + choose(4, generator), 1.0
    while cells < side:
        noise = torch.randn((1, channels, cells, cells), generator=generator)
        value = value + strength * F.interpolate(noise, (side, side), mode="bicubic")
        cells, strength = cells * 2, strength * fall
    value = value[0] / value.std()
    if choose(4, generator) == 0:
        value = value.abs() * 2 - 1
    return (0.5 + uniform(0.08, 0.3, generator) * value + uniform(-0.3, 0.3, generator, 3, 1, 1)).clamp(0, 1)


MAKERS: tuple[Maker, ...] = (_glyphs, _glyphs, _lines, _diagram, _spots, _waves, _clouds)


def _sheet(side: int, generator: Generator) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[int, int, int]]:
    """Return a sheet of paper, white half of the time, to draw on, and the colour of the ink."""
    white = choose(2, generator) == 0
    background = (255, 255, 255) if white else _colour(generator)
    image = Image.new("RGB", (side, side), background)
    return image, ImageDraw.Draw(image), (0, 0, 0) if white and choose(2, generator) else _colour(generator)


def _colour(generator: Generator) -> tuple[int, int, int]:
    grey = choose(256, generator)
    colour = [choose(256, generator) for _ in range(3)] if choose(3, generator) else [grey] * 3
    return colour[0], colour[1], colour[2]


def _coloured(value: Tensor, generator: Generator) -> Tensor:
    """Return a map (H, W) as a picture between two random colours."""
    a, b = uniform(0, 1, generator, 2, 3, 1, 1)
    return (a + (b - a) * value.clamp(0, 1)).clamp(0, 1)


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
