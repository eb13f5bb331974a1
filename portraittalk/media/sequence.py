"""Writing frames as a numbered sequence of lossless PNG files."""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_NUMBER = re.compile(r"%0?\d*d")


class SequenceWriter:
    """Writer of one PNG file per frame. pattern: the file name, with a frame number such as ``%05d``."""

    def __init__(self, folder: Path, pattern: str, size: tuple[int, int], tags: dict[str, str]) -> None:
        self.size = size
        self._folder, self._pattern, self._count = folder, pattern, 0
        self._info = PngInfo()
        for key, value in tags.items():
            self._info.add_itxt(key.capitalize() if key == "comment" else key, value)

    def add(self, pixels: np.ndarray) -> None:
        """Write a frame (H, W, 3) uint8."""
        name = _NUMBER.sub(lambda number: number.group() % self._count, self._pattern, count=1)
        Image.fromarray(pixels).save(self._folder / name, format="PNG", pnginfo=self._info, compress_level=4)
        self._count += 1

    def finish(self) -> None:
        """Do nothing: each file is complete as soon as it is written."""

    def discard(self) -> None:
        """Do nothing: the caller removes the folder that it created."""


def sequence_pattern(name: str) -> str:
    """Return the name itself if it has a frame number such as ``%05d``, else one with ``_%05d`` before the suffix."""
    path = Path(name)
    return name if _NUMBER.search(name) else f"{path.stem}_%05d{path.suffix}"
