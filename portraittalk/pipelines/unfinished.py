"""Keeping what a run has finished, so that it can be taken up after an interruption.

A folder beside the video holds closed pieces of it (``media.pieces``), the latents with which the sampler goes on after
the last of them, and a digest of everything that the frames depend on. A run that finds the same digest begins after
the last piece and ends with the same file, bit for bit, as a run that was not interrupted.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from ..errors import OutputError
from ..media.pieces import PieceWriter
from ..output_files import make_folder, write_text
from ..tensor_files import SUFFIX, read_tensors, write_tensors
from .base import Checkpoint

log = logging.getLogger(__name__)

PIECE_FRAMES = 48  # shortest piece: about two seconds, what an interruption costs at most
ROWS = 1 << 10  # of a tensor that are copied at a time
DIGEST = "digest.txt"
LATENTS = "latents"
_OURS = re.compile(rf"{re.escape(DIGEST)}|\d{{8}}({re.escape(SUFFIX)}|\.mp4|\.webm)|.*\.part")


class Unfinished:
    """The folder of a run that may be interrupted. pieces: the writer for ``write_video``.

    frames: number of frames that an earlier run has finished, known after ``take_up``.
    """

    def __init__(self, folder: Path, *encoding: Any) -> None:
        """encoding: what the encoded frames depend on beside the inputs of ``take_up``, such as the quality."""
        self.folder = folder
        self.pieces = PieceWriter(folder)
        self.frames = 0
        self._encoding = encoding

    @classmethod
    def beside(cls, video: Path, *encoding: Any) -> "Unfinished":
        """Return the folder of a run that writes this video."""
        return cls(video.with_name(f"{video.name}.unfinished"), *encoding)

    def take_up(self, *inputs: Any) -> Checkpoint:
        """Return the checkpoint for ``Pipeline.animate``: after what is finished, or at the start for other inputs.

        inputs: everything that the frames depend on, see ``digest``. Raises OutputError if the
        folder holds other files, or cannot be written.
        """
        key = digest(
            _source_code(), av.__version__, torch.__version__, torch.get_num_threads(), self._encoding, *inputs
        )
        if self.folder.is_dir():
            self._check_ours()
            if _text(self.folder / DIGEST) != key:
                if (self.folder / DIGEST).exists():
                    log.warning("%s is of a run with other inputs or settings: this run starts anew.", self.folder)
                self.remove()
        make_folder(self.folder)
        write_text(self.folder / DIGEST, key)
        known = {int(path.stem): path for path in self.folder.glob(f"*{SUFFIX}")}
        # Latents are those of the frame where a piece ends, or of the whole clip, which are saved at frame 0.
        self.frames = max((end for end in self.pieces.ends() if end in known or 0 in known), default=0)
        self.pieces.take_up(self.frames)
        path = known.get(self.frames, known.get(0))
        latents = None if path is None else read_tensors(path)[1][LATENTS]
        if self.frames:
            log.info("%s: %d frames are finished, the run goes on after them.", self.folder, self.frames)
        return Checkpoint(self.frames, latents, self._save)

    def _save(self, frames: int, latents: Tensor | None) -> None:
        ends_piece = frames - self.pieces.frames >= PIECE_FRAMES
        if latents is not None and (ends_piece or frames == 0):
            write_tensors(self._latents(frames), {LATENTS: latents})
        if ends_piece:
            self.pieces.close_piece()
            if latents is not None:
                for path in self.folder.glob(f"*{SUFFIX}"):
                    if path != self._latents(frames):
                        path.unlink()

    def _latents(self, frames: int) -> Path:
        return self.folder / f"{frames:08d}{SUFFIX}"

    def remove(self) -> None:
        """Remove the folder: the video is finished, or its inputs have changed."""
        self._check_ours()
        shutil.rmtree(self.folder)

    def _check_ours(self) -> None:
        other = next((path.name for path in self.folder.iterdir() if not _OURS.fullmatch(path.name)), None)
        if other is not None:
            raise OutputError(
                f"{self.folder} holds {other}, which is not of an unfinished run: move it away, or rename the output."
            )


def digest(*values: Any) -> str:
    """Return a digest of values: tensors, dataclasses, mappings, sequences, and what ``repr`` shows in full."""
    state = hashlib.blake2b(digest_size=16)
    _add(state, values)
    return state.hexdigest()


def _add(state: "hashlib.blake2b", value: Any) -> None:
    state.update(type(value).__name__.encode() + b"(")
    if isinstance(value, Tensor):
        state.update(f"{value.dtype} {tuple(value.shape)}".encode())
        # In parts, since the features of speech are a view that takes five times the memory as a copy.
        for part in value.detach().split(ROWS) if value.ndim else (value.detach(),):
            state.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif is_dataclass(value):
        _add(state, {field.name: getattr(value, field.name) for field in fields(value) if field.compare})
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _add(state, key)
            _add(state, item)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            _add(state, item)
    elif isinstance(value, torch.nn.Module):
        _add(state, dict(value.state_dict()))
    else:
        state.update(repr(value).encode())
    state.update(b")")


@lru_cache(maxsize=1)
def _source_code() -> str:
    """Return a digest of this package: another version may make other frames."""
    root = Path(__file__).parents[1]
    return digest(*((path.name, path.read_bytes()) for path in sorted(root.rglob("*.py"))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
