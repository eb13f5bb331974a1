"""Writing frames as a numbered sequence of lossless PNG files."""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# The frame number in a file name: %d or %05d. A "%d" before a letter is text, as in 50%dogs.
_NUMBER = re.compile(r"%(?:\d+d|d(?![^\W\d_]))")


class SequenceWriter:
    """Writer of one PNG file per frame. pattern: the file name, with a frame number such as ``%05d``.

    count: the number of frames written.
    """

    def __init__(self, folder: Path, pattern: str, size: tuple[int, int], tags: dict[str, str]) -> None:
        self.size = size
        self.count = 0
        self._folder, self._pattern = folder, pattern
        self._info = PngInfo()
        for key, value in tags.items():
            self._info.add_itxt(key.capitalize() if key == "comment" else key, value)

    def add(self, pixels: np.ndarray) -> None:
        """Write a frame (H, W, 3) uint8."""
        path = self._folder / frame_name(self._pattern, self.count)
        Image.fromarray(pixels).save(path, format="PNG", pnginfo=self._info, compress_level=4)
        self.count += 1

    def finish(self) -> None:
        """Do nothing: each file is complete as soon as it is written."""

    def discard(self) -> None:
        """Do nothing: the caller removes the folder that it created."""


def sequence_pattern(name: str) -> str:
    """Return the name itself if it has a frame number such as ``%05d``, else one with ``_%05d`` before the suffix."""
    path = Path(name)
    return name if _NUMBER.search(name) else f"{path.stem}_%05d{path.suffix}"


def frame_name(pattern: str, number: int) -> str:
    """Return the file name of a frame. The last number in the pattern counts."""
    field = _last_number(pattern)
    return pattern[: field.start()] + field.group() % number + pattern[field.end() :]


def frames_in(folder: Path, pattern: str) -> dict[int, Path]:
    """Return the files of the folder whose names are of this pattern, by the number of the frame."""
    field = _last_number(pattern)
    names = re.compile(re.escape(pattern[: field.start()]) + r"(\d+)" + re.escape(pattern[field.end() :]))
    matches = ((names.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match.group(1)): path for match, path in matches if match}


def _last_number(pattern: str) -> re.Match[str]:
    return list(_NUMBER.finditer(pattern))[-1]
