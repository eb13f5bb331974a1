"""Sheets and a film of how people perform a speech: portraits x seeds x prompts x liveliness, to look at.

    python benchmarks/performances.py OUT PORTRAIT ... --audio SPEECH

Every portrait gives a sheet ``OUT/NAME.png``: a row for each prompt, seed and liveliness, with frames evenly over the
speech. ``OUT/film.mp4`` shows all of them one after the other, for each portrait and prompt the levels of liveliness
side by side and the seeds below each other. By default two seeds, three prompts and liveliness 0, 1 and 2: 18 runs of
three seconds a portrait, about three minutes on one core.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk import load_model, read_audio, read_image, write_video
from portraittalk.face.align import from_crop
from portraittalk.media.audio import Audio
from portraittalk.output_files import make_folder
from portraittalk.pipelines.load import AnyPipeline
from portraittalk.types import Identity, Speech

DEMO = Path(__file__).parents[1] / "portraittalk" / "assets" / "demo" / "speech.wav"
PROMPTS = ("", "happy and excited", "sad and tired")
LEVELS = (0.0, 1.0, 2.0)
SIDE, TILE, LABEL = 448, 160, 150  # pixels: longer side of a portrait, side of a tile, width of the labels
COLUMNS = 8
AROUND = 1.5  # side of what is shown, in heights of the face


def perform(
    model: AnyPipeline, identity: Identity, speech: Speech, prompt: str, seed: int, liveliness: float
) -> Tensor:
    """Return the frames (F, 3, TILE, TILE) of one run."""
    style = model.encode_style(prompt)
    motion = model.make_motion(speech, seed, liveliness=liveliness, style=style)
    top, left, side = head_of(identity)
    shown = [
        frames[..., top : top + side, left : left + side] for frames in model.animate(identity, speech, style, motion)
    ]
    return interpolate(torch.cat(shown), (TILE, TILE), mode="bilinear", antialias=True).clamp(0, 1)


def head_of(identity: Identity) -> tuple[int, int, int]:
    """Return top, left and side of the square about the head that lies within the portrait."""
    face = from_crop(identity.landmarks[:, :2].double(), identity.crop)
    low, high = face.amin(0), face.amax(0)
    height, width = identity.portrait.shape[-2:]
    side = min(int(AROUND * float((high - low).max())), height, width)
    left, top = ((low + high) / 2 - side / 2).round().long().tolist()
    return min(max(top, 0), height - side), min(max(left, 0), width - side), side


def save_sheet(path: Path, rows: list[tuple[str, Tensor]]) -> None:
    """Save COLUMNS frames of each run, with a label beside them."""
    sheet = Image.new("RGB", (LABEL + COLUMNS * TILE, len(rows) * TILE), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, frames) in enumerate(rows):
        draw.multiline_text((6, row * TILE + 8), label, fill="black")
        for column, index in enumerate(torch.linspace(0, len(frames) - 1, COLUMNS).long().tolist()):
            pixels = (frames[index].permute(1, 2, 0) * 255).round().byte().numpy()
            sheet.paste(Image.fromarray(pixels), (LABEL + column * TILE, row * TILE))
    sheet.save(path)


def grid(runs: list[Tensor], columns: int) -> Tensor:
    """Return runs (F, 3, H, W) side by side in rows of ``columns``: (F, 3, rows * H, columns * W)."""
    rows = [torch.cat(runs[start : start + columns], 3) for start in range(0, len(runs), columns)]
    return torch.cat(rows, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("--audio", type=Path, default=DEMO)
    parser.add_argument("--seconds", type=float, default=3.0, help="of the speech")
    parser.add_argument("--fps", type=float, default=12.5)
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--liveliness", type=float, nargs="+", default=LEVELS)
    arguments = parser.parse_args()
    make_folder(arguments.out)
    model = load_model()
    audio = read_audio(arguments.audio, duration=arguments.seconds)
    speech = model.encode_speech(audio, arguments.fps)
    scenes = len(arguments.portraits) * len(arguments.prompts)

    def film() -> Iterator[Tensor]:
        """Render everything, save each portrait's sheet, and pass the scenes on."""
        for portrait in arguments.portraits:
            identity = model.encode_identity([read_image(portrait, SIDE).flattened()])
            rows = []
            for prompt in arguments.prompts:
                runs = []
                for seed in arguments.seeds:
                    for liveliness in arguments.liveliness:
                        runs.append(perform(model, identity, speech, prompt, seed, liveliness))
                        rows.append((f"{prompt or 'no prompt'}\nseed {seed}\nliveliness {liveliness:g}", runs[-1]))
                yield grid(runs, len(arguments.liveliness))
            save_sheet(arguments.out / f"{portrait.stem}.png", rows)
            print(f"{arguments.out / portrait.stem}.png")

    # Each scene has the whole speech, cut or padded to the length of its frames.
    samples = round(len(speech) / arguments.fps * audio.sample_rate)
    waveform = torch.nn.functional.pad(audio.waveform, (0, max(samples - audio.samples, 0)))[:, :samples]
    sound = Audio(waveform.repeat(1, scenes), audio.sample_rate)
    write_video(film(), arguments.out / "film.mp4", arguments.fps, sound)
    print(arguments.out / "film.mp4")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
