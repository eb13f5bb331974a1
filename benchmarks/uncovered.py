"""How well what a head hides of the background is filled in, where the truth is known, and what does not stand still.

    python benchmarks/uncovered.py PORTRAIT ...
    python benchmarks/uncovered.py --out DIR PORTRAIT ...      and pictures of the background behind each person

Of every portrait, a strip of background 0.3 eye distances wide beside the head is hidden as well, filled in, and
compared: mean difference of the colours, and of their gradients (per hundredth of an eye distance, beside the mean
gradient of the true strip), in 1/255. ``moves`` sums up how far the background behind the person is from the picture
where the matte is below 0.1 (in 1/255 times squared eye distances): this moves with the head. It contains loose hair,
which should.
"""

import argparse
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from portraittalk import load_model, read_image
from portraittalk.compositing.backdrop import RIM, Backdrop
from portraittalk.compositing.filling import filled
from portraittalk.compositing.head import FARTHEST, Head
from portraittalk.compositing.inpaint import continued
from portraittalk.compositing.planes import dilated, distances
from portraittalk.face.align import from_crop
from portraittalk.face.guided import box_mean

STRIP = 0.3  # eye distances
FINE = 150  # of an eye distance, over which gradients are averaged


def strip_errors(picture: Tensor, matte: Tensor, moves: Tensor, eye: float, chin: float) -> tuple[float, float, float]:
    """Return the differences of colours and gradients of a hidden strip, and the gradients of the true one.

    picture: (3, H, W). matte, moves: (1, H, W). chin: row below which nothing is measured.
    """
    seen = dilated(matte > 0, max(round(RIM * eye), 1))[0] == 0
    far = distances(~seen, STRIP * eye) > STRIP * eye
    rows = torch.arange(picture.shape[1])[:, None] < chin
    strip = seen & ~far & (moves[0] > 0.3) & rows
    known = far[None].to(picture)
    found = continued(filled(picture * known, known), known, moves, eye, FARTHEST)
    inner, scale = strip[:-1, :-1], 255 * eye / 100
    true, ours = (_gradients(one, max(round(eye / FINE), 1))[..., inner] for one in (picture, found))
    return (
        255 * float((found - picture).abs()[:, strip].mean()),
        scale * float((ours - true).abs().sum(0).mean()),
        scale * float(true.abs().sum(0).mean()),
    )


def _gradients(picture: Tensor, reach: int) -> Tensor:
    smooth = box_mean(picture, reach)
    return torch.stack((smooth[:, :-1, 1:] - smooth[:, :-1, :-1], smooth[:, 1:, :-1] - smooth[:, :-1, :-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="a folder for pictures of the backgrounds")
    arguments = parser.parse_args()
    model, figures = load_model(), []
    print("portrait\tcolours\tgradients\ttrue gradients\tmoves\tseconds")
    for path in arguments.portraits:
        identity = model.encode_identity([read_image(path).flattened()])
        head, picture = Head(identity, model.basis), identity.portrait
        box, eye = (0, 0, picture.shape[2], picture.shape[1]), head.farthest / FARTHEST
        matte, moves = head.matte(box), torch.zeros(1, *picture.shape[1:])
        x0, y0, x1, y1 = head.box
        moves[:, y0:y1, x0:x1] = head.moves()
        chin = float(from_crop(identity.landmarks, identity.crop)[:, 1].max())
        errors = strip_errors(picture, matte, moves, eye, chin)
        began = time.process_time()
        background = Backdrop(picture, box, matte, eye, moves).within(box)
        took = time.process_time() - began
        faint = matte[0] < 0.1
        moving = 255 * float((background - picture).abs().mean(0)[faint].sum()) / eye**2
        figures.append((*errors, moving, took))
        print(path.stem, *(f"{value:.2f}" for value in figures[-1]), sep="\t", flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            shown = (background * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(shown).save(arguments.out / f"{path.stem}.png")
    print("mean", *(f"{value:.2f}" for value in torch.tensor(figures).nanmean(0)), sep="\t")


if __name__ == "__main__":
    main()
