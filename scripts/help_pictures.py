"""Draw the pictures of the help pages, web/docs/images, from real runs of the nodes on the demo files.

Needs a ComfyUI and takes some minutes on a CPU:

    COMFYUI_PATH=.cache/comfyui/ComfyUI .venv-comfyui/bin/python scripts/help_pictures.py [NAME ...]
"""

import os
import sys
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "comfyui")]

from comfyui_harness.movie import read_movie  # noqa: E402
from comfyui_harness.server import ComfyServer  # noqa: E402
from comfyui_harness.workflow import Prompt, load_prompt, only  # noqa: E402

from portraittalk import MotionTrack  # noqa: E402
from portraittalk.arkit import ARKIT_INDEX  # noqa: E402

DEMO, OUT = ROOT / "portraittalk" / "assets" / "demo", ROOT / "web" / "docs" / "images"
WIDTH, QUALITY, ROW = 640, 80, 84  # pixels: twice the width of the help panel; of the WebP; pixels of a curve
Part = tuple[float, float, float, float]  # left, top, right, bottom, of the whole picture
HEAD: Part = (0.2, 0.02, 0.8, 0.62)
FILM_HEAD: Part = (0.16, 0.1, 0.86, 0.8)
SAVE, SPEECH = "PortraitTalkSaveVideo", "PortraitTalkLoadAudio"
STYLES = ("", "a wide smile", "surprised, looking left", "oil painting")
INK, PAPER, GRID, SMALL = (230, 230, 230), (24, 26, 30), (70, 74, 82), ImageFont.load_default(16)
COLOURS = ((120, 150, 255), (255, 150, 90), (110, 220, 150), (240, 110, 190))


def main() -> None:
    comfyui = os.environ.get("COMFYUI_PATH")
    if not comfyui:
        sys.exit("Set COMFYUI_PATH to the folder of a ComfyUI, such as .cache/comfyui/ComfyUI.")
    names = sys.argv[1:] or list(PICTURES)
    if set(names) - PICTURES.keys():
        sys.exit(f"There are these pictures: {', '.join(PICTURES)}.")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(Path(comfyui).resolve(), ROOT, Path(folder))
        try:
            for name in names:
                path = OUT / f"{name}.webp"
                picture = PICTURES[name](server)
                picture.save(path, quality=QUALITY, method=6)
                print(f"{name}: {picture.width}x{picture.height}, {path.stat().st_size} bytes", flush=True)
        finally:
            server.stop()


def identity_encode(server: ComfyServer) -> Image.Image:
    preview = encoded(server, "portraittalk/demo_portrait.jpg")
    return strip([square(Image.open(DEMO / "portrait.jpg"), WIDTH // 2), square(preview, WIDTH // 2)], 2)


def load_portrait(server: ComfyServer) -> Image.Image:
    portrait = Image.open(DEMO / "portrait.jpg").convert("RGB")
    pair = Image.new("RGB", (1152, 768), PAPER)
    pair.paste(portrait, (0, 0))
    pair.paste(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((384, 384)), (768, 384))
    pair.save(server.input / "pair.png")
    return wide(encoded(server, "pair.png"), WIDTH)


def speech_to_motion(server: ComfyServer) -> Image.Image:
    """The loudness of the demo speech; below it the opening of the mouth, blinks and the largest turn of the head."""
    prompt: dict[str, Any] = {
        key: node
        for key, node in example(server, "basic").items()
        if node["class_type"] in (SPEECH, "PortraitTalkModelLoader", "PortraitTalkSpeechToMotion")
    }
    motion = [only(prompt, "PortraitTalkSpeechToMotion"), 0]
    inputs = {"motion": motion, "filename_prefix": "help"}
    prompt["save"] = {"class_type": "PortraitTalkSaveMotion", "inputs": inputs}
    (name,) = server.run(prompt).outputs["save"]["text"]
    track = MotionTrack.load(server.output / name)
    with wave.open(str(DEMO / "speech.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32)
    turns = track.rotation.numpy()
    rows = {
        "speech": np.array([block.max() for block in np.array_split(np.abs(sound), WIDTH // 2)]),
        "mouth": track.expression[:, ARKIT_INDEX["jawOpen"]].numpy(),
        "blinks": track.blink.numpy(),
        "head": turns[:, np.argmax(turns.std(0))],
    }
    image = Image.new("RGB", (WIDTH, ROW * len(rows)), PAPER)
    draw = ImageDraw.Draw(image)
    for row, ((name, values), colour) in enumerate(zip(rows.items(), COLOURS, strict=True)):
        bottom, low = ROW * (row + 1) - 8, min(float(values.min()), 0.0)
        heights = bottom - (ROW - 28) * (values - low) / (values.max() - low)
        points = list(zip(np.linspace(0, WIDTH - 1, len(values)), heights, strict=True))
        if name == "speech":
            for x, y in points:
                draw.line((x, bottom, x, y), colour)
        else:
            draw.line(points, colour, 2, joint="curve")
        draw.line((0, ROW * (row + 1) - 1, WIDTH, ROW * (row + 1) - 1), GRID)
        draw.text((6, ROW * row + 2), name, INK, SMALL)
    return image


def sampler(server: ComfyServer) -> Image.Image:
    frames = movie(server, example(server, "basic", duration=2.4))
    return strip([square(frame, WIDTH // 4, HEAD) for frame in spread(frames, 8)], 4)


def text_style(server: ComfyServer) -> Image.Image:
    pictures = []
    for style in STYLES:
        prompt = example(server, "prompt", duration=0.7)
        prompt[only(prompt, "PortraitTalkTextStyleCondition")]["inputs"]["prompt"] = style
        pictures.append(labelled(square(movie(server, prompt)[12], WIDTH // 2, HEAD), style or "no prompt"))
    return strip(pictures, 2)


def paste_back(server: ComfyServer) -> Image.Image:
    prompt = example(server, "upscale", duration=0.4)
    pasted = movie(server, prompt)[8]
    prompt[only(prompt, SAVE)]["inputs"]["frames"] = [only(prompt, "ImageScaleBy"), 0]
    crop = movie(server, prompt)[8]
    labels = (f"crop, upscaled to {crop.width}x{crop.height}", f"pasted back, {pasted.width}x{pasted.height}")
    pictures = zip((crop, pasted), labels, strict=True)
    return strip([labelled(square(image, WIDTH // 2), text) for image, text in pictures], 2)


def video_to_motion(server: ComfyServer) -> Image.Image:
    return below_the_film(movie(server, example(server, "driving_video")), "portrait", HEAD)


def dub(server: ComfyServer) -> Image.Image:
    return below_the_film(movie(server, example(server, "dubbing")), "dubbed", FILM_HEAD)


def conversation(server: ComfyServer) -> Image.Image:
    """A frame in which the left one speaks, and one of the right one."""
    frames = movie(server, example(server, "conversation"))
    return strip([wide(frames[place], WIDTH) for place in (len(frames) // 4, 3 * len(frames) // 4)], 1)


PICTURES: dict[str, Callable[[ComfyServer], Image.Image]] = {
    "load_portrait": load_portrait,
    "identity_encode": identity_encode,
    "speech_to_motion": speech_to_motion,
    "text_style": text_style,
    "sampler": sampler,
    "paste_back": paste_back,
    "conversation": conversation,
    "dub": dub,
    "video_to_motion": video_to_motion,
}


def example(server: ComfyServer, name: str, duration: float | None = None) -> Prompt:
    """The example workflow, with that many seconds of the demo speech."""
    prompt = load_prompt(ROOT / "example_workflows" / f"{name}.json", server.object_info)
    if duration is not None:
        prompt[only(prompt, SPEECH)]["inputs"]["duration"] = duration
    return prompt


def movie(server: ComfyServer, prompt: Prompt) -> list[Image.Image]:
    (path,) = server.run(prompt).shown(only(prompt, SAVE), server.output)
    return pictures_of(path)


def pictures_of(path: Path) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in read_movie(path).frames]


def encoded(server: ComfyServer, name: str) -> Image.Image:
    """The preview of Identity Encode."""
    prompt = example(server, "basic", duration=0.2)
    prompt[only(prompt, "PortraitTalkLoadPortrait")]["inputs"]["image"] = name
    (path,) = server.run(prompt).shown(only(prompt, "PortraitTalkIdentityEncode"), server.base / "temp")
    return Image.open(path).convert("RGB")


def below_the_film(result: list[Image.Image], name: str, part: Part) -> Image.Image:
    film = pictures_of(DEMO / "film.mp4")
    top = [square(frame, WIDTH // 4, FILM_HEAD) for frame in spread(film, 4)]
    bottom = [square(frame, WIDTH // 4, part) for frame in spread(result[: len(film)], 4)]
    labelled(top[0], "film")
    labelled(bottom[0], name)
    return strip([*top, *bottom], 4)


def spread(frames: list[Image.Image], count: int) -> list[Image.Image]:
    return [frames[round((index + 0.5) * len(frames) / count)] for index in range(count)]


def square(image: Image.Image, side: int, part: Part = (0, 0, 1, 1)) -> Image.Image:
    box = [round(edge * size) for edge, size in zip(part, image.size * 2, strict=True)]
    return image.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)


def wide(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def labelled(image: Image.Image, text: str) -> Image.Image:
    """Write a text into the lower left corner, in place, and return the image."""
    draw = ImageDraw.Draw(image)
    _, top, right, _ = draw.textbbox((6, image.height - 6), text, SMALL, anchor="ls")
    draw.rectangle((0, top - 5, right + 6, image.height), PAPER)
    draw.text((6, image.height - 6), text, INK, SMALL, anchor="ls")
    return image


def strip(images: list[Image.Image], columns: int) -> Image.Image:
    width, height = images[0].size
    sheet = Image.new("RGB", (width * columns, height * -(-len(images) // columns)), PAPER)
    for index, image in enumerate(images):
        sheet.paste(image, (index % columns * width, index // columns * height))
    return sheet


if __name__ == "__main__":
    main()
