"""Sheets of portraits at eight poses, to look at, and figures of what turns and what stands still.

    python benchmarks/head_poses.py OUT PORTRAIT ...
    python benchmarks/head_poses.py --look "oil painting" OUT PORTRAIT ...      the portraits painted or drawn first

Every portrait gives a sheet ``OUT/NAME.png``: yaw of 12 degrees to both sides, pitch of 8, roll of 10, two mixed poses
with a shift of 0.15 eye distances, and the matte on green. The figures, per portrait over all poses:

- background: motion in pixels of what is seen beside the person, measured in the frames (Lucas and Kanade 1981, blocks
  with texture, 95th percentile), with and without the matte;
- bent: how far straight lines of half an eye distance in hair, ears and neck leave their chord, in percent of their
  length (95th percentile and largest), and how far they do (95th percentile) if nothing fades: over a head that is not
  flat, lines do bend when it turns;
- sure: share of the surroundings in which the matte decides, see ``face.matte``.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from portraittalk import load_model, read_image
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.head import Box, Head
from portraittalk.compositing.painter import painter_for
from portraittalk.face.align import eye_distance, from_crop
from portraittalk.face.topology import FACE_OVAL
from portraittalk.models.face_basis import FaceBasis
from portraittalk.text.style import read_style
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
BLOCK, TEXTURE = 16, 1e-6  # pixels of a block, and the least product of its gradients' variances


class Everything(Head):
    """A head whose background moves with it."""

    def matte(self, box: Box, on_step: Callable[[], None] = lambda: None) -> Tensor:
        return torch.ones(1, box[3] - box[1], box[2] - box[0])


class Rigid(Head):
    """A head that is one rigid body with everything around it."""

    def __init__(self, identity: Identity, basis: FaceBasis) -> None:
        super().__init__(identity, basis)
        self.share = torch.ones_like(self.share)
        self._fields = torch.stack((self.share, self.depth))


def posed(identity: Identity, head: Head, pose: Tensor) -> Tensor:
    """Return the portrait at poses (N, 6): (N, 3, H, W)."""
    nothing = (
        torch.zeros(len(POSES), 8, FLOW, FLOW),
        torch.zeros(len(POSES), 3, CROP, CROP),
        torch.zeros(len(POSES), 1, CROP, CROP),
    )
    return Compositor(identity.portrait, identity.crop, head)(*nothing, pose=pose)


def motion_beside(portrait: Tensor, frames: Tensor, person: Tensor, reach: int) -> float:
    """Return the 95th percentile of the motion in pixels of the blocks that no person touches.

    person: (1, H, W), the matte in the portrait. reach: pixels by which the person may have moved.
    """
    light = portrait.mean(0)
    across, down = torch.gradient(light, dim=(1, 0))
    beside = 1 - torch.nn.functional.max_pool2d(person[None], 2 * reach + 1, 1, reach)[0, 0].ceil()

    def summed(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d((values * beside)[None, None], BLOCK, BLOCK)[0, 0]

    xx, xy, yy = summed(across * across), summed(across * down), summed(down * down)
    textured = (xx * yy - xy * xy > TEXTURE**2) & (summed(torch.ones_like(light)) > 0.99)
    motions = []
    for frame in frames:
        change = light - frame.mean(0)
        x, y = summed(across * change), summed(down * change)
        solved = torch.stack((yy * x - xy * y, xx * y - xy * x)) / (xx * yy - xy * xy).clamp_min(1e-12)
        motions.append(solved.norm(dim=0)[textured])
    found = torch.cat(motions)
    return float(found.quantile(0.95)) if len(found) else math.nan


def bent_lines(identity: Identity, head: Head, matte: Tensor, pose: Tensor) -> tuple[float, float]:
    """Return how far straight lines bend outside of the face, in percent: 95th percentile and largest."""
    landmarks = identity.landmarks
    eye = float(eye_distance(landmarks))
    oval = landmarks[list(FACE_OVAL), :2]
    length = torch.linspace(0, 0.5 * eye, 12)
    lines = []
    cells = head.at.flatten(0, 1)[::7]
    for axis in torch.eye(2):
        points = cells[:, None] + length[:, None] * axis  # (L, 12, 2)
        pixels = from_crop(points.double(), identity.crop).float()
        size = pixels.new_tensor((matte.shape[2], matte.shape[1]))
        inside = ((pixels > 1) & (pixels < size - 1)).all(-1).all(1)
        x, y = pixels.long().clamp_min(0).unbind(-1)
        covered = matte[0, y.clamp_max(matte.shape[1] - 1), x.clamp_max(matte.shape[2] - 1)].amin(1) > 0.9
        face = ((points - oval.mean(0)) / (oval.amax(0) - oval.amin(0)) * 2).norm(dim=-1).amin(1) < 1
        above = points[..., 1].amax(1) < oval[:, 1].amax()  # below the chin, hair lies on shoulders that stay
        lines.append(points[inside & covered & ~face & above])
    straight = torch.cat(lines)
    if not len(straight):
        return math.nan, math.nan
    offsets, seen = head.offsets(pose), straight.flatten(0, 1).expand(len(pose), -1, -1)
    for _ in range(20):  # the backward flow, inverted
        seen = straight.flatten(0, 1) - head.sampled(offsets, seen)
    bent = seen.unflatten(1, straight.shape[:2])
    chord = bent[..., -1, :] - bent[..., 0, :]
    relative = bent - bent[..., :1, :]
    aside = (relative[..., 0] * chord[..., None, 1] - relative[..., 1] * chord[..., None, 0]).abs().amax(-1)
    percent = 100 * aside / chord.square().sum(-1)
    return float(percent.quantile(0.95)), float(percent.max())


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
    parser.add_argument("--look", help="a look, such as 'pencil drawing', that the portraits are given first")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = load_model()
    pose = torch.tensor([[*map(math.radians, one[:3]), *one[3:], 0.0] for one in POSES])
    print("portrait\tbackground before\tafter\tbent 95 %\tlargest\trigid\tsure")
    for path in arguments.portraits:
        picture, name = read_image(path).flattened(), path.stem
        if arguments.look:
            picture, name = painted(picture, arguments.look), f"{path.stem}_{arguments.look.replace(' ', '_')}"
        identity = model.encode_identity([picture])
        head, everything = Head(identity, model.basis), Everything(identity, model.basis)
        height, width = picture.shape[-2:]
        matte = head.matte((0, 0, width, height))
        frames = posed(identity, head, pose)
        reach = round(head.farthest / 3)
        motions = [
            motion_beside(identity.portrait, shown, matte, reach)
            for shown in (posed(identity, everything, pose), frames)
        ]
        bent = bent_lines(identity, head, matte, pose)
        rigid, _ = bent_lines(identity, Rigid(identity, model.basis), matte, pose)
        x0, y0, x1, y1 = head.box
        sure = 1 - float((4 * matte * (1 - matte))[:, y0:y1, x0:x1].mean())
        print(name, *(f"{value:.2f}" for value in (*motions, *bent, rigid, sure)), sep="\t", flush=True)
        green = torch.tensor((0.0, 1.0, 0.0))[:, None, None]
        sheet([*frames, green.lerp(identity.portrait, matte)]).save(arguments.out / f"{name}.png")


def painted(picture: Tensor, look: str) -> Tensor:
    """Return a portrait with a look."""
    identity = load_model().encode_identity([picture])
    painter = painter_for(identity.portrait, identity.crop, read_style(look).look, 1.0, picture.device)
    assert painter is not None, f"no look is called {look}"
    return painter.portrait


if __name__ == "__main__":
    main()
