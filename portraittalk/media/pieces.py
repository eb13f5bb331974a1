"""A video written in pieces: closed files in a folder, which stay when a run is interrupted and are joined at its end.

Each piece is encoded by itself, so a video in pieces is the same whether its run was interrupted or not. Joining copies
the packets, which takes no time.
"""

import re
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..errors import SettingsError
from ..output_files import atomic_file
from .movie import MOVIES, MovieWriter, muxer_options, open_sound
from .sound import Sound

KINDS = ("mp4", "webm")
_NAME = re.compile(rf"\d{{8}}\.({'|'.join(KINDS)})")


def check_pieces(kind: str) -> None:
    """Raise SettingsError for a kind of video that cannot be written in pieces."""
    if kind not in KINDS:
        raise SettingsError(
            f"A video in the format {kind} is written in one go and cannot be resumed: choose {' or '.join(KINDS)}."
        )


class PieceWriter:
    """Encoder for a stream of frames that goes on after the pieces in a folder.

    frames: number of frames in closed pieces. count: those and the frames added since.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed: list[Path] = []
        self._open: MovieWriter | None = None
        self._place = ExitStack()  # of the open piece's file
        self.frames = self.count = 0

    def take_up(self, frames: int) -> None:
        """Go on after the first ``frames`` frames, which end with a piece, and remove the pieces after them."""
        for path in sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)):
            if self.frames < frames and path.stem == _stem(self.frames):
                self._closed.append(path)
                self.frames = self.count = self.frames + frames_in(path)
            else:
                path.unlink()

    def ends(self) -> list[int]:
        """Return the number of frames after each piece in the folder, as far as they follow each other."""
        files = {path.stem: path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)}
        ends = [0]
        while path := files.get(_stem(ends[-1])):
            ends.append(ends[-1] + frames_in(path))
        return ends

    def begin(
        self,
        path: Path,
        kind: str,
        size: tuple[int, int],
        fps: Fraction,
        audio: Sound | None,
        copied: bool,
        quality: int,
        tags: dict[str, str],
    ) -> None:
        """Set what is written; parameters as those of ``MovieWriter``."""
        self._path, self._kind, self.size, self._fps = path, kind, size, fps
        self._audio, self._copied, self._quality, self._tags = audio, copied, quality, tags

    def add(self, pixels: np.ndarray) -> None:
        """Encode a frame (H, W, 3) uint8."""
        if self._open is None:
            part = self._place.enter_context(atomic_file(self._folder / f"{_stem(self.count)}.{self._kind}"))
            self._open = MovieWriter(part, self._kind, self.size, self._fps, None, False, self._quality, {})
            self._part = part
        self._open.add(pixels)
        self.count += 1

    def close_piece(self) -> None:
        """Finish the open piece: from now on it stays."""
        if self._open is None:
            return
        self._open.finish()
        self._closed.append(self._folder / self._part.name)
        self._open = None
        self._place.close()
        self.frames = self.count

    def finish(self) -> None:
        """Join all pieces, with the audio, to the video."""
        files = list(self._closed)
        if self._open is not None:
            self._open.finish()
            self.size = self._open.size
            files.append(self._part)
        with atomic_file(self._path) as part:
            join(files, part, self._kind, self._fps, self._audio, self._copied, self._tags)
        self.discard()

    def discard(self) -> None:
        """Remove the open piece; closed ones stay."""
        if self._open is not None:
            with suppress(av.FFmpegError, OSError):
                self._open.discard()
            self._open = None
        self._place.pop_all().__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)  # the file is not put in place


def join(
    pieces: list[Path],
    path: Path,
    kind: str,
    fps: Fraction,
    audio: Sound | None,
    copied: bool,
    tags: dict[str, str],
) -> None:
    """Copy the pictures of pieces, one after the other, and the audio to a video."""
    with av.open(path, "w", format=kind, options=muxer_options(MOVIES[kind], tags)) as output:
        output.metadata.update(tags)
        with av.open(pieces[0]) as first:
            stream = output.add_stream_from_template(first.streams.video[0])
        stream.time_base = 1 / fps
        sound = open_sound(output, kind, audio, copied)
        try:
            begin = 0
            for piece in pieces:
                with av.open(piece) as container:
                    count = 0
                    for packet in container.demux(container.streams.video[0]):
                        if not packet.size:  # marks the end
                            continue
                        assert packet.pts is not None and packet.dts is not None
                        tick = packet.time_base * fps  # in frames
                        packet.pts, packet.dts = (begin + round(at * tick) for at in (packet.pts, packet.dts))
                        packet.duration, packet.time_base, packet.stream = 1, 1 / fps, stream
                        output.mux(packet)
                        count += 1
                        if sound is not None:
                            sound.advance(float((begin + count) / fps))
                begin += count
            if sound is not None:
                sound.finish()
        finally:
            if sound is not None:
                sound.close()


def frames_in(path: Path) -> int:
    """Return the number of frames in a piece."""
    with av.open(path) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)


def _stem(frame: int) -> str:
    return f"{frame:08d}"
