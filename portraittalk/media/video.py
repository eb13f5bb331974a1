"""Writing a video from a stream of frames; the file appears under its final name only when it is complete."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import NoneType

import av
import numpy as np
import torch
from torch import Tensor

from ..checks import check_path, check_type, check_whole
from ..errors import MediaError, SettingsError
from ..progress import Progress, ProgressCallback, ignore_progress
from .audio import Audio, check_audio, exact_fps, frame_count
from .movie import MOVIES, MovieWriter
from .sequence import SequenceWriter, sequence_pattern
from .tags import GENERATED
from .tensors import check_pictures

log = logging.getLogger(__name__)

KINDS = (*MOVIES, "png")
QUALITY = 80


@dataclass(frozen=True)
class VideoFile:
    """A written video. path: the file, or for PNGs the folder or the numbered file name.

    seconds: duration of the frames, without the audio. size: (height, width) in pixels.
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
    """Write frames as a video; each chunk is encoded and freed before the next is requested.

    frames: chunks (n, 3, H, W) in 0..1, all of one size, on any device. Frame k is shown from k / fps seconds on.
    path: the file, or for PNGs a name such as ``frame_%05d.png`` or a new folder (with kind "png").
    audio: starts with the first frame. A file's own stream is copied if the container supports its codec, else the
    audio is encoded once; gif, webp and png are written without audio.
    kind: mp4, webm, gif, webp or png; by default taken from the suffix of the path.
    quality: 0..100; ignored for gif and png.
    metadata: tags beside the comment that marks the video as generated; gif stores the comment only.

    Raises, before the first frame is requested: MediaError if the output cannot be written, SettingsError for an
    invalid fps, kind or quality. After any exception, including the iterator's, nothing is left on disk and an existing
    file is unchanged.
    """
    path = check_path("The output", path, MediaError)
    check_type("The frames", frames, Iterable, "chunks (n, 3, H, W)", MediaError)
    check_whole("The quality, from small file to best,", quality, 0, 100)
    rate = video_rate(fps)
    if audio is not None:
        check_audio(audio)
    tags = {**_checked_tags(metadata), "comment": GENERATED}
    kind = check_output(path, kind)
    total = frame_count(audio.samples, audio.sample_rate, fps) if audio is not None else 0
    with _appearing(path, kind) as part:
        writer: MovieWriter | SequenceWriter | None = None
        count, layout = 0, "N 3 H W"
        try:
            for chunk in frames:
                check_pictures(chunk, "A chunk of frames", layout)
                with _explained(path):
                    if writer is None:
                        height, width = chunk.shape[2:]
                        layout = f"N 3 {height} {width}"  # of all other chunks
                        writer = _open(part, path, kind, (height, width), rate, audio, quality, tags)
                    for pixels in _bytes(chunk):
                        writer.add(pixels)
                count += len(chunk)
                del chunk  # otherwise two chunks are in memory while the next is made
                progress(Progress("write", count, max(total, count)))
            if writer is None:
                raise MediaError(f"{path.name} was not written because there are no frames: give at least one.")
            with _explained(path):
                writer.finish()
        except BaseException:
            if writer is not None:
                writer.discard()
            raise
    written = path.with_name(sequence_pattern(path.name)) if kind == "png" and path.suffix else path
    return VideoFile(written, count, float(count / rate), writer.size)


def _checked_tags(metadata: Mapping[str, str] | None) -> dict[str, str]:
    check_type("The metadata", metadata, (Mapping, NoneType), "a mapping of text to text", MediaError)
    for part in (text for item in (metadata or {}).items() for text in item):
        check_type("The metadata", part, str, "a mapping of text to text", MediaError)
    return dict(metadata or {})


def video_rate(fps: float | Fraction) -> Fraction:
    """Return the frame rate to write: 29.97 and the like become the NTSC rates (30000/1001), others are kept.

    Raises SettingsError for a rate that no video may have.
    """
    exact = exact_fps(fps)
    ntsc = Fraction(round(exact) * 1000, 1001)
    near = exact != round(exact) and abs(exact - ntsc) < Fraction(5, 1000)
    return ntsc if near else exact.limit_denominator(1001)


def check_output(path: str | Path, kind: str | None = None) -> str:
    """Check whether a video can be written, before rendering starts, and return its kind.

    Raises MediaError if the output cannot be written, SettingsError if ``kind`` is unknown.
    """
    path = check_path("The output", path, MediaError)
    if kind is None:
        kind = path.suffix.lower().lstrip(".")
        if kind not in KINDS:
            raise MediaError(f"{path.name} has no supported suffix: use one of .{', .'.join(KINDS)}.")
    elif kind not in KINDS:
        raise SettingsError(f"The video format {kind} is not supported: choose one of {', '.join(KINDS)}.")
    if not path.parent.is_dir():
        raise MediaError(f"{path} cannot be written: the folder {path.parent} does not exist, create it first.")
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
        log.warning("A PNG sequence cannot store audio: it is written without sound.")
    return SequenceWriter(part, sequence_pattern(path.name) if path.suffix else "frame_%05d.png", size, tags)


def _bytes(chunk: Tensor) -> Iterator[np.ndarray]:
    """Yield each frame of (n, 3, H, W) in 0..1 as (H, W, 3) uint8.

    Frame by frame stays in the CPU cache and is five times as fast as the whole chunk at once.
    """
    for frame in chunk.detach():
        rounded = frame.float().mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
        yield rounded.permute(1, 2, 0).contiguous().cpu().numpy()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert encoder and disk errors to MediaError; must not enclose the iterator that renders the frames."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name} could not be written ({error.strerror}): check the disk and the format."
        ) from error


@contextmanager
def _appearing(path: Path, kind: str) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` (a folder for PNGs), renamed to it on success and removed on failure."""
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
    if part.is_dir() and path.suffix:  # a numbered name: the files go into the parent folder, which may hold others
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
