"""Files of ComfyUI's input, output and temp folders, by names that come from workflows and are not trusted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ...portraittalk.errors import MediaError


def list_input_files(*kinds: str) -> list[str]:
    """Files directly in the input folder. kinds: "image", "audio", "video", or suffixes such as ".json"."""
    folder = Path(folder_paths.get_input_directory())
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    suffixes = tuple(kind for kind in kinds if kind.startswith("."))
    if suffixes:
        return [name for name in names if name.lower().endswith(suffixes)]
    return folder_paths.filter_files_content_types(names, list(kinds))


def list_output_files(suffix: str) -> list[str]:
    """Files of a suffix anywhere in the output folder, annotated the way ComfyUI does: ``name [output]``."""
    folder = Path(folder_paths.get_output_directory())
    return [f"{path.relative_to(folder).as_posix()} [output]" for path in sorted(folder.rglob(f"*{suffix}"))]


def stored_file(name: str) -> Path:
    """A file of ComfyUI's input folder, or of another of its folders by ``name [output]`` or ``name [temp]``.

    A name comes from a workflow and is not trusted: raises MediaError where it is not there or leads out of the folder.
    """
    plain, annotated = folder_paths.annotated_filepath(name)
    folder = Path(annotated or folder_paths.get_input_directory())
    path = _inside(folder, plain)
    if path is None or not path.is_file():
        raise MediaError(f"There is no file '{name}' in ComfyUI's {folder.name} folder; upload it or choose another.")
    return path


def stored_file_problem(name: str) -> str | None:
    """What is wrong with such a name, or None."""
    try:
        stored_file(name)
    except MediaError as error:
        return str(error)
    return None


def fingerprint(path: Path) -> str:
    """Changes when the file does."""
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


@dataclass(frozen=True)
class SavePlace:
    """A free name in the output folder: ``path(".mp4")`` is the file, ``subfolder`` what a preview is found by."""

    folder: Path
    stem: str
    subfolder: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.stem}{suffix}"


def output_place(prefix: str, width: int = 0, height: int = 0) -> SavePlace:
    """The next free name for a file name prefix, numbered as core does. Raises MediaError, see ``prefix_problem``."""
    problem = prefix_problem(prefix)
    if problem:
        raise MediaError(problem)
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    return SavePlace(Path(folder), f"{name}_{counter:05}_", subfolder)


def prefix_problem(prefix: str) -> str | None:
    """What is wrong with a file name prefix that comes from a workflow, or None."""
    if not prefix.strip() or prefix.endswith(("/", "\\")):
        return "The file name prefix is empty: give the file a name."
    if _inside(Path(folder_paths.get_output_directory()), prefix) is None:
        return f"The file name prefix '{prefix}' leads out of ComfyUI's output folder; use a name, or folder/name."
    return None


def temp_place(prefix: str) -> SavePlace:
    """The next free name in ComfyUI's temp folder, which ComfyUI empties by itself."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_temp_directory())
    return SavePlace(Path(folder), f"{name}_{counter:05}_", subfolder)


def workflow_metadata(prompt: Any, extra_pnginfo: dict[str, Any] | None) -> dict[str, Any]:
    """The workflow as the metadata that core writes into its files; empty where the user switched that off."""
    if args.disable_metadata:
        return {}
    found = dict(extra_pnginfo or {})
    if prompt is not None:
        found["prompt"] = prompt
    return found


def _inside(folder: Path, name: str) -> Path | None:
    """``folder / name`` with links followed, or None where that lies outside of the folder."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, ValueError):  # a NUL byte, or a name that the system does not take
        return None
    return path if path.is_relative_to(root) and path != root else None
