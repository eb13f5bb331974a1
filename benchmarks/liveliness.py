"""How much faces move compared with real speakers, without rendering: THEval's five figures of the motion asked for.

    python benchmarks/liveliness.py CLIP ... [--liveliness 0 0.5 1] [--seeds 3] [--model MODEL]

Each clip's first frame is the portrait and its sound the speech; the landmarks of the motion track stand for those that
would be found in the video, so that minutes are enough for many settings. Prints, for each liveliness, the scores of
all clips together (1 is as the real speakers, see ``metrics.naturalness``), and the correlation of the lip aperture
with the real clip's, its median over clips and seeds. Landmarks of real frames are MediaPipe's.

Speakers differ by factors: give clips of one kind of speech at a time (speakers who read in a studio; people who speak
freely), and see which liveliness is theirs.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from portraittalk import load_model
from portraittalk.face.align import from_crop
from portraittalk.face.providers import provider_named
from portraittalk.media.audio import Audio
from portraittalk.media.reader import read_video
from portraittalk.metrics.lips import apertures, correlation
from portraittalk.metrics.naturalness import Naturalness, naturalness, scores
from portraittalk.models.motion_net import MOTION_FPS
from portraittalk.motion.geometry import lip_aperture, move_landmarks
from portraittalk.pipelines.load import AnyPipeline
from portraittalk.types import Face, Identity, Speech

FPS = float(MOTION_FPS)


@dataclass(frozen=True)
class Speaker:
    """A real clip: its figures, lip aperture (F,) with nan where no face is seen, and what it is regenerated from."""

    figures: Naturalness
    aperture: Tensor
    identity: Identity
    speech: Speech
    audio: Audio
    size: tuple[int, int]


def read_speaker(path: Path, model: AnyPipeline, provider: Callable[[Tensor], list[Face]]) -> Speaker:
    video = read_video(path, MOTION_FPS)
    frames = list(video)
    faces = [next(iter(provider(frame)), None) for frame in frames]
    size, audio = (frames[0].shape[1], frames[0].shape[2]), video.audio()
    figures = naturalness(faces, size, audio, FPS)
    if figures is None:
        raise SystemExit(f"{path.name} shows no face.")
    identity = model.encode_identity([frames[0]], provider=provider)
    return Speaker(figures, apertures(faces), identity, model.encode_speech(audio, FPS), audio, size)


def performed(speaker: Speaker, model: AnyPipeline, seed: int, liveliness: float) -> tuple[Naturalness, float]:
    """Return the figures of one run, and the correlation of its lip aperture with the real one."""
    person = speaker.identity
    track = model.make_motion(speaker.speech, seed, liveliness=liveliness)
    moved = move_landmarks(person.landmarks, person.blendshapes, track, model.basis)
    faces = [Face(points, None) for points in from_crop(moved, person.crop)]
    figures = naturalness(faces, speaker.size, speaker.audio, FPS)
    assert figures is not None
    count = min(len(faces), len(speaker.aperture))
    seen = speaker.aperture[:count].isfinite()
    return figures, correlation(lip_aperture(moved)[:count][seen], speaker.aperture[:count][seen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--liveliness", type=float, nargs="+", default=[1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="mini")
    arguments = parser.parse_args()
    model, provider = load_model(arguments.model), provider_named("mediapipe")
    speakers = [read_speaker(path, model, provider) for path in arguments.clips]
    names: list[str] = []
    for liveliness in arguments.liveliness:
        runs = [performed(speaker, model, seed, liveliness) for speaker in speakers for seed in range(arguments.seeds)]
        found = scores([figures for figures, _ in runs], [speaker.figures for speaker in speakers])
        if not names:
            names = list(found)
            print("\t".join(["liveliness", *names, "lip_correlation"]))
        correlations = statistics.median(value for _, value in runs)
        print("\t".join([f"{liveliness:g}", *(f"{found[name]:.2f}" for name in names), f"{correlations:.2f}"]))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
