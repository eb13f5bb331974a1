"""Whether plain descriptions of parts of the face act on the video: "left eye closed", "no smile", "nodding".

    python benchmarks/plain_words.py PORTRAIT --half development --out DIR

Renders a few frames of a talking portrait for each description of one half of tests/data/plain_words.json, reads
MediaPipe's landmarks in them, and compares with the same frames without a prompt. A description passes if each reading
that it names lies within its limits, and all readings of other parts of the face stay still. By default nobody speaks;
--audio takes a speech. Prints every failure and a table by kind; --out receives a sheet of the frames and the readings.
"""

import argparse
import json
import logging
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk.compositing.structure import build_structure
from portraittalk.errors import SettingsError
from portraittalk.face import topology as mesh
from portraittalk.face.providers import provider_named
from portraittalk.face.rigid import rigid_fit, undo_rigid
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.image import read_image, write_png
from portraittalk.motion.geometry import lip_aperture, rotation_angles
from portraittalk.motion.prompted import with_style
from portraittalk.pipelines.load import load_model
from portraittalk.types import Identity, SamplingSettings, Speech, Style

DATA = Path(__file__).parents[1] / "tests" / "data" / "plain_words.json"
FPS, SEED, SECONDS = 25.0, 3, 4.8
STEADY = (45, 65)  # frames that are read, after the prompt has taken full effect
MOVING = tuple(range(20, 116, 3))  # frames that are read for gestures and blinks
GESTURES = ("pitch_swings", "yaw_swings", "roll_swings", "blinks", "head_motion")
SWING = 1.5  # degrees between two turning points
SHUT = 0.55  # opening of the lids, relative to its median, below which a blink is counted
Readings = dict[str, float]


def measure(points: Tensor, mean: Tensor) -> Readings:
    """Return readings of one face in eye distances and degrees. points, mean: (478, 3), the latter frontal."""
    facing, size, offset = rigid_fit(mean, points)
    face = undo_rigid(points, facing, size, offset)
    x, y = face[:, 0], face[:, 1]

    def apart(first: int, second: int) -> float:
        return float((face[first, :2] - face[second, :2]).norm())

    def height(*indices: int) -> float:
        return -float(y[list(indices)].mean())

    def opening(upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
        return float((y[list(lower[3:6])] - y[list(upper[3:6])]).mean())

    def gaze(iris: int, upper: tuple[int, ...]) -> Tensor:
        corners = face[[upper[0], upper[-1]], :2]
        return (face[iris, :2] - corners.mean(0)) / (corners[1] - corners[0]).norm()

    eyes = (gaze(mesh.IRIS_RIGHT[0], mesh.EYE_RIGHT_UPPER) + gaze(mesh.IRIS_LEFT[0], mesh.EYE_LEFT_UPPER)) / 2
    pitch, yaw, roll = rotation_angles(facing).rad2deg().tolist()
    return {
        "eye_left": opening(mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER),
        "eye_right": opening(mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER),
        "brow_left": height(*mesh.BROW_RIGHT_UPPER, *mesh.BROW_RIGHT_LOWER),
        "brow_right": height(*mesh.BROW_LEFT_UPPER, *mesh.BROW_LEFT_LOWER),
        "brow_inner": height(107, 55, 336, 285),
        "brow_distance": apart(55, 285),
        "mouth_gap": float(lip_aperture(points)),
        "mouth_width": apart(61, 291),
        "corner_left": height(61),
        "corner_right": height(291),
        "mouth_right": float(x[[61, 291, 0, 17]].mean()),
        "lip_height": apart(0, 13) + apart(14, 17),
        "chin": float(y[152]),
        "jaw_right": float(x[152]),
        "cheek_width": apart(172, 397),
        "nose": height(129, 358),
        "gaze_right": float(eyes[0]),
        "gaze_down": float(eyes[1]),
        "pitch": pitch,
        "yaw": yaw,
        "roll": roll,
    }


def changes(prompted: list[Readings], plain: list[Readings]) -> Readings:
    """Return the readings of a description from those of the same frames with and without the prompt."""

    def mean(frames: list[Readings], name: str) -> float:
        return statistics.fmean(frame[name] for frame in frames)

    found = {name: mean(prompted, name) - mean(plain, name) for name in plain[0]}
    for name in ("eye_left", "eye_right"):
        found[name] = mean(prompted, name) / mean(plain, name)
    eyes, corners = ([found[f"{part}_{side}"] for side in ("left", "right")] for part in ("eye", "corner"))
    found |= {"eye_narrower": min(eyes), "eye_wider": max(eyes), "corner_difference": abs(corners[0] - corners[1])}
    found |= {"brow_difference": abs(found["brow_left"] - found["brow_right"])}
    found |= {"gaze_aside": abs(found["gaze_right"]), "roll_size": abs(found["roll"])}
    curves = {
        axis: torch.tensor([a[axis] - b[axis] for a, b in zip(prompted, plain, strict=True)])
        for axis in ("pitch", "yaw", "roll")
    }
    found |= {f"{axis}_swings": swings(curve) for axis, curve in curves.items()}
    spreads = [
        torch.tensor([[frame[axis] for axis in curves] for frame in frames]).std(0).norm()
        for frames in (prompted, plain)
    ]
    found["head_motion"] = float(spreads[0] / spreads[1])
    lids = torch.tensor([frame["eye_left"] + frame["eye_right"] for frame in prompted])
    shut = lids < SHUT * lids.median()
    return found | {"blinks": float((shut[1:] & ~shut[:-1]).sum())}


def swings(curve: Tensor) -> int:
    """Return how often a curve (n,) in degrees turns back by at least ``SWING``."""
    count, direction, extreme = 0, 0, float(curve[0])
    for value in curve.tolist():
        if direction * (value - extreme) > 0 or (direction == 0 and abs(value - extreme) < SWING):
            extreme = value if direction else extreme
        elif abs(value - extreme) >= SWING:
            count, direction, extreme = count + 1, 1 if value > extreme else -1, value
    return count


class Bench:
    """One portrait with one speech or silence, whose frames without a prompt are rendered once."""

    def __init__(self, portrait: Path, audio: Audio) -> None:
        self.model, self.provider = load_model("mini"), provider_named("mediapipe")
        self.identity: Identity = self.model.encode_identity([read_image(portrait).flattened()])
        self.speech = self.model.encode_speech(audio, FPS)
        self.plain: dict[bool, list[Readings]] = {}

    @torch.no_grad()
    def look(self, style: Style, moving: bool) -> tuple[list[Readings], Tensor]:
        """Return the readings of the frames of a style, and the frames."""
        rate = {} if moving else {"blinks_per_minute": 0.0}
        motion = with_style(self.model.make_motion(self.speech, SEED, style=style, **rate), style, 1.0)
        frames = [frame for frame in (MOVING if moving else STEADY) if frame < len(motion)]
        track = motion.each(lambda values: values[frames])
        speech = Speech(self.speech.features[frames], FPS, len(frames) / FPS)

        def structure_of(part: slice):
            return build_structure(self.identity, track[part], self.model.basis, self.model.config, True)

        chunks = self.model.render(self.identity, speech, style, structure_of, SamplingSettings(), "crop")
        pictures = torch.cat(list(chunks))
        faces = [self.provider(picture)[0] for picture in pictures]
        return [measure(face.landmarks, self.model.basis.mean) for face in faces], pictures

    def run(self, description: dict[str, Any]) -> tuple[Readings, Tensor, list[str]]:
        """Return the readings of a description, its frames, and the sentences that the user gets to read."""
        sentences = Sentences()
        logging.getLogger("portraittalk").addHandler(sentences)
        try:
            style = self.model.encode_style(description["text"], description.get("negative", ""))
        except SettingsError as error:
            sentences.said.append(str(error))
            style = Style()
        finally:
            logging.getLogger("portraittalk").removeHandler(sentences)
        moving = any(name in GESTURES for name in description["expect"])
        if moving not in self.plain:
            self.plain[moving] = self.look(Style(), moving)[0]
        prompted, pictures = self.look(style, moving)
        return changes(prompted, self.plain[moving]), pictures, sentences.said


class Sentences(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def failures(description: dict[str, Any], found: Readings, said: list[str], data: dict[str, Any]) -> list[str]:
    """Return what of a description does not hold; none if it passes."""
    expect, groups = description["expect"], data["groups"]
    mine = {group for group, names in groups.items() if any(part_of(name, names) for name in expect)}
    mine |= set(description.get("free", ()))
    limits = {name: data["still"][name] for group in groups.keys() - mine for name in groups[group]} | expect
    wrong = []
    for name, (low, high) in limits.items():
        if not (float("-inf") if low is None else low) <= found[name] <= (float("inf") if high is None else high):
            wrong.append(f"{name} {found[name]:+.3f} not in {low}..{high}")
    if description.get("said") and not said:
        wrong.append("nothing is said")
    return wrong


def part_of(name: str, names: list[str]) -> bool:
    """Whether a reading belongs to a group: it or another one of the same part is in it."""
    own = {"lip_height": "mouth", "chin": "mouth", "jaw_right": "mouth", "cheek_width": "mouth", "blinks": "eye"}
    own["head_motion"] = "pitch"
    return own.get(name, name.split("_")[0]) in {known.split("_")[0] for known in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path)
    parser.add_argument("--half", choices=("development", "held_out"), default="development")
    parser.add_argument("--audio", type=Path, help="speech; silence if left out")
    parser.add_argument("--only", help="descriptions with these letters in them")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    data = json.loads(DATA.read_text(encoding="utf-8"))
    silence = Audio(torch.zeros(1, round(16000 * SECONDS)), 16000)
    bench = Bench(arguments.portrait, read_audio(arguments.audio, duration=SECONDS) if arguments.audio else silence)
    results, rows, readings = defaultdict(list), [], {}
    for description in data[arguments.half]:
        text = description["text"] or f"negative: {description['negative']}"
        if arguments.only and arguments.only not in text:
            continue
        found, pictures, said = bench.run(description)
        wrong = failures(description, found, said, data)
        readings[text] = {"readings": found, "said": said}
        results[description["kind"]].append(not wrong)
        print(f"{'ok  ' if not wrong else 'FAIL'} {text}" + "".join(f"; {reason}" for reason in wrong), flush=True)
        rows.append(interpolate(pictures[-1:], (200, 200), mode="bilinear", antialias=True)[0])
    for kind, passed in results.items():
        print(f"{kind:14s} {sum(passed):3d} of {len(passed)}")
    every = [one for passed in results.values() for one in passed]
    print(f"{'all':14s} {sum(every):3d} of {len(every)} ({sum(every) / max(len(every), 1):.0%})")
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows += [torch.ones(3, 200, 200)] * (-len(rows) % 10)
        sheet = torch.cat([torch.cat(rows[start : start + 10], -1) for start in range(0, len(rows), 10)], -2)
        write_png(sheet, arguments.out / f"{arguments.half}.png")
        (arguments.out / f"{arguments.half}.json").write_text(json.dumps(readings, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
