"""A long speech against a short one: peak memory, and whether the video ends as well as it begins.

    python benchmarks/long_speech.py --seconds 60 600 [--out DIR] [further options of `portraittalk animate`]

The speech is repeated to each length, and animated by a process of its own. Prints the peak memory for each, and for
the last length:

- borders: how much frames differ from their predecessors at the borders of what is drawn together, over how much the
  others do; 1 without seams.
- colour, sharpness and identity of the first and of the last ten seconds: the mean of all pixels in 1/255, the mean
  absolute Laplacian in 1/255, and the cosine between the face recogniser's features of frames and portrait.
- by how much the lips that are found in the frames come later than the motion that was asked for, in both.
- by how much the sound comes later at the end than the speech that was given.

Ends with exit code 1 if one of the limits is passed that stand beside the figures.
"""

import argparse
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from memory import measure, write_speech
from torch import Tensor
from torch.nn.functional import cosine_similarity

from portraittalk.face.align import aligned_crop, extract_crop
from portraittalk.face.providers import provider_named
from portraittalk.media.audio import read_audio
from portraittalk.media.image import read_image
from portraittalk.media.reader import read_video
from portraittalk.metrics.identity import identity_embedding
from portraittalk.metrics.lips import apertures, best_lag, correlation
from portraittalk.metrics.pixels import laplacian
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face, SamplingSettings, image_size

DEMO = Path(__file__).resolve().parents[1] / "portraittalk" / "assets" / "demo"
END = 10.0  # seconds that are compared
SIDE = 256  # of the face crops whose sharpness is measured
IDENTITY_EVERY = 5  # frames
REACH = 0.1  # seconds by which sound may be shifted
MEMORY, BORDER, COLOUR, SHARPNESS, IDENTITY, LATE = 0.05, 0.1, 1.0, 0.1, 0.02, 0.02  # largest differences

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--portrait", type=Path, default=DEMO / "portrait.jpg")
parser.add_argument("--speech", type=Path, default=DEMO / "speech.wav")
parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 600.0])
parser.add_argument("--out", type=Path, help="folder for the videos, by default none is kept")


@dataclass(frozen=True)
class Look:
    """Figures of some seconds of a video. late: seconds by which lips come after the motion."""

    colour: float
    sharpness: float
    identity: float
    late: float
    matched: float


def look(frames: list[Tensor], asked: Tensor, fps: float, portrait: Tensor) -> Look:
    """Measure frames (3, H, W). asked: (F,) lip apertures of the motion. portrait: the picture that is animated."""
    finder = provider_named("own")
    found: list[Face | None] = [next(iter(finder(frame)), None) for frame in frames]
    person = identity_embedding(portrait, finder(portrait)[0])
    sharpness, identity = [], []
    for number, (frame, face) in enumerate(zip(frames, found, strict=True)):
        if face is not None and number % IDENTITY_EVERY == 0:
            crop = aligned_crop(face.landmarks, image_size(frame), SIDE)
            sharpness.append(laplacian(extract_crop(frame, crop, SIDE)).abs().mean())
            identity.append(cosine_similarity(identity_embedding(frame, face), person, dim=0))
    seen = apertures(found)
    return Look(
        255 * float(torch.stack([frame.mean() for frame in frames]).mean()),
        255 * float(torch.stack(sharpness).mean()),
        float(torch.stack(identity).mean()),
        lag(asked, seen) / fps,
        best_lag(asked, seen)[1],
    )


def lag(first: Tensor, second: Tensor) -> float:
    """Return by how many frames the curve ``second`` (F,) is late, between frames by the parabola of the best three."""
    best, value = best_lag(first, second)
    sides = []
    for step in (best - 1, best + 1):
        early, late = first[max(0, -step) : len(first) - max(0, step)], second[max(0, step) :]
        sides.append(correlation(early, late[: len(early)]))
    bend = sides[0] - 2 * value + sides[1]
    return best + (sides[0] - sides[1]) / (2 * bend)


def shift(heard: Tensor, given: Tensor, rate: int) -> float:
    """Return by how many seconds sound (T,) is late, at most ``REACH``."""
    size = 1 << (len(heard) + len(given)).bit_length()
    match = torch.fft.irfft(torch.fft.rfft(heard, size) * torch.fft.rfft(given, size).conj(), size)
    reach = int(REACH * rate)
    return (int(torch.cat((match[-reach:], match[: reach + 1])).argmax()) - reach) / rate


def frames_of(path: Path, seconds: float) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return the first and the last frames of a video, and how much each frame differs from the one before it."""
    video = read_video(path)
    count = round(seconds * video.fps)
    first, last, steps = list(islice(video, count)), deque[Tensor](maxlen=count), []
    for frame in video:
        if last:
            # As a number: a small tensor per frame would keep the memory of all frames before it from being used again.
            steps.append(float((frame - last[-1]).abs().mean()))
        last.append(frame)
    return first, list(last), torch.tensor(steps)


def judged(name: str, value: float, limit: float, unit: str = "") -> bool:
    """Print a figure, and return whether its size is within the limit."""
    fine = abs(value) <= limit
    print(f"  {name}: {value:+.4g}{unit} (at most {limit:g}{unit}){'' if fine else '  NOT MET'}", flush=True)
    return fine


def main() -> None:
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        peaks = []
        for seconds in arguments.seconds:
            speech, video = folder / f"{seconds:g}.wav", folder / f"{seconds:g}.mp4"
            motion = video.with_suffix(".json")
            write_speech(arguments.speech, seconds, speech)
            memory, took = measure(arguments.portrait, speech, video, ["--motion-out", str(motion), *options])
            peaks.append(memory)
            print(f"{seconds:g} s: peak memory {memory:.0f} MB, {took / seconds:.2f} s per second", flush=True)
        fine = [judged("memory, last against first", peaks[-1] / peaks[0] - 1, MEMORY)]

        first, last, steps = frames_of(video, END)
        borders = torch.arange(1, len(steps) + 1) % SamplingSettings().chunk == 0
        ratio = float(steps[borders].mean() / steps[~borders].mean())
        fine.append(judged("borders of chunks against the rest, minus 1", ratio - 1, BORDER))

        track = MotionTrack.load(motion)
        asked, portrait = load_basis().asked_aperture(track.expression), read_image(arguments.portrait).flattened()
        begin = look(first, asked[: len(first)], track.fps, portrait)
        end = look(last, asked[len(asked) - len(last) :], track.fps, portrait)
        print(f"  {begin}\n  {end}")
        fine.append(judged("colour, change", end.colour - begin.colour, COLOUR))
        fine.append(judged("sharpness, change", end.sharpness / begin.sharpness - 1, SHARPNESS))
        fine.append(judged("identity, change", end.identity - begin.identity, IDENTITY))
        fine.append(judged("lips late at the beginning", begin.late, LATE, " s"))
        fine.append(judged("lips late at the end", end.late, LATE, " s"))

        given, heard = read_audio(speech), read_audio(video)
        start = max(int((seconds - END) * given.sample_rate), 0)
        late = shift(heard.mono()[start : given.samples], given.mono()[start:], given.sample_rate)
        fine.append(judged("sound late at the end", late, LATE, " s"))
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
