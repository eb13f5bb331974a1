"""How often a portrait gets each warning: clean, drawn and small portraits, and portraits that deserve one.

    python benchmarks/portrait_warnings.py PORTRAIT ...

The portraits, never trained on, are shown as they are and in the drawn looks, where a warning is false unless the face
really is turned or small; then with something drawn in front of the mouth (by other means than in training), with the
mouth driven open and the eyes shut by the shipped model, and reduced. Prints a Markdown table of the number of pictures
with each warning; --save writes those with a wrong or missing one.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from face_search import DRAWN, Portrait, looks, save_marked, scaled
from faceless import array, tensor
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face.mesh import MeshProvider
from portraittalk.media.image import read_image
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import AnyPipeline, load_model
from portraittalk.pipelines.suitability import warnings_about
from portraittalk.types import Face, Speech

KINDS = {
    "small": "pixels high",
    "turned": "turned by",
    "covered": "in front of",
    "open": "wide open",
    "shut": "eyes are",
}
Cover = Callable[[Image.Image, Tensor, Random], Image.Image]
View = tuple[str, Tensor, Tensor]


def covers() -> dict[str, Cover]:
    return {"mask": mask, "hand": hand, "scarf": scarf, "cup": cup, "microphone": microphone, "sheet": sheet}


def mask(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a pleated surgical mask or a black cloth one, its upper edge curved over the nose."""
    left, right, nose, chin = (points[k] for k in (147, 376, 5, 152))
    down = chin - nose
    upper = [bezier(left - 0.25 * down, nose - 0.2 * down, right - 0.25 * down, t / 20) for t in range(21)]
    lower = [bezier(right + 0.3 * down, chin + 0.35 * down, left + 0.3 * down, t / 20) for t in range(21)]
    colour = random.choice(((168, 205, 224), (240, 240, 238), (25, 25, 28), (205, 160, 175)))
    layer, shape = Image.new("RGB", image.size, colour), Image.new("L", image.size)
    draw = ImageDraw.Draw(layer)
    for pleat in (0.2, 0.4, 0.6):
        a, b = (corner + (pleat - 0.1) * down for corner in (left, right))
        draw.line([tuple(a.tolist()), tuple(b.tolist())], tuple(int(c * 0.8) for c in colour), 2)
    ImageDraw.Draw(shape).polygon([tuple(p.tolist()) for p in upper + lower], fill=255)
    for corner, ear in ((left, points[234]), (right, points[454])):
        ImageDraw.Draw(shape).line([tuple(corner.tolist()), tuple(ear.tolist())], 255, 2)
    return Image.composite(layer, image, shape.filter(ImageFilter.GaussianBlur(1)))


def hand(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a palm with four bent fingers over the mouth, in the colour of the forehead, each finger lit and shaded."""
    eyes = float((points[33] - points[263]).norm())
    at = [min(max(int(v), 0), n - 1) for v, n in zip(points[151].tolist(), image.size, strict=True)]
    skin = image.resize((max(image.width // 8, 1), max(image.height // 8, 1)), Image.Resampling.BOX)
    colour = skin.getpixel(tuple(min(v // 8, n - 1) for v, n in zip(at, skin.size, strict=True)))
    mouth = (points[13] + points[14]) / 2
    side = random.choice((-1, 1))
    for finger in range(4):
        offset = torch.tensor([0.0, (finger - 1.5) * 0.2 * eyes])
        root = mouth + offset + torch.tensor([side * 1.1 * eyes, random.uniform(0.3, 0.7) * eyes])
        joint = mouth + offset * 1.1 + torch.tensor([side * 0.5 * eyes, 0.0])
        tip = mouth + offset + torch.tensor([-side * random.uniform(0.3, 0.6) * eyes, 0.05 * eyes])
        shape = Image.new("L", image.size)
        draw, width = ImageDraw.Draw(shape), max(int(0.21 * eyes), 2)
        draw.line([tuple(p.tolist()) for p in (root, joint, tip)], 255, width, "curve")
        for x, y in (tip.tolist(), joint.tolist()):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
        shade = shape.filter(ImageFilter.GaussianBlur(width / 3))
        dark, bright = (Image.new("RGB", image.size, tuple(min(int(c * k), 255) for c in colour)) for k in (0.55, 1.08))
        image = Image.composite(Image.composite(bright, dark, shade), image, shape.filter(ImageFilter.GaussianBlur(1)))
    return image


def scarf(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a knitted scarf up to the nose: rows of stitches in two colours."""
    width = image.width
    top, bottom = float(points[2, 1]), float(points[152, 1] + 0.5 * (points[152, 1] - points[2, 1]))
    a, b = (tuple(random.randint(20, 230) for _ in range(3)) for _ in range(2))
    layer, shape = Image.new("RGB", image.size, a), Image.new("L", image.size)
    draw, step = ImageDraw.Draw(layer), max(int((bottom - top) / random.randint(5, 14)), 3)
    for row, y in enumerate(range(int(top) - step, int(bottom) + step, step)):
        for x in range(-step, width, step):
            draw.line((x, y, x + step // 2, y + step, x + step, y), b if row % 3 == 0 else a, max(step // 3, 1))
            draw.line((x, y + 1, x + step // 2, y + step + 1), tuple(c // 2 for c in a), 1)
    edge = [(x, top + 0.06 * (bottom - top) * math.sin(x / width * 9)) for x in range(0, width + 1, 8)]
    ImageDraw.Draw(shape).polygon([*edge, (width, bottom), (0, bottom)], fill=255)
    return Image.composite(layer, image, shape.filter(ImageFilter.GaussianBlur(1)))


def cup(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a mug at the lips, with a handle, lit from one side."""
    eyes = float((points[33] - points[263]).norm())
    x, y = ((points[13] + points[14]) / 2).tolist()
    colour = random.choice(((235, 235, 230), (60, 90, 160), (150, 40, 40), (40, 40, 40)))
    layer, shape = Image.linear_gradient("L").rotate(90).resize(image.size), Image.new("L", image.size)
    light = Image.merge("RGB", [layer.point(lambda v, c=c: int(c * (0.55 + 0.5 * v / 255))) for c in colour])
    draw, half = ImageDraw.Draw(shape), 0.38 * eyes
    draw.rounded_rectangle((x - half, y - 0.22 * eyes, x + half, y + 0.75 * eyes), 0.08 * eyes, fill=255)
    draw.arc((x + 0.6 * half, y, x + 1.9 * half, y + 0.5 * eyes), -90, 90, 255, max(int(0.1 * eyes), 1))
    return Image.composite(light, image, shape.filter(ImageFilter.GaussianBlur(0.7)))


def microphone(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a microphone: a meshed ball in front of the lips, and a stem."""
    eyes = float((points[33] - points[263]).norm())
    x, y = ((points[13] + points[14]) / 2).tolist()
    radius = random.uniform(0.3, 0.4) * eyes
    ball = Image.radial_gradient("L").resize((int(2 * radius) + 1,) * 2).point(lambda v: max(120 - v, 15))
    draw = ImageDraw.Draw(ball)
    for k in range(0, ball.width, 4):
        draw.line((k, 0, k, ball.height), 30)
        draw.line((0, k, ball.width, k), 30)
    shape = Image.new("L", ball.size)
    ImageDraw.Draw(shape).ellipse((0, 0, *ball.size), fill=255)
    image = image.copy()
    ImageDraw.Draw(image).line((x, y, x + 0.5 * eyes, y + 2.5 * eyes), (20, 20, 22), int(0.25 * eyes))
    image.paste(ball.convert("RGB"), (int(x - radius), int(y - radius)), shape)
    return image


def sheet(image: Image.Image, points: Tensor, random: Random) -> Image.Image:
    """Draw a sheet of paper with writing, held up to the nose."""
    eyes = float((points[33] - points[263]).norm())
    x, y = ((points[13] + points[14]) / 2).tolist()
    page = Image.new("RGBA", (int(1.6 * eyes), int(1.3 * eyes)), (246, 244, 238, 255))
    draw = ImageDraw.Draw(page)
    for row in range(8, page.height, max(page.height // 8, 4)):
        draw.line((6, row, random.randint(page.width // 2, page.width), row), (70, 70, 80, 255), 2)
    page = page.rotate(random.uniform(-12, 12), expand=True, resample=Image.Resampling.BICUBIC)
    layer = Image.new("RGBA", image.size)
    layer.paste(page, (int(x - page.width / 2), int(y - 0.25 * page.height)))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def bezier(a: Tensor, b: Tensor, c: Tensor, t: float) -> Tensor:
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def covered(portraits: list[Portrait], cover: Cover) -> Iterator[View]:
    for name, image, face in portraits:
        picture = cover(Image.fromarray(array(image)), face.landmarks[:, :2], Random(name))
        yield name, tensor(picture), face.landmarks


def driven(model: AnyPipeline, portraits: list[Portrait], jaw: float = 0.0, blink: float = 0.0) -> Iterator[View]:
    """Animate portraits to a jawOpen coefficient, or to shut eyes, by one frame of the model."""
    silence = Speech(torch.zeros(1, model.config.speech.steps, model.config.speech.dim), 25.0, 1 / 25)
    for name, image, face in portraits:
        identity = model.encode_identity([image], faces=[[face]])
        expression = torch.zeros(1, len(ARKIT_INDEX))
        expression[0, ARKIT_INDEX["jawOpen"]] = jaw
        track = replace(MotionTrack.of_expression(expression, 25.0), blink=torch.tensor([blink]), rest=torch.ones(1))
        yield name, next(iter(model.animate(identity, silence, motion=track)))[0], face.landmarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", nargs="+", type=Path, help="pictures of one face each, never trained on")
    parser.add_argument("--kinds", nargs="+", help="only the kinds whose name begins with one of these")
    parser.add_argument("--save", type=Path, help="folder for pictures with other warnings than expected")
    arguments = parser.parse_args()
    provider = MeshProvider(max_faces=1)
    images = [(path.stem, read_image(path).pixels) for path in arguments.portraits]
    portraits = [(name, image, provider(image)[0]) for name, image in images]
    views: dict[str, tuple[Iterator[View], str]] = {"as they are": (looks_of(portraits), "")}
    views |= {look: (looks(portraits, (look,)), "") for look in DRAWN}
    views |= {f"{name} before the mouth": (covered(portraits, cover), "covered") for name, cover in covers().items()}
    model = load_model("mini")
    views["mouth driven open"] = driven(model, portraits, jaw=0.9), "open"
    views["eyes driven shut"] = driven(model, portraits, blink=1.0), "shut"
    views["face of 80 pixels"] = scaled(portraits, 80, False), "small"
    print(f"| pictures | number | no face | {' | '.join(KINDS)} |\n|{'---|' * (3 + len(KINDS))}")
    for kind, (pictures, expected) in views.items():
        if arguments.kinds and not kind.startswith(tuple(arguments.kinds)):
            continue
        counts: Counter[str] = Counter()
        for name, image, _ in pictures:
            faces = provider(image)
            counts["pictures"] += 1
            counts["none"] += not faces
            told = told_of(image, faces[0]) if faces else set()
            counts.update(told)
            if arguments.save and told != ({expected} if expected else set()):
                save_marked(arguments.save / f"{kind}_{name}.png", image, faces)
        shown = " | ".join(str(counts[name]) for name in ("pictures", "none", *KINDS))
        print(f"| {kind} | {shown} |", flush=True)


def looks_of(portraits: list[Portrait]) -> Iterator[View]:
    return ((name, image, face.landmarks) for name, image, face in portraits)


def told_of(image: Tensor, face: Face) -> set[str]:
    sentences = warnings_about(image, face)
    return {kind for kind, words in KINDS.items() if any(words in sentence for sentence in sentences)}


if __name__ == "__main__":
    main()
