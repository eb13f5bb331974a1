"""A sheet of mouths: each portrait's own, then those of the frames in which it opens widest (docs/mouths.jpg).

    python benchmarks/mouths.py SHEET.png PORTRAIT ... [--speech SPEECH] [--seconds 2] [--columns 5]

Every portrait speaks the demo's words, or those of SPEECH.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk import load_model, read_audio, read_image
from portraittalk.face.align import from_crop
from portraittalk.motion.geometry import lip_aperture, move_landmarks

DEMO = Path(__file__).parent.parent / "portraittalk" / "assets" / "demo"
CORNERS, EYES = (61, 291), (33, 263)
WIDTH, HEIGHT = 176, 152  # pixels of one mouth
REACH = 0.5  # eye distances to each side of the middle of the mouth
APART = 3  # frames between two of the same portrait


def widest(aperture: Tensor, count: int) -> list[int]:
    """Return ``count`` frames with the widest lips (F,), no two of them neighbours."""
    chosen: list[int] = []
    for number in aperture.argsort(descending=True).tolist():
        if all(abs(number - other) >= APART for other in chosen):
            chosen.append(number)
    return chosen[:count]


@torch.no_grad()
def row(model, portrait: Path, speech: Path, seconds: float, columns: int) -> Tensor:
    """Return (3, HEIGHT, (1 + columns) * WIDTH)."""
    identity = model.encode_identity([read_image(portrait).flattened()])
    sound = model.encode_speech(read_audio(speech, duration=seconds), 25.0)
    motion = model.make_motion(sound)
    frames = torch.cat(list(model.animate(identity, sound, motion=motion)))
    moved = move_landmarks(identity.landmarks, identity.blendshapes, motion[: len(frames)], model.basis)
    rest = from_crop(identity.landmarks, identity.crop)
    reach = REACH * float((rest[EYES[0]] - rest[EYES[1]])[:2].norm())

    def cut(picture: Tensor, landmarks: Tensor) -> Tensor:
        x, y = landmarks[list(CORNERS), :2].mean(0).tolist()
        low, high = round(y - 0.75 * reach * HEIGHT / WIDTH), round(y + 1.25 * reach * HEIGHT / WIDTH)
        part = picture[:, max(low, 0) : high, max(round(x - reach), 0) : round(x + reach)]
        return interpolate(part[None], (HEIGHT, WIDTH), mode="bicubic", antialias=True)[0].clamp(0, 1)

    chosen = widest(lip_aperture(moved), columns)
    points = from_crop(moved, identity.crop)
    return torch.cat([cut(identity.portrait, rest), *(cut(frames[number], points[number]) for number in chosen)], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("--speech", type=Path, default=DEMO / "speech.wav")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--columns", type=int, default=5)
    arguments = parser.parse_args()
    model = load_model()
    speech, seconds, columns = arguments.speech, arguments.seconds, arguments.columns
    rows = [row(model, portrait, speech, seconds, columns) for portrait in arguments.portraits]
    pixels = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(arguments.sheet, quality=90)


if __name__ == "__main__":
    main()
