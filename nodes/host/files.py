"""File access in ComfyUI's input, output and temp folders. Names come from workflows and are treated as untrusted."""

import logging
import math
import secrets
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import Input, InputImpl, Types
from torch import Tensor

from ...portraittalk.checks import shown
from ...portraittalk.errors import MediaError, OutputError
from ...portraittalk.media.audio import Audio
from ...portraittalk.media.video import QUALITY, write_video
from ...portraittalk.output_files import check_file, explained, make_folder, reserve, temporary_folder
from ...portraittalk.pipelines.unfinished import Unfinished

UNFINISHED = ("portraittalk", "unfinished")  # in ComfyUI's user folder: its temp folder is emptied when it starts
LONGEST_NAME = 1024  # characters of a name or prefix: more than any in these folders has
KEPT_RUNS = 3  # interrupted runs that are kept, beside the running one
logger = logging.getLogger(__name__)


def list_input_files(*kinds: str) -> list[str]:
    """Names of the files directly in the input folder.

    kinds: "image", "audio", "video", or suffixes such as ".json".
    """
    folder = Path(folder_paths.get_input_directory())
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    suffixes = tuple(kind for kind in kinds if kind.startswith("."))
    if suffixes:
        return [name for name in names if name.lower().endswith(suffixes)]
    return folder_paths.filter_files_content_types(names, list(kinds))


def list_output_files(suffix: str) -> list[str]:
    """Names of all files with this suffix in the output folder and its subfolders, annotated as ``name [output]``."""
    folder = Path(folder_paths.get_output_directory())
    return [f"{path.relative_to(folder).as_posix()} [output]" for path in sorted(folder.rglob(f"*{suffix}"))]


def stored_file(name: str) -> Path:
    """Return the path of a file in ComfyUI's input folder, or in another one for ``name [output]`` or ``name [temp]``.

    Raises MediaError if the file does not exist or the name leads out of the folder.
    """
    plain, annotated = folder_paths.annotated_filepath(name)
    folder = Path(annotated or folder_paths.get_input_directory())
    path = _inside(folder, plain)
    if path is None or not _is_file(path):
        raise MediaError(
            f"There is no file {shown(name)} in ComfyUI's {folder.name} folder; upload it or choose another."
        )
    return path


def stored_file_problem(name: str) -> str | None:
    """Return the error message of ``stored_file`` for this name, or None if the file exists."""
    try:
        stored_file(name)
    except MediaError as error:
        return str(error)
    return None


def fingerprint(path: Path) -> str:
    """Return a string that changes with the file: its path, size and modification time."""
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


@dataclass(frozen=True)
class SavePlace:
    """An unused file name in ComfyUI's output or temp folder.

    ``path(".mp4")`` is the file; ``subfolder`` is relative to that folder, as previews need it.
    """

    folder: Path
    stem: str
    subfolder: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.stem}{suffix}"


def output_place(prefix: str, width: int = 0, height: int = 0) -> SavePlace:
    """Return the next unused name for a file name prefix, numbered as ComfyUI's save nodes do.

    Raises MediaError for an invalid prefix, see ``prefix_problem``.
    """
    problem = prefix_problem(prefix)
    if problem:
        raise MediaError(problem)
    output = folder_paths.get_output_directory()
    with explained(Path(output) / prefix):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    return SavePlace(Path(folder), f"{name}_{counter:05}_", subfolder)


def prefix_problem(prefix: str) -> str | None:
    """Return the error message for a file name prefix that is invalid or cannot be written, or None."""
    if not prefix.strip() or prefix.endswith(("/", "\\")):
        return "The file name prefix is empty or ends in a slash: add a file name."
    if len(prefix) > LONGEST_NAME:
        return f"The file name prefix {shown(prefix)} is too long: shorten it."
    path = _inside(Path(folder_paths.get_output_directory()), prefix)
    if path is None:
        return f"The file name prefix {shown(prefix)} leads out of ComfyUI's output folder: use name or folder/name."
    try:
        with explained(path):
            folder = next(parent for parent in path.parents if parent.exists())
        check_file(folder / f"{path.name}_00000_.webm")
    except OutputError as error:
        return str(error)
    return None


def temp_path(prefix: str, suffix: str) -> Path:
    """Return an unused name in ComfyUI's temp folder, which ComfyUI empties by itself.

    It is random: a number could be taken by another process before the file is written.
    """
    return _temp_directory() / f"{prefix}_{secrets.token_hex(8)}{suffix}"


class TempFile:
    """A file in the temp folder, which is removed when nothing holds this object any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        weakref.finalize(self, _remove, path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # on Windows, something may still read it; ComfyUI removes it when it starts
        path.unlink()


class TempVideo(InputImpl.VideoFromFile):
    """A VIDEO in the temp folder, whose file is removed when no output of a node holds it, or a part of it, any more.

    ComfyUI empties that folder only when it starts, so the videos of all runs would stay until then.
    """

    def __init__(self, file: TempFile, start: float = 0, duration: float = 0) -> None:
        super().__init__(str(file.path), start_time=start, duration=duration)
        self._file, self._start = file, start

    def as_trimmed(
        self, start_time: float = 0, duration: float = 0, strict_duration: bool = True
    ) -> "TempVideo | None":
        """Return a part of the video; None if it is shorter than that and ``strict_duration`` is set."""
        part = TempVideo(self._file, self._start + start_time, duration)
        return None if strict_duration and part.get_duration() < duration else part


def write_temp_video(
    chunks: Iterable[Tensor],
    sound: Audio | None,
    fps: float,
    unfinished: Unfinished | None = None,
    *,
    played: bool = False,
) -> InputImpl.VideoFromFile:
    """Write frames (n, 3, H, W) and sound to a video in the temp folder, chunk by chunk, and return it as a VIDEO.

    sound: None for a silent video. unfinished: of the run that makes the frames; it is removed when the video is there.
    played: whether the front end plays the file, which then stays until ComfyUI starts.
    """
    path = temp_path("PortraitTalk", ".mp4")
    pieces = None if unfinished is None else unfinished.pieces
    write_video(chunks, path, fps, sound, kind="mp4", quality=QUALITY, pieces=pieces)
    if unfinished is not None:
        unfinished.remove()
    return InputImpl.VideoFromFile(str(path)) if played else TempVideo(TempFile(path))


def tensor_on_disk(shape: tuple[int, ...]) -> Tensor:
    """Return an uninitialised float32 tensor whose memory is a file of the temp folder, for frames that are many.

    The system writes its pages to the disk when memory is short. The file has no name any more, so its space is free
    when nothing holds the tensor. Raises OutputError if the disk has not so much room.
    """
    path = temp_path("frames", ".raw")
    size = math.prod(shape)
    try:
        reserve(path, 4 * size)  # else a disk that fills up would be a bus error, in some later node
        return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).view(shape)
    finally:
        path.unlink(missing_ok=True)


def unfinished_run(key: str) -> Unfinished | None:
    """Return what an interrupted run has left that had this digest of its inputs, or the place for a new one.

    Of other runs, the last ``KEPT_RUNS`` stay. None if nothing can be written there, which is logged.
    """
    place = Path(folder_paths.get_user_directory(), *UNFINISHED)
    try:
        make_folder(place)
    except OutputError as error:
        logger.warning("What is finished is not kept if this run is interrupted: %s", error)
        return None
    others = sorted((path for path in place.iterdir() if path.is_dir() and path.name != key), key=_changed)
    for path in others[:-KEPT_RUNS]:
        with suppress(OSError, OutputError):  # somebody's own files
            Unfinished(path).remove()
    return Unfinished(place / key, QUALITY)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def temp_folder() -> AbstractContextManager[Path]:
    """Return the context of a folder in ComfyUI's temp folder, which is removed at the end."""
    return temporary_folder(_temp_directory())


@contextmanager
def saved_copy(video: Input.Video) -> Iterator[Path]:
    """Provide a VIDEO as a temporary file, as ComfyUI saves it: any trim is applied, streams are copied if possible."""
    with temp_folder() as folder:
        path = folder / "video.mp4"
        with explained(path):
            video.save_to(str(path), Types.VideoContainer.MP4)
        yield path


def _temp_directory() -> Path:
    folder = Path(folder_paths.get_temp_directory())
    make_folder(folder)
    return folder


def workflow_metadata(prompt: Any, extra_pnginfo: dict[str, Any] | None) -> dict[str, Any]:
    """Return the workflow metadata that ComfyUI embeds in saved files; empty with ``--disable-metadata``."""
    if args.disable_metadata:
        return {}
    metadata = dict(extra_pnginfo or {})
    if prompt is not None:
        metadata["prompt"] = prompt
    return metadata


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _inside(folder: Path, name: str) -> Path | None:
    """Return ``folder / name`` with links resolved, or None if it lies outside the folder."""
    if len(name) > LONGEST_NAME:
        return None
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # a NUL byte, a name that the file system rejects, a loop of links
        return None
    return path if path.is_relative_to(root) and path != root else None
