"""Sheets of portraits at eight poses, to look at, and how far the pictures are squeezed and stretched.

    python benchmarks/head_poses.py OUT PORTRAIT ...

Every portrait gives a sheet ``OUT/NAME.png``: the portrait, then yaw of 12 degrees to both sides, pitch of 8, roll of
10, and two mixed poses with a shift of 0.15 eye distances.
"""

import argparse
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from portraittalk import load_model, read_image
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.head import Head
from portraittalk.types import Identity

POSES = (
    (0, 12, 0, 0, 0),
    (0, -12, 0, 0, 0),
    (8, 0, 0, 0, 0),
    (-8, 0, 0, 0, 0),
    (0, 0, 10, 0, 0),
    (0, 0, -10, 0, 0),
    (4, 8, 5, 0.15, 0),
    (-3, -8, -5, -0.15, 0.1),
)  # pitch, yaw and roll in degrees; shift right and down in eye distances
COLUMNS, TILE = 3, 480
FLOW, CROP = 64, 256


def posed(identity: Identity, head: Head, pose: Tensor) -> Tensor:
    """Return the portrait at poses (N, 6): (N, 3, H, W)."""
    nothing = (
        torch.zeros(len(POSES), 8, FLOW, FLOW),
        torch.zeros(len(POSES), 3, CROP, CROP),
        torch.zeros(len(POSES), 1, CROP, CROP),
    )
    return Compositor(identity.portrait, identity.crop, head)(*nothing, pose=pose)


def sheet(pictures: list[Tensor]) -> Image.Image:
    height, width = pictures[0].shape[1:]
    size = (TILE, round(TILE * height / width))
    whole = Image.new("RGB", (COLUMNS * size[0], -(-len(pictures) // COLUMNS) * size[1]))
    for number, picture in enumerate(pictures):
        tile = Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
        place = (number % COLUMNS * size[0], number // COLUMNS * size[1])
        whole.paste(tile.resize(size, Image.Resampling.LANCZOS), place)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("portraits", type=Path, nargs="+")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = load_model()
    pose = torch.tensor([[*map(math.radians, one[:3]), *one[3:], 0.0] for one in POSES])
    print("portrait\tlargest shift\tstrongest squeeze\tstrongest stretch")
    for path in arguments.portraits:
        identity = model.encode_identity([read_image(path).flattened()])
        head = Head(identity, model.basis)
        offsets = head.offsets(pose)
        spacing = (head.at[0, 1] - head.at[0, 0]).norm()
        across, down = offsets.diff(dim=3)[:, :, :-1] / spacing, offsets.diff(dim=2)[..., :-1] / spacing
        area = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
        print(f"{path.stem}\t{offsets.norm(dim=1).max():.1f}\t{area.max():.2f}\t{area.min():.2f}")
        sheet([identity.portrait, *posed(identity, head, pose)]).save(arguments.out / f"{path.stem}.png")


if __name__ == "__main__":
    main()
