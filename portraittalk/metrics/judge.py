"""Scores of how well frames match their speech, computed from frames and audio alone, for video from any source."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ..errors import FaceError, MediaError
from ..face.detect import FaceProvider
from ..media.audio import Audio
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Face
from .adfd import Adfd, adfd
from .dynamics import FPS, DynamicsNet, measures_of_faces
from .lip_sync import LipSync, lip_sync
from .steady import blinks_per_minute
from .syncnet import SyncNet


@dataclass(frozen=True)
class Judgement:
    """The scores. found: share of sampled frames with a face. blinks: per minute. sync: None without SyncNet."""

    dynamics: Adfd
    found: float
    blinks: float
    sync: LipSync | None = None

    def sentences(self) -> str:
        """Return the scores as readable text, one per line."""
        lines = [
            f"ADFD {self.dynamics.score:.2f} (real video: 0.4 to 0.5, a still picture: 0)",
            f"  positions {self.dynamics.spatial:.2f}, velocities {self.dynamics.temporal:.2f}, "
            f"the face is {_when(self.dynamics.lag)}",
            f"a face in {100 * self.found:.0f} % of the frames",
            f"{self.blinks:.0f} blinks per minute (people: 10 to 25)",
        ]
        if self.sync is not None:
            lines += [
                f"LSE-C {self.sync.lse_c:.2f} (SyncNet's confidence, higher is better)",
                f"LSE-D {self.sync.lse_d:.2f} (SyncNet's distance, lower is better), "
                f"the face is {_when(self.sync.offset)}",
            ]
        return "\n".join(lines)


def looked_at(frames: int, fps: float) -> list[int]:
    """Return the indices of ``frames`` frames at ``fps`` that sample them at 25 fps."""
    return [min(round(number / FPS * fps), frames - 1) for number in range(round(frames / fps * FPS))]


def judge(
    frames: Iterable[Tensor],
    audio: Audio,
    provider: FaceProvider,
    net: DynamicsNet,
    progress: ProgressCallback = ignore_progress,
    syncnet: SyncNet | None = None,
) -> Judgement:
    """Score frames (3, H, W) in 0..1 at 25 fps against their speech.

    The first face that ``provider`` returns for each frame is used. With SyncNet the frames are iterated twice.
    Raises FaceError if no frame shows a face, and MediaError for less than a second of frames or audio.
    """
    predicted = net.curves_of(audio)
    faces: list[Face | None] = []
    for frame in frames:
        faces.append(next(iter(provider(frame)), None))
        progress(Progress("look at frames", len(faces), len(predicted)))
    dynamics = adfd(measures_of_faces(faces), predicted, net)
    if dynamics is None:
        raise MediaError("The frames or the audio are less than a second long: connect at least a second of both.")
    blinks = blinks_per_minute(faces, FPS)
    if blinks is None:
        raise FaceError("No frame shows a face: connect the frames of a talking face.")
    sync = None if syncnet is None else lip_sync(syncnet, frames, faces, audio, progress)
    return Judgement(dynamics, sum(face is not None for face in faces) / len(faces), blinks, sync)


def _when(lag: int) -> str:
    late = round(1000 * lag / FPS)
    return f"late by {late} ms" if late > 0 else f"early by {-late} ms" if late < 0 else "in time"
