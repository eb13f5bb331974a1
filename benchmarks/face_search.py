"""How often a face is found where none is, and how often a face is found as it is turned, drawn and scaled.

    python benchmarks/face_search.py PORTRAIT ...
    python benchmarks/face_search.py PORTRAIT ... --landmarker mediapipe --negatives 40 --save FOLDER

Negatives are made from a seed (``faceless.py``), ``--negatives`` of each kind, and the pictures of ``--photos``. The
portraits, one face each, are shown as they are, in the drawn looks, small, and turned; MediaPipe's landmarks of the
portrait as it is, and the known transform, say where the face is. A find is right if eyes, nose and mouth of the face
that would be animated are there. Prints a Markdown table; --save writes each picture that went wrong, with its faces.
"""

import argparse
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from faceless import array, beside_faces, drawn, drawn_kinds, filled_in, photographed, photographs, watermarked
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from portraittalk.compositing.painter import Painter
from portraittalk.face.align import aligned_crop, eye_distance
from portraittalk.face.detect import FaceProvider
from portraittalk.face.mediapipe import MediaPipeProvider
from portraittalk.face.mesh import keypoints_of
from portraittalk.face.providers import NAMES, provider_named
from portraittalk.face.search import overlap
from portraittalk.media.image import read_image
from portraittalk.text.networks import load_look_networks
from portraittalk.types import Face, image_size

DRAWN = (
    "oil painting", "watercolour", "pencil sketch", "charcoal drawing", "ink drawing", "anime", "comic",
    "pastel drawing",
)  # fmt: skip
SIZES = (24, 32, 48, 64, 96, 128, 200, 400)  # pixels of the longer side of the face's box
ANGLES = (*range(0, 360, 30), 10, 45)  # degrees anticlockwise
SCENE = 768  # pixels: side of the scene in which small faces stand
RIGHT = 0.15  # mean distance of the keypoints from the truth, in outer eye distances

Portrait = tuple[str, Tensor, Face]


@dataclass
class Row:
    """The result of one kind of pictures. right: the first face is where it should be. phantoms: other faces."""

    kind: str
    pictures: int = 0
    right: int = 0
    phantoms: int = 0
    pictures_with_phantoms: int = 0


def search_nothing(kind: str, pictures: Iterable[tuple[str, Tensor]], provider: FaceProvider, save: Path | None) -> Row:
    row = Row(kind)
    for name, image in pictures:
        faces = provider(image)
        row.pictures += 1
        row.phantoms += len(faces)
        row.pictures_with_phantoms += bool(faces)
        if faces and save:
            save_marked(save / f"{kind}_{name}.png", image, faces)
    return row


def search_face(
    kind: str, views: Iterable[tuple[str, Tensor, Tensor]], provider: FaceProvider, save: Path | None
) -> Row:
    """views: names, pictures and the true landmarks (478, 3)."""
    row = Row(kind)
    for name, image, truth in views:
        faces = provider(image)
        right = bool(faces) and is_right(faces[0], truth)
        phantoms = [face for face in faces if overlap(face, Face(truth)) < 0.1]
        row.pictures += 1
        row.right += right
        row.phantoms += len(phantoms)
        row.pictures_with_phantoms += bool(phantoms)
        if save and (phantoms or not right):
            save_marked(save / f"{kind}_{name}.png", image, faces)
    return row


def is_right(face: Face, truth: Tensor) -> bool:
    distance = (keypoints_of(face.landmarks) - keypoints_of(truth)).norm(dim=-1).mean()
    return bool(distance < RIGHT * eye_distance(truth))


def looks(portraits: list[Portrait], names: tuple[str, ...]) -> Iterator[tuple[str, Tensor, Tensor]]:
    networks = load_look_networks()
    for name, image, face in portraits:
        crop = aligned_crop(face.landmarks, image_size(image), 256)
        for look in names:
            weights = torch.tensor([float(each == look) for each in networks.config.looks])
            yield f"{name}_{look}", Painter(networks.net, weights, image, crop).portrait, face.landmarks


def scaled(portraits: list[Portrait], side: int, scene: bool) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Scale portraits so that the face has this size; scene: show them in a larger, soft scene."""
    for name, image, face in portraits:
        x0, y0, x1, y1 = face.box
        factor = side / max(x1 - x0, y1 - y0)
        size = [max(round(n * factor), 8) for n in image_size(image)]
        small = interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        ratio = torch.tensor([size[1] / image.shape[-1], size[0] / image.shape[-2], factor])
        landmarks = face.landmarks * ratio
        if scene:
            room = max(SCENE, *size)
            whole = interpolate(interpolate(image[None], (3, 3), mode="area"), (room, room), mode="bilinear")[0]
            left, top = (round((room - n) * share) for n, share in zip(reversed(size), (0.3, 0.6), strict=True))
            whole[:, top : top + size[0], left : left + size[1]] = small
            small, landmarks = whole, landmarks + torch.tensor([left, top, 0.0])
        yield f"{name}_{side}", small, landmarks


def turned(portraits: list[Portrait], degrees: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Turn portraits in a square that holds all of them."""
    for name, image, face in portraits:
        height, width = image_size(image)
        angle = math.radians(degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, sin], [-sin, cos]])  # anticlockwise, with y down
        room = math.ceil(width * abs(cos) + height * abs(sin)), math.ceil(width * abs(sin) + height * abs(cos))
        middle, new_middle = torch.tensor([width / 2, height / 2]), torch.tensor([room[0] / 2, room[1] / 2])
        rows, columns = torch.meshgrid(torch.arange(room[1]) + 0.5, torch.arange(room[0]) + 0.5, indexing="ij")
        source = (torch.stack((columns, rows), -1) - new_middle) @ turn + middle  # the inverse is the transpose
        grid = source / torch.tensor([width, height]) * 2 - 1
        view = grid_sample(image[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)[0]
        xy = (face.landmarks[:, :2] - middle) @ turn.T + new_middle
        yield f"{name}_{degrees}", view.clamp(0, 1), torch.cat((xy, face.landmarks[:, 2:]), 1)


def save_marked(path: Path, image: Tensor, faces: list[Face]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array(image))
    draw = ImageDraw.Draw(picture)
    for face in faces:
        draw.rectangle(face.box, outline=(255, 0, 80), width=2)
        draw.text(face.box[:2], f"{face.score:.4f}", (255, 0, 80))
        for x, y in face.landmarks[:, :2].tolist():
            draw.point((x, y), (80, 255, 80))
    picture.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", nargs="+", type=Path, help="pictures of one face each, never trained on")
    parser.add_argument("--landmarker", choices=NAMES, default="own")
    parser.add_argument("--negatives", type=int, default=40, help="pictures of each kind without faces")
    parser.add_argument("--photos", nargs="*", default=[], type=Path, help="further photographs without people")
    parser.add_argument("--positives", type=int, help="number of portraits that are turned, drawn and scaled")
    parser.add_argument("--kinds", nargs="+", help="only the kinds whose name begins with one of these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for the pictures that went wrong")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    teacher, provider = MediaPipeProvider(max_faces=1), provider_named(arguments.landmarker)
    images = [(path.stem, read_image(path).pixels) for path in arguments.portraits]
    portraits = [(name, image, teacher(image)[0]) for name, image in images]
    plain = [(image, face) for _, image, face in portraits]
    files, count, seed = photographs(), arguments.negatives, arguments.seed
    negatives = {kind: drawn(kind, count, seed) for kind in drawn_kinds()}
    if files:
        negatives["photographs"] = photographed(files, count, seed)
        negatives["watermarks"] = watermarked(files, count, seed)
    negatives["beside faces"] = beside_faces(plain, count, seed)
    negatives["faces filled in"] = filled_in(plain, count, seed)
    if arguments.photos:
        negatives["given photographs"] = ((path.stem, read_image(path).pixels) for path in arguments.photos)

    chosen = portraits[: arguments.positives]
    positives = {"as they are": ((name, image, face.landmarks) for name, image, face in chosen)}
    positives |= {look: looks(chosen, (look,)) for look in DRAWN}
    positives |= {f"face of {side} pixels": scaled(chosen, side, False) for side in SIZES}
    positives |= {f"{side} pixels in a scene": scaled(chosen, side, True) for side in SIZES}
    positives |= {f"turned by {degrees}": turned(chosen, degrees) for degrees in ANGLES}

    def asked(kind: str) -> bool:
        return not arguments.kinds or kind.startswith(tuple(arguments.kinds))

    started = time.process_time()
    print("| without a face | pictures | with a find | finds | per 200 |\n|---|---|---|---|---|")
    total = Row("all")
    for kind, pictures in negatives.items():
        if asked(kind):
            row = search_nothing(kind, pictures, provider, arguments.save)
            print_negative(row)
            total.pictures += row.pictures
            total.phantoms += row.phantoms
            total.pictures_with_phantoms += row.pictures_with_phantoms
    print_negative(total)
    print("\n| with a face | pictures | right | pictures with other finds |\n|---|---|---|---|")
    for kind, views in positives.items():
        if asked(kind):
            row = search_face(kind, views, provider, arguments.save)
            print(f"| {row.kind} | {row.pictures} | {row.right} | {row.pictures_with_phantoms} |", flush=True)
    print(f"\n{time.process_time() - started:.0f} s of processor time")


def print_negative(row: Row) -> None:
    share = 200 * row.pictures_with_phantoms / max(row.pictures, 1)
    print(f"| {row.kind} | {row.pictures} | {row.pictures_with_phantoms} | {row.phantoms} | {share:.1f} |", flush=True)


if __name__ == "__main__":
    main()
