"""Writing a video from a stream of frames; the file appears under its final name only when it is complete."""

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import NoneType

import av
import numpy as np
from PIL import Image
from torch import Tensor

from ..checks import check_path, check_type, check_whole
from ..errors import MediaError, OutputError, SettingsError
from ..output_files import (
    atomic_file,
    atomic_folder,
    check_file,
    check_outputs,
    check_parent,
    check_space,
    explained,
    free_space,
)
from ..progress import Progress, ProgressCallback, ignore_progress
from .audio import exact_fps, frame_count
from .movie import MOVIES, MovieWriter, copies_sound
from .pieces import PieceWriter, check_pieces
from .sequence import SequenceWriter, frame_name, frames_in, sequence_pattern
from .sound import Sound, check_sound, source_of
from .tags import GENERATED
from .tensors import check_pictures

log = logging.getLogger(__name__)

KINDS = (*MOVIES, "png")
# Size of a frame relative to the same picture as PNG, at least: measured with a photograph and a flat drawing in which
# hardly anything moves, at the lowest quality.
_LEAST_SHARE = {"mp4": 0.0008, "webm": 0.0008, "webp": 0.0001, "gif": 0.03, "png": 0.8}
QUALITY = 80
ROWS = 32  # of a frame that are converted to bytes at a time


@dataclass(frozen=True)
class VideoFile:
    """A written video. path: the file, or for PNGs the folder or the numbered file name.

    frames: as written, which are fewer than were given if the format has a highest frame rate. seconds: duration of the
    frames, without the audio. size: (height, width) in pixels.
    """

    path: Path
    frames: int
    seconds: float
    size: tuple[int, int]


def write_video(
    frames: Iterable[Tensor],
    path: str | Path,
    fps: float | Fraction,
    audio: Sound | None = None,
    kind: str | None = None,
    quality: int = QUALITY,
    metadata: Mapping[str, str] | None = None,
    progress: ProgressCallback = ignore_progress,
    pieces: PieceWriter | None = None,
) -> VideoFile:
    """Write frames as a video; each chunk is encoded and freed before the next is requested.

    frames: chunks (n, 3, H, W) in 0..1, all of one size, on any device. Frame k is shown from k / fps seconds on.
    path: the file, or for PNGs a name such as ``frame_%05d.png`` or a new folder (with kind "png").
    audio: starts with the first frame. A file's own stream is copied if the container takes it, which is tried out
    before the first frame is requested, else the audio is encoded once; gif, webp and png are written without audio.
    kind: mp4, webm, gif, webp or png; by default taken from the suffix of the path.
    quality: 0..100; ignored for gif and png.
    metadata: tags beside the comment that marks the video as generated; gif stores the comment only.
    pieces: for mp4 and webm, keeps what is finished in a folder; the frames are those after the ones in there.

    Raises, before the first frame is requested: OutputError if the output cannot be written or is the audio's file,
    SettingsError for an invalid fps, kind or quality. After any exception, including the iterator's, nothing is left on
    disk and an existing file is unchanged.
    """
    path = check_path("The output", path, MediaError)
    check_type("The frames", frames, Iterable, "chunks (n, 3, H, W)", MediaError)
    check_whole("The quality, from small file to best,", quality, 0, 100)
    rate = video_rate(fps)
    if audio is not None:
        check_sound(audio)
    tags = {**_checked_tags(metadata), "comment": GENERATED}
    source = None if audio is None else source_of(audio)
    kind = check_output(path, kind, [] if source is None else [source])
    if pieces is not None:
        check_pieces(kind)
    copied = copies_sound(kind, audio)
    total = frame_count(audio.samples, audio.sample_rate, fps) if audio is not None else 0
    # A writer of pieces needs a place for the video only at its end.
    with _appearing(path, kind) if pieces is None else nullcontext(path) as part:
        writer: MovieWriter | SequenceWriter | PieceWriter | None = None
        count, layout = 0 if pieces is None else pieces.frames, "N 3 H W"
        try:
            for chunk in frames:
                check_pictures(chunk, "A chunk of frames", layout)
                with _explained(path):
                    if writer is None:
                        height, width = chunk.shape[2:]
                        layout = f"N 3 {height} {width}"  # of all other chunks
                        check_room(path, kind, chunk[0], total)
                        if pieces is not None:
                            pieces.begin(part, kind, (height, width), rate, audio, copied, quality, tags)
                        writer = pieces or _open(part, path, kind, (height, width), rate, audio, copied, quality, tags)
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
    written = path
    if kind == "png":
        folder, pattern = _sequence(path)
        written = folder / pattern if _is_numbered(path) else folder
        _warn_of_other_frames(folder, pattern, writer.count)
    return VideoFile(written, writer.count, float(count / rate), writer.size)


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


def check_output(path: str | Path, kind: str | None = None, inputs: Iterable[Path] = ()) -> str:
    """Check whether a video can be written, before rendering starts, and return its kind.

    inputs: files that must not be overwritten. Raises OutputError if the output cannot be written or is an input,
    SettingsError if ``kind`` is unknown.
    """
    path = check_path("The output", path, MediaError)
    if kind is None:
        kind = path.suffix.lower().lstrip(".")
        if kind not in KINDS:
            raise OutputError(f"{path} has no supported suffix: use one of .{', .'.join(KINDS)}.")
    elif kind not in KINDS:
        raise SettingsError(f"The video format {kind} is not supported: choose one of {', '.join(KINDS)}.")
    inputs = list(inputs)
    check_parent(path)
    check_outputs([path], inputs)
    if kind != "png":
        check_file(path)
        return kind
    folder, pattern = _sequence(path)
    if _is_numbered(path):
        check_outputs(frames_in(folder, pattern).values(), inputs)
    elif path.is_dir() and any(path.iterdir()):
        raise OutputError(f"{path} cannot be written because it is a folder with files in it: choose a new one.")
    check_file(folder / frame_name(pattern, 0) if folder.is_dir() else folder)
    return kind


def check_room(path: str | Path, kind: str, picture: Tensor, frames: int) -> None:
    """Raise OutputError if the disk certainly has too little space for so many frames like ``picture`` (3, H, W)."""
    share = _LEAST_SHARE[kind] * frames
    if share * picture.numel() > free_space(path):  # only then it matters how well the picture can be compressed
        png = io.BytesIO()
        Image.fromarray(next(_bytes(picture[None]))).save(png, "PNG", compress_level=4)
        check_space(path, round(share * len(png.getvalue())))


def _is_numbered(path: Path) -> bool:
    """Return whether a PNG sequence is written as numbered files beside others, and not into a folder of its own."""
    return path.suffix.lower() == ".png"


def _sequence(path: Path) -> tuple[Path, str]:
    """Return the folder and the file name pattern of a PNG sequence."""
    return (path.parent, sequence_pattern(path.name)) if _is_numbered(path) else (path, "frame_%05d.png")


def _warn_of_other_frames(folder: Path, pattern: str, count: int) -> None:
    others = sorted(number for number in frames_in(folder, pattern) if number >= count)
    if others:
        log.warning(
            "%s also has frames of another video, from %s on: remove them before you use the sequence.",
            folder,
            frame_name(pattern, others[0]),
        )


def _open(
    part: Path,
    path: Path,
    kind: str,
    size: tuple[int, int],
    rate: Fraction,
    audio: Sound | None,
    copied: bool,
    quality: int,
    tags: dict[str, str],
) -> MovieWriter | SequenceWriter:
    if kind != "png":
        return MovieWriter(part, kind, size, rate, audio, copied, quality, tags)
    if audio is not None:
        log.warning("A PNG sequence cannot store audio: it is written without sound.")
    return SequenceWriter(part, _sequence(path)[1], size, tags)


def _bytes(chunk: Tensor) -> Iterator[np.ndarray]:
    """Yield each frame of (n, 3, H, W) in 0..1 as (H, W, 3) uint8, a view of three planes.

    A few rows at a time stay in the processor's cache. NumPy computes on one thread: torch's others would spin for a
    while after every operation, on cores that draw the next frames.
    """
    for frame in chunk.detach():
        levels = frame.float().cpu().numpy()
        planes = np.empty(levels.shape, np.uint8)
        for start in range(0, levels.shape[1], ROWS):
            rows = slice(start, start + ROWS)
            scaled = np.multiply(levels[:, rows], np.float32(255))
            scaled += np.float32(0.5)
            np.clip(scaled, 0, 255, out=scaled)
            planes[:, rows] = scaled
        yield planes.transpose(1, 2, 0)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert encoder and disk errors to OutputError; must not enclose the iterator that renders the frames."""
    try:
        with explained(path):
            yield
    except av.FFmpegError as error:
        raise OutputError(f"{path} could not be encoded ({error.strerror}): choose another format.") from error


def _appearing(path: Path, kind: str) -> AbstractContextManager[Path]:
    """Return the context of a temporary file, or of a folder for PNGs, that is put in place on success."""
    return atomic_folder(_sequence(path)[0]) if kind == "png" else atomic_file(path)
