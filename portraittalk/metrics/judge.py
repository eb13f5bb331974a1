"""How well frames go with their sound, judged from outside: by what can be seen and heard, whoever made them."""

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
    """found: share of the looked-at frames in which there is a face. blinks: a minute. sync: None without SyncNet."""

    dynamics: Adfd
    found: float
    blinks: float
    sync: LipSync | None = None

    def sentences(self) -> str:
        """The figures for people, a line each."""
        lines = [
            f"ADFD {self.dynamics.score:.2f} (filmed people get 0.4 to 0.5, a still picture 0)",
            f"  place {self.dynamics.spatial:.2f}, pace {self.dynamics.temporal:.2f}, "
            f"the face is {_when(self.dynamics.lag)}",
            f"a face in {100 * self.found:.0f} % of the frames",
            f"{self.blinks:.0f} blinks a minute (people: 10 to 25)",
        ]
        if self.sync is not None:
            lines += [
                f"LSE-C {self.sync.lse_c:.2f} (SyncNet's confidence: more is better)",
                f"LSE-D {self.sync.lse_d:.2f} (its distance: less is better), the face is {_when(self.sync.offset)}",
            ]
        return "\n".join(lines)


def looked_at(frames: int, fps: float) -> list[int]:
    """Which of so many frames are seen when they are looked at 25 times a second."""
    return [min(round(number / FPS * fps), frames - 1) for number in range(round(frames / fps * FPS))]


def judge(
    frames: Iterable[Tensor],
    audio: Audio,
    provider: FaceProvider,
    net: DynamicsNet,
    progress: ProgressCallback = ignore_progress,
    syncnet: SyncNet | None = None,
) -> Judgement:
    """frames: (3, H, W) in 0..1, 25 a second; of each the first face that ``provider`` names is looked at. With SyncNet
    they are gone through twice.

    Raises FaceError where no frame shows a face, and MediaError for less than a second.
    """
    wanted = net.curves_of(audio)
    faces: list[Face | None] = []
    for frame in frames:
        faces.append(next(iter(provider(frame)), None))
        progress(Progress("look at frames", len(faces), len(wanted)))
    dynamics = adfd(measures_of_faces(faces), wanted, net)
    if dynamics is None:
        raise MediaError("There is less than a second of frames and sound: too little to judge; connect more.")
    blinks = blinks_per_minute(faces, FPS)
    if blinks is None:
        raise FaceError("No frame shows a face: there is nothing to judge; connect the frames of a talking face.")
    sync = None if syncnet is None else lip_sync(syncnet, frames, faces, audio, progress)
    return Judgement(dynamics, sum(face is not None for face in faces) / len(faces), blinks, sync)


def _when(lag: int) -> str:
    late = round(1000 * lag / FPS)
    return f"late by {late} ms" if late > 0 else f"early by {-late} ms" if late < 0 else "in time"
