"""Validation of ADFD's ranking: real video must score above shifted audio, other people's audio and a still video."""

import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from ..face.detect import FaceProvider
from ..media.audio import Audio
from ..media.reader import VideoReader, read_video
from ..media.video import write_video
from ..output_files import temporary_folder
from .adfd import adfd
from .dynamics import FPS, DynamicsNet, measures_of_faces

SHIFT_SECONDS = 0.2


@dataclass(frozen=True)
class Ranking:
    """ADFD of one video under different conditions.

    real: with its own audio. late, early: with that audio 0.2 s late and early. other, other_highest: median and
    maximum with the audio of the other videos. still: of its first frame as a still video. made, made_by_reference: of
    a generated video, against the audio and against the real video; None if there is none.
    """

    name: str
    real: float
    late: float
    early: float
    other: float
    other_highest: float
    still: float
    made: float | None
    made_by_reference: float | None

    @property
    def in_order(self) -> bool:
        """Whether real > late and early > other > still."""
        return self.real > max(self.late, self.early) and min(self.late, self.early) > self.other > self.still


def rank(videos: list[Path], provider: FaceProvider, net: DynamicsNet, made: Path | None = None) -> list[Ranking]:
    """Score at least two videos of talking people. made: folder with generated videos of the same names."""
    sounds = {path: read_video(path).audio() for path in videos}
    predicted = {path: net.curves_of(sound) for path, sound in sounds.items()}
    rows = []
    for path in videos:
        video = read_video(path, FPS)
        measured = _curves(video, provider)
        others = torch.tensor([_score(measured, predicted[other], net) for other in videos if other != path])
        generated = None if made is None else _curves(read_video(made / path.name, FPS), provider)
        rows.append(
            Ranking(
                path.stem,
                real=_score(measured, predicted[path], net),
                late=_score(measured, net.curves_of(shifted(sounds[path], SHIFT_SECONDS)), net),
                early=_score(measured, net.curves_of(shifted(sounds[path], -SHIFT_SECONDS)), net),
                other=others.median().item(),
                other_highest=others.max().item(),
                still=_score(_still(video, provider, len(measured)), predicted[path], net),
                made=None if generated is None else _score(generated, predicted[path], net),
                made_by_reference=None if generated is None else _score(generated, measured, net),
            )
        )
    return rows


def shifted(audio: Audio, seconds: float) -> Audio:
    """Return the audio delayed by ``seconds``, or advanced if negative, padded with silence to the same length."""
    count = round(abs(seconds) * audio.sample_rate)
    silence = audio.waveform.new_zeros(audio.waveform.shape[0], count)
    parts = (silence, audio.waveform[:, :-count]) if seconds > 0 else (audio.waveform[:, count:], silence)
    return Audio(torch.cat(parts, 1), audio.sample_rate)


def ranking_table(rows: list[Ranking]) -> str:
    """Return the rows as tab-separated text, then the medians and the number of rows in the right order."""
    names = [f.name for f in fields(Ranking) if f.name != "name"]
    values = [[getattr(row, name) for name in names] for row in rows]
    columns = [[value for value in column if value is not None] for column in zip(*values, strict=True)]
    medians = [torch.tensor(column).quantile(0.5).item() if column else None for column in columns]
    lines = [["", *names]]
    lines += [[row.name, *map(_shown, one)] for row, one in zip(rows, values, strict=True)]
    lines.append(["median", *map(_shown, medians)])
    ordered = sum(row.in_order for row in rows)
    return "\n".join("\t".join(line) for line in lines) + f"\n{ordered} of {len(rows)} in the right order"


def _score(measured: Tensor, target: Tensor, net: DynamicsNet) -> float:
    result = adfd(measured, target, net)
    return float("nan") if result is None else result.score


def _curves(video: VideoReader, provider: FaceProvider) -> Tensor:
    faces = [next(iter(provider(frame)), None) for frame in video]
    return measures_of_faces(faces)


def _still(video: VideoReader, provider: FaceProvider, count: int) -> Tensor:
    """Return the curves of a still video of the first frame, encoded and detected like any other video."""
    first = next(iter(video))
    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / "still.mp4"
        write_video([first.expand(count, -1, -1, -1)], path, FPS)
        return _curves(read_video(path, FPS), provider)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
