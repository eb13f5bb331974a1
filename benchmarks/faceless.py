"""Pictures without a face, made from a seed: the negative set of ``face_search.py``.

Text, plots, charts, textures, noise, snow and gradients are drawn; photographs are those inside of scikit-image and
scikit-learn, where these are installed; and the portraits that are given lend what surrounds their faces.
None of these makers, fonts and photographs is used in training (``portraittalk.training.face.faceless``).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from portraittalk.face.topology import FACE_OVAL
from portraittalk.types import Face

FONTS = ("/usr/share/fonts", "/System/Library/Fonts", "C:/Windows/Fonts")
PHOTOGRAPHS = {
    "skimage/data": (
        "brick.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
        "horse.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg",
        "rocket.jpg", "text.png",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
}  # fmt: skip
ANIMALS = ("chelsea.png", "horse.png", "flower.jpg")
SENTENCE = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were her all she there would their we him been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over man"
)
WORDS = tuple(SENTENCE.split())
Maker = Callable[[Random], Image.Image]


def drawn_kinds() -> dict[str, Maker]:
    return {
        "text": text,
        "plots": plot,
        "charts": chart,
        "textures": texture,
        "noise": noise,
        "snow": snow,
        "gradients": gradient,
    }


def drawn(kind: str, count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield names and pictures (3, H, W) of a drawn kind."""
    for number in range(count):
        yield f"{kind}_{number}", tensor(drawn_kinds()[kind](Random(f"{seed} {kind} {number}")))


def photographs() -> list[Path]:
    """Return the photographs without people inside of the installed packages."""
    found = []
    for folder, names in PHOTOGRAPHS.items():
        package, _, inside = folder.partition("/")
        spec = find_spec(package)
        for place in spec.submodule_search_locations or [] if spec else []:
            found += [path for name in names if (path := Path(place, inside, name)).is_file()]
    return found


def photographed(files: Sequence[Path], count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield names and ``count`` pictures: each photograph as it is, then random parts of them."""
    for number in range(count):
        path, random = files[number % len(files)], Random(f"{seed} photograph {number}")
        image = Image.open(path).convert("RGB")
        yield f"{path.stem}_{number}", tensor(image if number < len(files) else part(image, random))


def watermarked(files: Sequence[Path], count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield names and ``count`` pictures of animals and flowers with digits written over them."""
    files = [path for path in files if path.name in ANIMALS] or files
    for number in range(count):
        path, random = files[number % len(files)], Random(f"{seed} watermark {number}")
        image = part(Image.open(path).convert("RGB"), random, least=0.6).convert("RGBA")
        layer = Image.new("RGBA", image.size)
        draw = ImageDraw.Draw(layer)
        for _ in range(random.choice((1, 1, 3, 12))):
            digits = "".join(random.choice("0123456789") for _ in range(random.randint(2, 9)))
            grey = random.choice((0, 128, 255))
            place = (random.uniform(0, 0.8) * image.width, random.uniform(0, 0.9) * image.height)
            size = round(image.height * random.uniform(0.05, 0.3))
            draw.text(place, digits, (grey, grey, grey, random.randint(90, 255)), font(random, size))
        yield f"watermark_{path.stem}_{number}", tensor(Image.alpha_composite(image, layer).convert("RGB"))


def beside_faces(portraits: Sequence[tuple[Tensor, Face]], count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield names and ``count`` parts of portraits that do not touch the face."""
    for number in range(count):
        random = Random(f"{seed} beside {number}")
        image, face = portraits[number % len(portraits)]
        height, width = image.shape[-2:]
        x0, y0, x1, y1 = face.box
        parts = [(0, 0, x0, height), (x1, 0, width, height), (0, 0, width, y0), (0, y1, width, height)]
        parts = [box for box in parts if box[2] - box[0] > 48 and box[3] - box[1] > 48]
        left, top, right, bottom = (round(edge) for edge in random.choice(parts))
        inside = Image.fromarray(array(image[:, top:bottom, left:right]))
        yield f"beside_{number}", tensor(part(inside, random, least=0.5))


def filled_in(portraits: Sequence[tuple[Tensor, Face]], count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield names and ``count`` portraits whose face is filled smoothly from around its outline, grain included."""
    for number in range(count):
        random = Random(f"{seed} filled {number}")
        image, face = portraits[number % len(portraits)]
        oval = face.landmarks[list(FACE_OVAL), :2]
        grown = oval.mean(0) + (oval - oval.mean(0)) * random.uniform(1.05, 1.35)
        mask = Image.new("L", (image.shape[-1], image.shape[-2]))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in grown.tolist()], fill=255)
        filled = fill(image, tensor(mask.convert("RGB"))[:1])
        if random.random() < 0.5:
            grain = torch.randn(image.shape, generator=torch.Generator().manual_seed(number))
            filled = (filled + random.uniform(0.01, 0.04) * grain).clamp(0, 1)
        yield f"filled_{number}", filled


def fill(image: Tensor, mask: Tensor) -> Tensor:
    """Return the picture (3, H, W) with the masked part (1, H, W) filled from its surroundings, coarse to fine."""
    known = (1 - mask)[None]
    colours = image[None] * known
    if min(image.shape[-2:]) < 4 or bool((known > 0.5).all()):
        return (colours / known.clamp_min(1e-3))[0]
    size = [math.ceil(n / 2) for n in image.shape[-2:]]
    weights = interpolate(known, size, mode="area")
    smaller = interpolate(colours, size, mode="area") / weights.clamp_min(1e-3)
    coarse = fill(smaller[0], 1 - (weights[0] > 1e-3).float())[None]
    coarse = avg_pool2d(coarse, 3, 1, 1, count_include_pad=False)
    return (colours + interpolate(coarse, image.shape[-2:], mode="bilinear") * (1 - known))[0]


def text(random: Random) -> Image.Image:
    """Draw a page of text, in one or two columns."""
    width, height = random.choice(((600, 800), (800, 600), (1000, 1400), (640, 480)))
    image = Image.new("RGB", (width, height), paper(random))
    draw, ink = ImageDraw.Draw(image), pen(random)
    size = random.choice((10, 12, 14, 18, 24, 40))
    face, columns, margin = font(random, size), random.choice((1, 1, 2)), width // 14
    column = (width - margin) // columns - margin
    for number in range(columns):
        left, y = margin + number * (column + margin), margin
        while y < height - margin:
            line = ""
            while draw.textlength(line, face) < column and not (line and random.random() < 0.02):
                line += random.choice(WORDS).title() + " " if not line else random.choice(WORDS) + " "
            draw.text((left, y), line[: -len(line.split()[-1]) - 1], ink, face)
            y += round(size * random.choice((1.3, 1.3, 1.3, 1.3, 2.4)))
    return image


def plot(random: Random) -> Image.Image:
    """Draw curves or scattered points in a frame with ticks and a legend."""
    width, height = random.choice(((640, 480), (800, 600), (600, 600), (1200, 500)))
    image = Image.new("RGB", (width, height), paper(random))
    draw, label = ImageDraw.Draw(image), font(random, random.choice((10, 12, 16)))
    left, top, right, bottom = width // 9, height // 10, width - width // 20, height - height // 8
    for tick in range(random.randint(3, 9)):
        x, y = left + (right - left) * tick // 8, bottom - (bottom - top) * tick // 8
        draw.line((x, bottom, x, bottom + 5), 0)
        draw.line((left - 5, y, left, y), 0)
        draw.text((x - 8, bottom + 8), f"{tick * 2.5:g}", 0, label)
        draw.text((left - 40, y - 6), f"{tick * 0.2:.1f}", 0, label)
        if random.random() < 0.5:
            draw.line((left, y, right, y), (210, 210, 210))
    draw.rectangle((left, top, right, bottom), outline=0)
    for _ in range(random.randint(1, 5)):
        colour, phase, speed = pen(random), random.uniform(0, 6), random.uniform(1, 12)
        xs = np.linspace(0, 1, random.choice((12, 60, 300)))
        walk = np.cumsum([random.gauss(0, 0.06) for _ in xs])
        ys = 0.5 + random.uniform(0, 0.4) * np.sin(phase + speed * xs) + random.choice((0, 1)) * walk
        points = [
            (left + x * (right - left), bottom - min(max(y, 0), 1) * (bottom - top))
            for x, y in zip(xs, ys, strict=True)
        ]
        if random.random() < 0.65:
            draw.line(points, colour, random.choice((1, 2, 4)))
        for x, y in points[:: random.choice((1, 2, 7))] if random.random() < 0.5 else []:
            r = random.choice((2, 4, 7))
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    draw.text((width // 3, 4), " ".join(random.choices(WORDS, k=3)).title(), 0, label)
    return image


def chart(random: Random) -> Image.Image:
    """Draw a bar chart, a pie chart or a flow chart."""
    width, height = random.choice(((640, 480), (800, 800), (1000, 600)))
    image = Image.new("RGB", (width, height), paper(random))
    draw, label = ImageDraw.Draw(image), font(random, random.choice((12, 16, 22)))
    kind = random.choice(("bars", "pie", "flow"))
    if kind == "bars":
        count = random.randint(3, 14)
        step = (width - 80) / count
        for number in range(count):
            x = 50 + number * step
            top = random.uniform(0.1, 0.9) * (height - 60)
            draw.rectangle((x, top, x + step * 0.7, height - 50), fill=pen(random), outline=random.choice((None, 0)))
            draw.text((x, height - 40), random.choice(WORDS), 0, label)
        draw.line((45, 20, 45, height - 50, width - 20, height - 50), 0, 2)
    elif kind == "pie":
        box = (width // 6, height // 8, width // 6 + height * 3 // 4, height // 8 + height * 3 // 4)
        angle = random.uniform(0, 360)
        for number in range(random.randint(2, 8)):
            more = random.uniform(15, 90)
            draw.pieslice(box, angle, angle + more, fill=pen(random), outline=(255, 255, 255), width=3)
            draw.text((width * 3 // 4, 60 + 30 * number), random.choice(WORDS), 0, label)
            angle += more
    else:
        places = [(x, y) for x in range(60, width - 180, 190) for y in range(40, height - 80, 130)]
        boxes = random.sample(places, k=min(random.randint(4, 9), len(places)))
        for (x, y), (u, v) in pairwise(boxes):
            draw.line((x + 70, y + 30, u + 70, y + 30, u + 70, v + 30), 0, 2)
        for x, y in boxes:
            shape = random.choice((draw.rectangle, draw.ellipse, draw.rounded_rectangle))
            shape((x, y, x + 140, y + 60), fill=random.choice(((255, 255, 255), pen(random))), outline=0, width=2)
            draw.text((x + 20, y + 20), " ".join(random.choices(WORDS, k=2)), 0, label)
    return image


def texture(random: Random) -> Image.Image:
    """Draw bricks, tiles, stripes, weave or wood."""
    width, height = random.choice(((640, 480), (512, 512), (900, 700)))
    ys, xs = np.mgrid[:height, :width].astype(float)
    a, b = random.uniform(6, 60), random.uniform(6, 60)
    wobble = 3 * np.sin(ys / random.uniform(10, 80)) * random.choice((0, 1, 3))
    kind = random.choice(("bricks", "tiles", "stripes", "weave", "wood"))
    if kind == "bricks":
        row = np.floor(ys / a)
        value = ((ys % a > 0.12 * a) & ((xs + (row % 2) * a) % (2 * a) > 0.12 * a)).astype(float)
    elif kind == "tiles":
        value = (np.floor(xs / a) + np.floor(ys / b)) % 2
    elif kind == "stripes":
        angle = random.uniform(0, math.pi)
        value = np.sin((xs * math.cos(angle) + ys * math.sin(angle) + wobble) * 6.28 / a) * 0.5 + 0.5
    elif kind == "weave":
        value = np.where(
            (np.floor(xs / a) + np.floor(ys / a)) % 2, np.sin(xs * 3.14 / a) ** 2, np.sin(ys * 3.14 / a) ** 2
        )
    else:
        rings = np.hypot((xs - width * random.random()) / 4, ys - height * random.random())
        value = np.sin((rings + wobble) * 6.28 / a) * 0.3 + 0.6
    dark, bright = np.array(pen(random)), np.array(paper(random))
    pixels = dark + (bright - dark) * value[..., None]
    rough = np.random.default_rng(random.getrandbits(32)).normal(0, random.choice((0, 6, 18)), pixels.shape)
    return Image.fromarray((pixels + rough).clip(0, 255).astype(np.uint8))


def noise(random: Random) -> Image.Image:
    """Draw noise: white, smoothed, or of all scales as in clouds."""
    width, height = random.choice(((640, 480), (512, 512), (300, 800)))
    numbers, channels = np.random.default_rng(random.getrandbits(32)), random.choice((1, 3))
    kind = random.choice(("white", "smooth", "clouds", "salt"))
    value = numbers.normal(size=(height, width, channels))
    if kind == "smooth":
        value = torch.from_numpy(value).movedim(-1, 0)[None]
        cells = [max(n // random.choice((4, 8, 20, 50)), 2) for n in (height, width)]
        value = interpolate(interpolate(value, cells, mode="area"), (height, width), mode="bicubic")[0]
        value = value.movedim(0, -1).numpy()
    elif kind == "clouds":
        fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
        fall = np.maximum(np.hypot(fy, fx), 1 / width)[..., None] ** -random.uniform(0.7, 1.8)
        value = np.fft.ifft2(np.fft.fft2(value, axes=(0, 1)) * fall, axes=(0, 1)).real
    elif kind == "salt":
        value = (numbers.random((height, width, channels)) < random.uniform(0.01, 0.3)).astype(float)
    value = (value - value.mean()) / max(value.std(), 1e-6)
    pixels = random.uniform(60, 190) + random.uniform(15, 60) * np.broadcast_to(value, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def snow(random: Random) -> Image.Image:
    """Draw snow or stars: soft bright dots over a dark or grey slope."""
    width, height = random.choice(((640, 480), (800, 600), (600, 900)))
    image = gradient(random).resize((width, height)).point(lambda value: value * 0.6)
    draw = ImageDraw.Draw(image)
    for _ in range(random.choice((40, 150, 600))):
        x, y, r = random.uniform(0, width), random.uniform(0, height), random.uniform(0.5, random.choice((2, 5, 12)))
        grey = random.randint(170, 255)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(grey, grey, grey))
    return image.filter(ImageFilter.GaussianBlur(random.choice((0, 1, 3))))


def gradient(random: Random) -> Image.Image:
    """Draw soft colours: a slope, with some round spots of light."""
    width, height = random.choice(((640, 480), (512, 512), (400, 700)))
    ys, xs = np.mgrid[:height, :width] / max(width, height)
    angle = random.uniform(0, 2 * math.pi)
    value = (xs * math.cos(angle) + ys * math.sin(angle))[..., None]
    a, b = (np.array([random.uniform(0, 255) for _ in range(3)]) for _ in range(2))
    pixels = a + (b - a) * (value - value.min()) / (np.ptp(value) + 1e-6)
    for _ in range(random.choice((0, 1, 2, 5))):
        away = np.hypot(xs - random.random(), ys - random.random()) / random.uniform(0.05, 0.4)
        pixels = pixels + np.exp(-(away**2))[..., None] * random.uniform(-160, 160)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def part(image: Image.Image, random: Random, least: float = 0.3) -> Image.Image:
    """Return a random part of a picture, at least this fraction of its sides, mirrored half of the time."""
    width, height = (max(round(n * random.uniform(least, 1)), 16) for n in image.size)
    left, top = random.randint(0, max(image.width - width, 0)), random.randint(0, max(image.height - height, 0))
    cut = image.crop((left, top, min(left + width, image.width), min(top + height, image.height)))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else cut


def font(random: Random, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a random font of the machine at a size in pixels; Pillow's own where there is none."""
    files = sorted(path for folder in FONTS for path in Path(folder).rglob("*.ttf"))
    return ImageFont.truetype(str(random.choice(files)), size) if files else ImageFont.load_default(size)


def paper(random: Random) -> tuple[int, int, int]:
    return random.choice(((255, 255, 255), (250, 246, 235), (235, 235, 235), (30, 30, 36), (205, 222, 240)))


def pen(random: Random) -> tuple[int, int, int]:
    return random.choice(
        ((0, 0, 0), (31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (120, 120, 130), (150, 75, 160))
    )


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255


def array(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
