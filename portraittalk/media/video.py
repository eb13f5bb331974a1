"""Writing a video: frames stream in, and the file appears only when it is complete."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError, SettingsError
from ..progress import Progress, ProgressCallback, ignore_progress
from .audio import Audio, exact_fps, frame_count
from .movie import MOVIES, MovieWriter
from .sequence import SequenceWriter, sequence_pattern
from .tags import GENERATED

log = logging.getLogger(__name__)

KINDS = (*MOVIES, "png")
QUALITY = 80


@dataclass(frozen=True)
class VideoFile:
    """A video that was written. path: the file, or for PNGs the folder or the files' numbered name.

    seconds: length of the picture. size: (height, width) in pixels.
    """

    path: Path
    frames: int
    seconds: float
    size: tuple[int, int]


def write_video(
    frames: Iterable[Tensor],
    path: str | Path,
    fps: float | Fraction,
    audio: Audio | None = None,
    kind: str | None = None,
    quality: int = QUALITY,
    metadata: Mapping[str, str] | None = None,
    progress: ProgressCallback = ignore_progress,
) -> VideoFile:
    """Write frames as a video; every chunk is encoded and let go before the next is asked for.

    frames: chunks (n, 3, H, W) in 0..1, all of one size, on any device. Frame k is shown from k / fps seconds on.
    path: the file, or for PNGs a name such as ``frame_%05d.png`` or a new folder (with kind "png").
    audio: starts with the first frame. A file's own stream is copied where the container takes its codec, else the
    sound is encoded once; gif, webp and png carry none.
    kind: mp4, webm, gif, webp or png; by default what the suffix of the path says.
    quality: 0..100; gif and png ignore it.
    metadata: tags beside the comment that says that the video was generated; gif has room for the comment only.

    Raises, before the first frame is asked for: MediaError when the output cannot be written, SettingsError for an
    impossible fps, kind or quality. After any exception, also of the iterator, nothing is left on the disk, and a file
    that was there before is as it was.
    """
    path = Path(path)
    kind = check_output(path, kind)
    rate = video_rate(fps)
    if not 0 <= quality <= 100:
        raise SettingsError(f"A quality of {quality} does not exist: give 0 (small) to 100 (best).")
    tags = {**(metadata or {}), "comment": GENERATED}
    total = frame_count(audio.samples, audio.sample_rate, fps) if audio is not None else 0
    with _appearing(path, kind) as part:
        writer: MovieWriter | SequenceWriter | None = None
        count = 0
        try:
            for chunk in frames:
                with _explained(path):
                    if writer is None:
                        height, width = chunk.shape[2:]
                        writer = _open(part, path, kind, (height, width), rate, audio, quality, tags)
                    for pixels in _bytes(chunk):
                        writer.add(pixels)
                count += len(chunk)
                del chunk  # or two are alive while the next is made
                progress(Progress("write", count, max(total, count)))
            if writer is None:
                raise MediaError(f"There are no frames to write to {path.name}.")
            with _explained(path):
                writer.finish()
        except BaseException:
            if writer is not None:
                writer.discard()
            raise
    written = path.with_name(sequence_pattern(path.name)) if kind == "png" and path.suffix else path
    return VideoFile(written, count, float(count / rate), writer.size)


def video_rate(fps: float | Fraction) -> Fraction:
    """The rate to write: 29.97 and its kin are the television rates 30000/1001 and so on, others stay as they are."""
    exact = exact_fps(fps)
    television = Fraction(round(exact) * 1000, 1001)
    near = exact != round(exact) and abs(exact - television) < Fraction(5, 1000)
    return television if near else exact.limit_denominator(1001)


def check_output(path: str | Path, kind: str | None = None) -> str:
    """See whether a video can be written, before the work for it begins. Returns its kind; MediaError says why not."""
    path = Path(path)
    if kind is None:
        kind = path.suffix.lower().lstrip(".")
        if kind not in KINDS:
            raise MediaError(f"{path.name} ends in none of the formats that can be written: .{', .'.join(KINDS)}.")
    elif kind not in KINDS:
        raise SettingsError(f"There is no video format {kind}: choose one of {', '.join(KINDS)}.")
    if not path.parent.is_dir():
        raise MediaError(f"{path} cannot be written: the folder {path.parent} does not exist, make it first.")
    if path.is_dir() and (kind != "png" or any(path.iterdir())):
        what = "is a folder: add a file name" if kind != "png" else "is a folder with files in it: choose a new one"
        raise MediaError(f"{path} cannot be written because it {what}.")
    _remove(_begin(path, kind))
    return kind


def _open(
    part: Path,
    path: Path,
    kind: str,
    size: tuple[int, int],
    rate: Fraction,
    audio: Audio | None,
    quality: int,
    tags: dict[str, str],
) -> MovieWriter | SequenceWriter:
    if kind != "png":
        return MovieWriter(part, kind, size, rate, audio, quality, tags)
    if audio is not None:
        log.warning("A sequence of PNGs has no sound: the audio is left out.")
    return SequenceWriter(part, sequence_pattern(path.name) if path.suffix else "frame_%05d.png", size, tags)


def _bytes(chunk: Tensor) -> Iterator[np.ndarray]:
    """(n, 3, H, W) in 0..1 -> (H, W, 3) uint8 each: one by one stays in the processor's cache, five times as fast."""
    for frame in chunk.detach():
        rounded = frame.float().mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
        yield rounded.permute(1, 2, 0).contiguous().cpu().numpy()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors of the encoders and the disk as one sentence; not those of whoever makes the frames."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name} could not be written ({error.strerror}): check the disk and the format."
        ) from error


@contextmanager
def _appearing(path: Path, kind: str) -> Iterator[Path]:
    """A place beside ``path`` to write to, which becomes it in the end, or is removed. For PNGs it is a folder."""
    part = _begin(path, kind)
    try:
        yield part
        with _explained(path):
            _publish(part, path)
    finally:
        _remove(part)


def _begin(path: Path, kind: str) -> Path:
    part = path.with_name(path.name + ".part")
    try:
        _remove(part)
        part.mkdir() if kind == "png" else part.touch()
    except OSError as error:
        raise MediaError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
    return part


def _publish(part: Path, path: Path) -> None:
    if part.is_dir() and path.suffix:  # a numbered name: the files go beside what else is there
        for file in part.iterdir():
            file.replace(path.parent / file.name)
        return
    if path.is_dir():
        path.rmdir()
    part.replace(path)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
