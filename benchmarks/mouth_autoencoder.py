"""What the autoencoder of mini keeps of mouths, beside that of an older mini of whole crops (docs/autoencoder.jpg).

    git show 3a19040:portraittalk/assets/mini.safetensors > old.safetensors
    python benchmarks/mouth_autoencoder.py SHEET.png old.safetensors PICTURE_OR_VIDEO ...

Each picture, and of a video the frame with the widest lips, gives one mouth: as it is, from the older autoencoder, from
today's. Prints a Markdown table of the errors in the window about the mouth, and of the sharpness (the energy of the
Laplacian) over that of the original.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from portraittalk import load_model, read_image
from portraittalk.compositing.mouth_window import close_up, mouth_window, window_of
from portraittalk.config import AutoencoderConfig, rebuilt
from portraittalk.face.align import aligned_crop, extract_crop, to_crop
from portraittalk.face.providers import provider_named
from portraittalk.media.reader import read_video
from portraittalk.media.source import VIDEOS
from portraittalk.metrics.pixels import laplacian
from portraittalk.models.autoencoder import Autoencoder
from portraittalk.motion.geometry import lip_aperture
from portraittalk.tensor_files import read_tensors
from portraittalk.types import image_size

WINDOW, PIXELS, COLUMNS, EVERY = 128, 112, 8, 3


def older_autoencoder(path: Path) -> tuple[Autoencoder, int]:
    """Return the autoencoder in the weights file of an older mini, and the side of its crops in pixels."""
    header, tensors = read_tensors(path)
    config = json.loads(header["portraittalk_config"])
    names = [name for name in tensors if name.startswith("autoencoder.")]
    state = {name.removeprefix("autoencoder."): tensors[name].float() for name in names}
    network = Autoencoder(rebuilt(AutoencoderConfig, config["autoencoder"])).eval().requires_grad_(False)
    network.load_state_dict(state)
    return network, config["crop_size"]


def mouth_of(path: Path) -> tuple[Tensor, Tensor]:
    """Return a picture (3, H, W) and its landmarks (478, 3); of a video, of the frame whose lips are widest apart."""
    provider = provider_named("own")
    if path.suffix.lower() not in VIDEOS:
        picture = read_image(path).flattened()
        return picture, provider(picture)[0].landmarks
    found = [(frame, provider(frame)) for frame in list(read_video(path))[::EVERY]]
    frames = [(frame, faces[0].landmarks) for frame, faces in found if faces]
    apertures = lip_aperture(torch.stack([landmarks for _, landmarks in frames]))
    return frames[int(apertures.argmax())]


@torch.no_grad()
def mouths(path: Path, older: Autoencoder, crop_size: int, today: Autoencoder) -> list[Tensor]:
    """Return the window (3, WINDOW, WINDOW) as it is, from the older autoencoder of whole crops, and from today's."""
    picture, landmarks = mouth_of(path)
    crop = aligned_crop(landmarks, image_size(picture), crop_size, 2.5)
    points = to_crop(landmarks, crop)
    window = mouth_window(points, crop_size)
    real = window_of(close_up(picture, crop, points, WINDOW), window, WINDOW)
    whole = older.decode(older.encode(extract_crop(picture, crop, crop_size)[None])).clamp(0, 1)
    grid = window.grid(WINDOW)[None] * 2 - 1
    seen = grid_sample(whole, grid, "bicubic", "border", align_corners=False)[0]
    return [real, seen.clamp(0, 1), today.decode(today.encode(real[None]))[0].clamp(0, 1)]


def sharpness(picture: Tensor) -> float:
    return float(laplacian(picture.mean(0)).square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("older", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    arguments = parser.parse_args()
    older, crop_size = older_autoencoder(arguments.older)
    model = load_model(dtype=torch.float32)
    cells, kinds = [], ("older", "today's")
    errors: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for path in arguments.pictures:
        real, *made = mouths(path, older, crop_size, model.autoencoder)
        for kind, one in zip(kinds, made, strict=True):
            errors[kind].append((255 * float((one - real).abs().mean()), sharpness(one) / sharpness(real)))
        small = interpolate(torch.stack((real, *made)), (PIXELS, PIXELS), mode="bicubic", antialias=True).clamp(0, 1)
        cells.append(torch.cat(tuple(small), 1))
    print(f"| {len(cells)} mouths | L1 in 1/255: median, largest | sharpness: median, range |")
    print("|---|---|---|")
    for kind, values in errors.items():
        wrong, sharp = (torch.tensor(one) for one in zip(*values, strict=True))
        spread = f"{sharp.median():.2f}, {sharp.min():.2f} to {sharp.max():.2f}"
        print(f"| {kind} | {wrong.median():.1f}, {wrong.max():.1f} | {spread} |")
    cells += [torch.zeros_like(cells[0])] * (-len(cells) % COLUMNS)
    rows = [torch.cat(cells[start : start + COLUMNS], 2) for start in range(0, len(cells), COLUMNS)]
    pixels = (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(arguments.sheet, quality=88)


if __name__ == "__main__":
    main()
