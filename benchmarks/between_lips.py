"""How near the insides of drawn mouths come to real ones, which the portrait did not show.

    python benchmarks/between_lips.py CLIP[,CLIP...] ... [--second] [--vgg] [--sheets DIR]

Each argument is one person: a clip, or several as ``NAME=CLIP,...``. The portrait is the frame with the most closed
lips, and the frames with the widest ones are drawn from it, with their own landmarks. Real frames are aligned to the
portrait by the corners of the eyes, because the window does not follow a head that moves. With ``--second``, the widest
mouth that is not among them, nor beside one of them, is given as a second reference.

Prints a Markdown table: L1 between the lips in 1/255, of what is drawn and of the warped portrait alone, sharpness
between the lips relative to the real one's, and with ``--vgg`` the VGG distance of the mouth window
(``training.animate.perceptual`` says what it needs), also with what is between the lips, or all around it, put in from
the real frame: what a perfect drawing of either could reach. ``--sheets`` writes real mouths above those that were
drawn.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk import load_model, read_audio
from portraittalk.arkit import ARKIT_NAMES
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.draw import blurred, fill
from portraittalk.compositing.mouth_window import BELOW_CORNERS, CORNERS, SIDE, cut_window
from portraittalk.compositing.structure import structure_of_landmarks
from portraittalk.errors import MediaError
from portraittalk.face.align import aligned_crop, extract_crop, eye_distance, to_crop
from portraittalk.face.providers import provider_named
from portraittalk.face.topology import LIPS_INNER
from portraittalk.media.image import write_png
from portraittalk.media.reader import read_video
from portraittalk.metrics.pixels import l1, sharpness
from portraittalk.motion.read import motion_of_faces
from portraittalk.pipelines.load import AnyPipeline
from portraittalk.sampling.settings import usual_settings
from portraittalk.training.animate.perceptual import VggFeatures, feature_distance
from portraittalk.types import Face, MouthWindow, Speech, Structure

FPS, FRAMES = 25.0, 100  # of each clip
MOUTHS = 16  # of one clip
SHARED = 18  # of several clips
BESIDE = 2  # frames beside a drawn one that the second reference may not be
MIDDLES = (13, 14)  # landmarks of the inner edges of the lips
COLUMNS, TILE = 8, 220  # of sheets
EDGE = 1.5  # standard deviation in pixels of the blur between drawn and real pixels in one picture


@dataclass(frozen=True)
class Mouths:
    """Crops (N, 3, S, S) in 0..1 of drawn, merely warped and real mouths, and their landmarks (N, 478, 3) in pixels."""

    drawn: Tensor
    warped: Tensor
    real: Tensor
    landmarks: Tensor

    def between_lips(self) -> Tensor:
        """Return the masks (N, 1, S, S) of what lies between the lips."""
        return fill(self.landmarks[:, LIPS_INNER, :2], self.real.shape[-1])[:, None]


def faces_of(clip: Path, landmarker: str) -> tuple[list[Tensor], list[Face]]:
    """Return the first frames of a clip, up to the first without a face, and the faces in them."""
    find = provider_named(landmarker)
    frames: list[Tensor] = []
    faces: list[Face] = []
    for frame in read_video(clip, FPS):
        found = find(frame)
        if not found or len(frames) == FRAMES:
            break
        frames.append(frame.clone())
        faces.append(found[0])
    if not frames:
        raise MediaError(f"{clip.name} has no face in its first frame.")
    return frames, faces


def gap(landmarks: Tensor) -> Tensor:
    """Return the gap (F,) between the middles of the lips of landmarks (F, 478, 3), in eye distances."""
    upper, lower = landmarks[:, MIDDLES, :2].unbind(1)
    return (lower - upper).norm(dim=-1) / eye_distance(landmarks)


def redrawn(model: AnyPipeline, clip: Path, count: int, second: bool, landmarker: str) -> Mouths:
    """Draw the ``count`` widest mouths of a clip from its most closed one."""
    frames, faces = faces_of(clip, landmarker)
    features = model.encode_speech(read_audio(clip), FPS).features
    frames, faces = frames[: len(features)], faces[: len(features)]
    order = gap(torch.stack([face.landmarks for face in faces])).argsort(descending=True).tolist()
    widest = sorted(order[:count])
    references = [frames[order[-1]]]
    if second:
        references.append(frames[next(i for i in order if all(abs(i - k) > BESIDE for k in widest))])
    identity = model.encode_identity(references, provider=provider_named(landmarker))
    basis, size = model.face_motion()[1], model.config.crop_size
    crops = [aligned_crop(faces[k].landmarks, (frames[k].shape[-2], frames[k].shape[-1]), size) for k in widest]
    landmarks = torch.stack([to_crop(faces[k].landmarks, crop) for k, crop in zip(widest, crops, strict=True)])
    read = [faces[k].blendshapes for k in widest]
    shapes = torch.stack([torch.zeros(len(ARKIT_NAMES)) if one is None else one for one in read])
    track = motion_of_faces(list(faces), FPS, basis)

    def structure_of(part: slice) -> Structure:
        moved = track.each(lambda values: values[widest][part])
        return structure_of_landmarks(identity, landmarks[part], shapes[part], moved, basis, model.config)

    speech = Speech(features[widest], FPS, len(widest) / FPS)
    settings = usual_settings(model.config)
    drawn = torch.cat(list(model.render(identity, speech, model.encode_style(), structure_of, settings, "crop")))
    structure = structure_of(slice(None))
    nothing = torch.zeros_like(structure.warped)
    compositor = Compositor(identity.portrait, identity.crop, landmarks=identity.landmarks)
    warped = compositor.crops(structure.flow, nothing, structure.mask, closure=structure.closure)
    real = torch.stack([extract_crop(frames[k], crop) for k, crop in zip(widest, crops, strict=True)])

    def sized(pictures: Tensor) -> Tensor:
        return interpolate(pictures, (size, size), mode="bilinear", antialias=True).clamp(0, 1)

    return Mouths(sized(drawn), sized(warped), real, landmarks)


def windows(pictures: Tensor, landmarks: Tensor, pixels: int, side: float = SIDE) -> Tensor:
    """Cut a window of ``side`` crops about each mouth: (N, 3, pixels, pixels)."""
    size = pictures.shape[-1]
    middle = landmarks[:, CORNERS, :2].mean(1)
    middle[:, 1] += BELOW_CORNERS * eye_distance(landmarks)
    corners = middle / size - side / 2
    each = zip(pictures, corners, strict=True)
    return torch.cat([cut_window(picture[None], MouthWindow(corner, side), pixels) for picture, corner in each])


def sheet(mouths: Mouths) -> Tensor:
    """Return real mouths above those that were drawn: (3, 2 * TILE, COLUMNS * TILE)."""
    chosen = torch.linspace(0, len(mouths.real) - 1, COLUMNS).round().long()
    rows = [windows(p[chosen], mouths.landmarks[chosen], TILE) for p in (mouths.real, mouths.drawn)]
    return torch.cat([torch.cat(list(row), -1) for row in rows], -2)


def figures(sets: list[Mouths], vgg: VggFeatures | None) -> dict[str, float]:
    """Return the rows of the table for one person's mouths: means over all of them."""
    drawn, warped, real, landmarks = (
        torch.cat([getattr(one, name) for one in sets]) for name in ("drawn", "warped", "real", "landmarks")
    )
    all_of_them = Mouths(drawn, warped, real, landmarks)
    mask = all_of_them.between_lips()
    rows = {
        "L1 between the lips: warp alone": 255 * l1(warped, real, mask),
        "L1 between the lips": 255 * l1(drawn, real, mask),
        "sharpness between the lips": statistics.median(
            sharpness(drawn[k : k + 1], real[k : k + 1], mask[k : k + 1]) for k in range(len(drawn))
        ),
    }
    if vgg is not None:
        soft = blurred(mask.float(), EDGE).clamp(0, 1)
        shown = {
            "VGG distance: warp alone": warped,
            "VGG distance": drawn,
            "VGG distance with the real inside": drawn.lerp(real, soft),
            "VGG distance with real surroundings": real.lerp(drawn, soft),
        }
        for name, pictures in shown.items():
            pairs = zip(windows(pictures, landmarks, 128), windows(real, landmarks, 128), strict=True)
            rows[name] = statistics.median(float(feature_distance(vgg, a[None], b[None])) for a, b in pairs)
    return rows


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="CLIP, or NAME=CLIP,CLIP,...")
    parser.add_argument("--second", action="store_true", help="give an open mouth as a second reference")
    parser.add_argument("--vgg", action="store_true", help="measure the VGG distance as well")
    parser.add_argument("--landmarker", default="mediapipe")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of mouths of each set")
    options = parser.parse_args()
    model, vgg = load_model("mini"), VggFeatures() if options.vgg else None
    table: dict[str, dict[str, float]] = {}
    for argument in options.sets:
        name, _, clips = argument.rpartition("=")
        paths = [Path(clip) for clip in clips.split(",")]
        count = MOUTHS if len(paths) == 1 else SHARED // len(paths)
        drawn = [redrawn(model, path, count, options.second, options.landmarker) for path in paths]
        name = name or paths[0].stem
        table[name] = figures(drawn, vgg)
        print(f"{name}: " + ", ".join(f"{row} {value:.2f}" for row, value in table[name].items()), flush=True)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            write_png(torch.cat([sheet(one) for one in drawn], -2), options.sheets / f"{name}.png")
    print("\n| |" + "".join(f" {name} |" for name in table) + " median |")
    print("|---" * (len(table) + 2) + "|")
    for row in next(iter(table.values())):
        values = [figure[row] for figure in table.values()]
        cells = "".join(f" {value:.2f} |" for value in (*values, statistics.median(values)))
        print(f"| {row} |{cells}")


if __name__ == "__main__":
    main()
