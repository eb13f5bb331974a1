"""How much a second reference improves the far cheek of a turned portrait.

    python benchmarks/sides.py PORTRAIT ... --out FILE.png

Each frontal portrait is turned to the side by the warp, which compresses its far cheek. The result is animated back to
the front, alone and with a relit copy of the portrait as a second reference, and compared with the portrait. Prints the
mean error, in 1/255, over the pixels taken from the second reference. Each row of the output picture shows: turned,
turned back alone, turned back with the second reference, and the portrait.
"""

import argparse
import math
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk.compositing.cheeks import head_yaw
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.structure import structure_of_landmarks
from portraittalk.compositing.warp import flow_between
from portraittalk.face.align import extract_crop, to_crop
from portraittalk.face.providers import provider_named
from portraittalk.media.image import read_image, write_png
from portraittalk.metrics.pixels import l1
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import load_model
from portraittalk.types import Identity, SamplingSettings, Speech, Style

TURN = 0.45  # radians; away from the direction the portrait already faces
LIGHT = (0.85, 0.80, 0.70)  # RGB gain of the second reference relative to the portrait
SIDE = 512  # side of the compared crops in pixels


def still(expression: Tensor, yaw: float = 0.0) -> MotionTrack:
    """Return a one-frame track of an expression (52,), turned by ``yaw`` radians to the picture's right."""
    track = MotionTrack.of_expression(expression[None], 25.0)
    return replace(track, rotation=torch.tensor([[0.0, yaw, 0.0]]))


@torch.no_grad()
def compare(model, provider, photo: Tensor) -> tuple[list[Tensor], float, float]:
    """Return the pictures of a row, (3, SIDE, SIDE) each, and the errors alone and with the second reference."""
    front = model.encode_identity([photo], provider=provider)
    config, shapes = model.config, front.blendshapes
    turn = TURN if head_yaw(front.landmarks) < 0.05 else -TURN
    landmarks = move_landmarks(front.landmarks, shapes, still(shapes, turn), model.basis)
    flow = flow_between(front.landmarks, landmarks, config.crop_size, config.structure.flow_size)
    zeros = torch.zeros(1, 1, config.crop_size, config.crop_size)
    turned = Compositor(photo, front.crop)(flow, zeros.expand(-1, 3, -1, -1), zeros)[0]
    second = photo * torch.tensor(LIGHT)[:, None, None]
    alone = model.encode_identity([turned], provider=provider)
    both = model.encode_identity([turned, second], provider=provider)
    target = to_crop(provider(photo)[0].landmarks, alone.crop)[None]
    speech = Speech(torch.zeros(1, config.speech.steps, config.speech.dim), 25.0, 1 / 25)

    def render(identity: Identity) -> tuple[Tensor, Tensor]:
        structure = structure_of_landmarks(identity, target, shapes[None], still(shapes), config)
        frames = model.render(identity, speech, Style(), lambda _: structure, SamplingSettings(), "crop")
        resized = interpolate(torch.cat(list(frames)), (SIDE, SIDE), mode="bilinear", antialias=True)
        return resized[0], interpolate(structure.borrowed, (SIDE, SIDE), mode="bilinear")[0]

    truth, (with_one, _), (with_second, borrowed) = extract_crop(photo, alone.crop, SIDE), render(alone), render(both)
    errors = (255 * l1(picture, truth, (borrowed > 0.5).float()) for picture in (with_one, with_second))
    return [extract_crop(turned, alone.crop, SIDE), with_one, with_second, truth], *errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--landmarker", default="own")
    arguments = parser.parse_args()
    model, provider = load_model("mini"), provider_named(arguments.landmarker)
    rows, errors = [], []
    for path in arguments.portraits:
        pictures, alone, both = compare(model, provider, read_image(path).flattened())
        rows.append(torch.cat(pictures, -1))
        if math.isnan(both):
            print(f"{path.stem}: the second reference is not used, because no area is stretched enough", flush=True)
            continue
        print(f"{path.stem}: {alone:.1f} alone, {both:.1f} with the second reference", flush=True)
        errors.append((alone, both))
    if errors:
        print("median: {:.1f}, {:.1f}".format(*(statistics.median(column) for column in zip(*errors, strict=True))))
    write_png(torch.cat(rows, 1), arguments.out)


if __name__ == "__main__":
    main()
