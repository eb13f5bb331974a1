"""How well lips meet, how alike a person is driven from a shut and from an open mouth, and how dark closed lids are.

    python benchmarks/lids_and_lips.py --out DIR --portraits PORTRAIT ... --clips CLIP ...

Everything is measured in rendered frames, on landmarks of MediaPipe, in distances between the outer corners of the
eyes. Of each clip, the frames with the widest and the narrowest mouth are two portraits of one person; of each portrait
with closed lips, a second one is made by opening its mouth. Prints four tables and writes a sheet for each:

- lips: the gap between them in the portrait, in a pause, and on p, b and m.
- pairs: the mean distance of lips and jaw, and the mean difference of the mouth's pixels in 1/255, between frames that
  are driven alike from the shut and from the open picture, in silence and speaking.
- lids: the number of dark pixels on the closed lid over that on the open eye's lash line.
- expressions, to one and a half times the range of real speakers: the smallest and the largest area to which the warp
  brings a piece of skin of area 1. A crease is near 0.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.draw import fill
from portraittalk.compositing.structure import build_structure
from portraittalk.face import topology as mesh
from portraittalk.face.align import SIDE_PER_EYE_DISTANCE, aligned_crop, extract_crop, eye_distance, to_crop
from portraittalk.face.providers import provider_named
from portraittalk.media.image import read_image, write_png
from portraittalk.media.reader import read_video
from portraittalk.metrics.pixels import mouth_region
from portraittalk.motion.geometry import lip_aperture, move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import load_model
from portraittalk.types import Identity, SamplingSettings, Speech, Style

SIDE = 512  # of measured crops
OPEN_JAWS = (0.3, 0.6, 0.8)  # with which second portraits are made
STEP = 2  # every how many frames of a clip are looked at
EXPRESSIONS: dict[str, dict[str, float]] = {
    "portrait": {},
    "pause": {},
    "p, b, m": {
        "mouthPressLeft": 0.35, "mouthPressRight": 0.35, "mouthRollLower": 0.15, "mouthRollUpper": 0.1,
    },
    "a little open": {"jawOpen": 0.25},
    "wide open": {"jawOpen": 0.6},
}  # fmt: skip
STRONG: dict[str, dict[str, float]] = {
    "portrait": {},
    "brows up": {"browInnerUp": 0.55, "browOuterUpLeft": 0.4, "browOuterUpRight": 0.4},
    "brows down": {"browDownLeft": 0.8, "browDownRight": 0.8},
    "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "laugh": {
        "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5,
        "eyeSquintLeft": 0.6, "eyeSquintRight": 0.6, "browInnerUp": 0.3, "jawOpen": 0.2,
    },
    "frown": {"mouthFrownLeft": 0.7, "mouthFrownRight": 0.7},
    "to one side": {"mouthSmileLeft": 0.8, "mouthDimpleRight": 0.6, "mouthLeft": 0.4},
}  # fmt: skip
RESTS = (1.0, 0.0, 0.0, 0.0, 0.0)
BLINKS = (0.0, 0.35, 0.7, 1.0, 0.5)
JAW = (*mesh.LIPS_OUTER, *mesh.LIPS_INNER, *mesh.FACE_OVAL[12:25])
EYES = ((mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER), (mesh.EYE_LEFT_UPPER[::-1], mesh.EYE_LEFT_LOWER[::-1]))
LID, LASHES, SKIN = 0.06, 0.02, (0.07, 0.13)  # eye distances above the edges of the lids


def showing(expressions: dict[str, dict[str, float]], rests: tuple[float, ...]) -> MotionTrack:
    """Return a track with one frame for each expression."""
    track = MotionTrack.of_expression(torch.zeros(len(expressions), 52), 25.0)
    for frame, expression in enumerate(expressions.values()):
        for name, value in expression.items():
            track.expression[frame, ARKIT_INDEX[name]] = value
    return replace(track, rest=torch.tensor(rests))


def speaking() -> MotionTrack:
    return showing(EXPRESSIONS, RESTS)


def blinking() -> MotionTrack:
    track = MotionTrack.of_expression(torch.zeros(len(BLINKS), 52), 25.0)
    return replace(track, blink=torch.tensor(BLINKS), rest=torch.ones(len(BLINKS)))


def opening(jaw: float) -> MotionTrack:
    track = MotionTrack.of_expression(torch.zeros(1, 52), 25.0)
    track.expression[:, ARKIT_INDEX["jawOpen"]] = jaw
    return track


@torch.no_grad()
def rendered(model, identity: Identity, track: MotionTrack) -> Tensor:
    """Return whole pictures (F, 3, H, W)."""
    count = len(track)
    speech = Speech(torch.zeros(count, model.config.speech.steps, model.config.speech.dim), 25.0, count / 25)

    def structure(frames: slice):
        return build_structure(identity, track[frames], model.basis, model.config)

    return torch.cat(list(model.render(identity, speech, Style(), structure, SamplingSettings())))


def found(provider, picture: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the aligned crop (3, SIDE, SIDE) of the face that is seen in a picture, and its landmarks there."""
    faces = provider(picture)
    if not faces:
        return None
    crop = aligned_crop(faces[0].landmarks, (picture.shape[1], picture.shape[2]), SIDE)
    return extract_crop(picture, crop), to_crop(faces[0].landmarks, crop)


def mouth_extremes(provider, path: Path) -> tuple[Tensor, Tensor]:
    """Return the frames of a clip with the narrowest and with the widest mouth."""
    shut, wide = None, None
    for number, frame in enumerate(read_video(path)):
        seen = provider(frame) if number % STEP == 0 else None
        if seen:
            aperture = float(lip_aperture(seen[0].landmarks))
            shut = min(shut or (aperture, frame), (aperture, frame), key=lambda pair: pair[0])
            wide = max(wide or (aperture, frame), (aperture, frame), key=lambda pair: pair[0])
    if shut is None or wide is None:
        raise SystemExit(f"{path.name} shows no face.")
    return shut[1], wide[1]


def likeness(provider, first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the distance of lips and jaw in eye distances, and the difference of the mouths' pixels in 1/255."""
    sides = [found(provider, picture) for picture in (first, second)]
    if sides[0] is None or sides[1] is None:
        return float("nan"), float("nan")
    (picture, points), (other, others) = sides[0], sides[1]
    apart = (points - others)[list(JAW), :2].norm(dim=-1).mean() * SIDE_PER_EYE_DISTANCE / SIDE
    region = mouth_region(points[None], SIDE)[0]
    return float(apart), 255 * float(((picture - other).abs() * region).sum() / region.sum() / 3)


def dark_pixels(picture: Tensor, upper: Tensor, lower: Tensor, threshold: Tensor) -> Tensor:
    """Count the pixels between two edges (K, 2) whose brightness is below a threshold."""
    region = fill(torch.cat((upper, lower.flip(0)))[None], picture.shape[-1])[0]
    return ((picture.mean(0) < threshold) * region).sum()


def lid_darkness(pictures: Tensor, opened: Tensor, closed: Tensor) -> float:
    """Return the dark pixels on both closed lids over those of the open eyes' lash lines.

    pictures: (2, 3, S, S), the open and the closed eyes. opened, closed: (478, 3) their landmarks in pixels.
    """
    unit, counts = float(eye_distance(opened)), []
    for upper, lower in EYES:
        top, bottom = opened[list(upper), :2], closed[list(lower), :2]

        def above(edge: Tensor, by: float) -> Tensor:
            return edge - torch.tensor([0.0, by * unit])

        skin = fill(torch.cat((above(top, SKIN[1]), above(top, SKIN[0]).flip(0)))[None], pictures.shape[-1])[0] > 0.5
        line = fill(torch.cat((above(top, LASHES), above(top, -LASHES).flip(0)))[None], pictures.shape[-1])[0] > 0.5
        light = pictures[0].mean(0)
        threshold = (light[skin].median() + light[line].quantile(0.05)) / 2
        counts.append(
            torch.stack(
                (
                    dark_pixels(pictures[0], above(top, LID), above(top, -LASHES / 2), threshold),
                    dark_pixels(pictures[1], above(top, LID), above(bottom, -LASHES), threshold),
                )
            )
        )
    lashes, lid = torch.stack(counts).sum(0).tolist()
    return lid / max(lashes, 1)


def window(pictures: Tensor, points: Tensor, indices: tuple[int, ...], width: float, shape: tuple[int, int]) -> Tensor:
    """Return a window about landmarks, ``width`` eye distances wide, as a row of pictures (3, h, F w)."""
    middle, half = points[list(indices), :2].mean(0), width * eye_distance(points) / 2
    x0, x1 = (int((middle[0] + sign * half).clamp(0, pictures.shape[-1])) for sign in (-1, 1))
    y0, y1 = (int((middle[1] + sign * half * shape[0] / shape[1]).clamp(0, pictures.shape[-2])) for sign in (-1, 1))
    cut = interpolate(pictures[..., y0:y1, x0:x1], shape, mode="bicubic", antialias=True).clamp(0, 1)
    return torch.cat(list(cut), -1)


def measure_lips(model, provider, pictures: dict[str, Tensor], out: Path) -> None:
    rows, table = [], []
    for name, picture in pictures.items():
        identity = model.encode_identity([picture])
        frames = rendered(model, identity, speaking())
        seen = [found(provider, frame) for frame in frames[:3]]
        gaps = [float("nan") if face is None else float(lip_aperture(face[1])) for face in seen]
        before = found(provider, picture)
        print(f"{name:28s}", *(f"{gap:8.3f}" for gap in gaps), flush=True)
        table.append(gaps[1:])
        if before is not None:
            points = provider(picture)[0].landmarks
            rows.append(window(frames, points, mesh.LIPS_OUTER, 1.2, (200, 220)))
    print(f"{'largest':28s}", f"{'':8s}", *(f"{max(column):8.3f}" for column in zip(*table, strict=True)))
    write_png(torch.cat(rows, -2), out)


def measure_pairs(model, provider, pairs: dict[str, tuple[Tensor, Tensor]], out: Path) -> None:
    rows, table = [], []
    for name, (shut, wide) in pairs.items():
        driven = [rendered(model, model.encode_identity([picture]), speaking()[1:]) for picture in (shut, wide)]
        values = [likeness(provider, *frames) for frames in zip(*driven, strict=True)]
        means = [statistics.fmean(column) for column in zip(*values, strict=True)]
        print(f"{name:28s} {means[0]:8.3f} {means[1]:8.1f}", flush=True)
        table.append(means)
        for picture, frames in zip((shut, wide), driven, strict=True):
            points = provider(picture)[0].landmarks
            rows.append(window(torch.cat((picture[None], frames)), points, mesh.LIPS_OUTER, 1.2, (200, 220)))
    medians = [statistics.median(column) for column in zip(*table, strict=True)]
    print(f"{'median':28s} {medians[0]:8.3f} {medians[1]:8.1f}")
    write_png(torch.cat(rows, -2), out)


def measure_lids(model, pictures: dict[str, Tensor], out: Path) -> None:
    rows, table = [], []
    for name, picture in pictures.items():
        identity = model.encode_identity([picture])
        track = blinking()
        crops = extract_crop(rendered(model, identity, track), identity.crop, SIDE)
        scale = SIDE / identity.crop.size
        points = move_landmarks(identity.landmarks, identity.blendshapes, track, model.basis) * scale
        ratio = lid_darkness(crops[[0, 3]], points[0], points[3])
        print(f"{name:28s} {ratio:8.2f}", flush=True)
        table.append(ratio)
        rows.append(window(crops, points[0], mesh.EYE_RIGHT, 0.8, (160, 260)))
    print(f"{'median, largest':28s} {statistics.median(table):8.2f} {max(table):8.2f}")
    write_png(torch.cat(rows, -2), out)


def areas(flow: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest area of skin in frames, relative to the portrait; flow: (F, 8, g, g)."""
    found = []
    for sheet in (0, 1):  # above and below the seams of mouth and eyes
        offsets = flow[:, 2 * sheet : 2 * sheet + 2] * flow.shape[-1]
        (dx_dy, dx_dx), (dy_dy, dy_dx) = (torch.gradient(offsets[:, axis], dim=(1, 2)) for axis in (0, 1))
        density = (1 + dx_dx) * (1 + dy_dy) - dx_dy * dy_dx
        found.append(density[flow[:, 6 + sheet] > 1 / flow.shape[-1]])
    density = torch.cat(found).clamp_min(1e-3)
    return float(1 / density.max()), float(1 / density.min())


def measure_expressions(model, pictures: dict[str, Tensor], out: Path) -> None:
    rows, table = [], []
    for name, picture in pictures.items():
        identity, track = model.encode_identity([picture]), showing(STRONG, (1.0,) * len(STRONG))
        table.append(areas(build_structure(identity, track, model.basis, model.config).flow))
        print(f"{name:28s} {table[-1][0]:8.2f} {table[-1][1]:8.2f}", flush=True)
        crops = extract_crop(rendered(model, identity, track), identity.crop, SIDE // 2)
        rows.append(torch.cat(list(crops), -1))
    print(f"{'smallest, largest':28s} {min(row[0] for row in table):8.2f} {max(row[1] for row in table):8.2f}")
    write_png(torch.cat(rows, -2), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("lips", "pairs", "lids", "expressions"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, provider = load_model("mini"), provider_named("mediapipe")
    portraits = {path.stem: read_image(path).flattened() for path in arguments.portraits}
    for_mouths = arguments.only in (None, "lips", "pairs")
    extremes = {path.stem: mouth_extremes(provider, path) for path in arguments.clips if for_mouths}
    pairs, jaws = dict(extremes), 0
    for name, picture in portraits.items() if for_mouths else ():
        if lip_aperture(provider(picture)[0].landmarks) < 0.02:
            jaw = OPEN_JAWS[jaws % len(OPEN_JAWS)]
            wide = rendered(model, model.encode_identity([picture]), opening(jaw))[0]
            pairs[f"{name}, jaw {jaw}"] = (picture, wide)
            jaws += 1
    wide_open = {name: wide for name, (_, wide) in pairs.items()}
    parted = {name: picture for name, picture in portraits.items() if name not in {key.split(",")[0] for key in pairs}}
    if arguments.only in (None, "lips"):
        measure_lips(model, provider, {**parted, **wide_open}, arguments.out / "lips.png")
    if arguments.only in (None, "pairs"):
        measure_pairs(model, provider, pairs, arguments.out / "pairs.png")
    if arguments.only in (None, "lids"):
        measure_lids(model, portraits, arguments.out / "lids.png")
    if arguments.only in (None, "expressions"):
        measure_expressions(model, portraits, arguments.out / "expressions.png")


if __name__ == "__main__":
    main()
