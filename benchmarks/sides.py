"""What a second reference gives of the cheek that a portrait turns away.

    python benchmarks/sides.py PORTRAIT ... --out FILE.png

Each portrait, seen from the front, is turned to the side by the warp, which squeezes its far cheek together. The result
is animated to look to the front again, by itself and with the portrait in another light as a second reference, and
compared with the portrait. Prints the mean error, in 1/255, where the second reference is shown. The picture has a
row for each: turned, turned back by itself, with the second reference, and the portrait.
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
from portraittalk.metrics.image import l1
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import load_model
from portraittalk.types import Identity, SamplingSettings, Speech, Style

TURN = 0.45  # radians, away from where the portrait looks already
LIGHT = (0.85, 0.80, 0.70)  # of the second reference, over the portrait's
SIDE = 512  # pixels of the crops that are compared


def still(expression: Tensor, yaw: float = 0.0) -> MotionTrack:
    """One frame of a face (52,) that is turned to the picture's right by so many radians."""
    track = MotionTrack.of_expression(expression[None], 25.0)
    return replace(track, rotation=torch.tensor([[0.0, yaw, 0.0]]))


@torch.no_grad()
def compare(model, provider, photo: Tensor) -> tuple[list[Tensor], float, float]:
    """The pictures of a row, (3, SIDE, SIDE) each, and the errors by itself and with the second reference."""
    front = model.encode_identity([photo], provider=provider)
    config, shapes = model.config, front.blendshapes
    turn = TURN if head_yaw(front.landmarks) < 0.05 else -TURN
    landmarks = move_landmarks(front.landmarks, shapes, still(shapes, turn), model.basis)
    flow = flow_between(front.landmarks, landmarks, config.crop_size, config.structure.flow_size)
    nothing = torch.zeros(1, 1, config.crop_size, config.crop_size)
    turned = Compositor(photo, front.crop)(flow, nothing.expand(-1, 3, -1, -1), nothing)[0]
    second = photo * torch.tensor(LIGHT)[:, None, None]
    alone = model.encode_identity([turned], provider=provider)
    both = model.encode_identity([turned, second], provider=provider)
    target = to_crop(provider(photo)[0].landmarks, alone.crop)[None]
    speech = Speech(torch.zeros(1, config.speech.steps, config.speech.dim), 25.0, 1 / 25)

    def made(identity: Identity) -> tuple[Tensor, Tensor]:
        structure = structure_of_landmarks(identity, target, shapes[None], still(shapes), config)
        frames = model.render(identity, speech, Style(), lambda _: structure, SamplingSettings(), "crop")
        sized = interpolate(torch.cat(list(frames)), (SIDE, SIDE), mode="bilinear", antialias=True)
        return sized[0], interpolate(structure.borrowed, (SIDE, SIDE), mode="bilinear")[0]

    truth, (by_itself, _), (with_second, borrowed) = extract_crop(photo, alone.crop, SIDE), made(alone), made(both)
    errors = (255 * l1(picture, truth, (borrowed > 0.5).float()) for picture in (by_itself, with_second))
    return [extract_crop(turned, alone.crop, SIDE), by_itself, with_second, truth], *errors


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
            print(f"{path.stem}: nothing is stretched so far that the second reference is shown", flush=True)
            continue
        print(f"{path.stem}: {alone:.1f} by itself, {both:.1f} with the second reference", flush=True)
        errors.append((alone, both))
    if errors:
        print("median: {:.1f}, {:.1f}".format(*(statistics.median(column) for column in zip(*errors, strict=True))))
    write_png(torch.cat(rows, 1), arguments.out)


if __name__ == "__main__":
    main()
