"""Encoders for frames that stream in: films (mp4, webm) with sound, and moving pictures (gif, webp)."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.video.stream import VideoStream

from .audio import Audio
from .colour import name_colours, to_yuv
from .sound_track import CopiedSound, EncodedSound
from .tags import tag_gif, tag_webp

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MovieFormat:
    """How a kind of file is made.

    options: of the video encoder, from the quality in 0..100. muxer: options of the container. copied: the audio codecs
    whose packets it can hold; sound: the encoder for any other. tag: puts the tags into the finished file where the
    container's own writer does not.
    """

    codec: str
    pixels: str
    options: Callable[[int], dict[str, str]]
    muxer: dict[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    sound: str | None = None
    tag: Callable[[Path, dict[str, str]], None] | None = None


def _x264(quality: int) -> dict[str, str]:
    return {"crf": str(round(35 - quality / 4)), "preset": "fast"}


def _vp9(quality: int) -> dict[str, str]:
    return {"crf": str(round(50 - quality * 0.35)), "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}


def _webp(quality: int) -> dict[str, str]:
    return {"quality": str(quality)}


MOVIES = {
    "mp4": MovieFormat("libx264", "yuv420p", _x264, {"movflags": "+faststart"}, ("aac", "mp3", "mp3float"), "aac"),
    "webm": MovieFormat("libvpx-vp9", "yuv420p", _vp9, {}, ("opus", "libopus", "vorbis"), "libopus"),
    "gif": MovieFormat("gif", "pal8", lambda quality: {}, {"loop": "0"}, tag=tag_gif),
    "webp": MovieFormat("libwebp_anim", "bgra", _webp, {"loop": "0"}, tag=tag_webp),
}


class MovieWriter:
    """Encodes frames of one size as they come; no more is held than the encoder's own look-ahead.

    size: (height, width) of the frames; the attribute of that name is what is written.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        size: tuple[int, int],
        fps: Fraction,
        audio: Audio | None,
        quality: int,
        tags: dict[str, str],
    ) -> None:
        form = MOVIES[kind]
        self._path, self._format, self._fps, self._tags = path, form, fps, tags
        halved = form.pixels == "yuv420p"  # colour has half the resolution
        self.size = (size[0] + size[0] % 2, size[1] + size[1] % 2) if halved else size
        if self.size != size:
            log.warning("%s needs even sides: the last row or column is repeated, %dx%d.", kind, *self.size[::-1])
        self._count = 0
        self._palette = _palette_graph(self.size, fps) if kind == "gif" else None
        self._sound: CopiedSound | EncodedSound | None = None
        self._container = av.open(path, "w", format=kind, options=_muxer_options(form, tags))
        try:
            self._container.metadata.update(tags)
            self._stream = self._open_picture(quality)
            self._sound = self._open_sound(audio, kind)
        except BaseException:
            self.discard()
            raise

    def _open_picture(self, quality: int) -> VideoStream:
        form = self._format
        stream = cast(VideoStream, self._container.add_stream(form.codec, self._fps, form.options(quality)))
        stream.height, stream.width = self.size
        stream.pix_fmt = form.pixels
        if form.pixels == "yuv420p":
            name_colours(stream.codec_context)
        return stream

    def _open_sound(self, audio: Audio | None, kind: str) -> CopiedSound | EncodedSound | None:
        if audio is None:
            return None
        if self._format.sound is None:
            log.warning("%s has no sound: the audio is left out.", kind)
            return None
        if audio.path is not None and CopiedSound.possible(audio.path, self._format.copied):
            return CopiedSound(self._container, audio.path)
        return EncodedSound(self._container, audio, self._format.sound)

    def add(self, pixels: np.ndarray) -> None:
        """Encode a frame (H, W, 3) uint8, and the sound that goes with it."""
        rows, columns = self.size[0] - pixels.shape[0], self.size[1] - pixels.shape[1]
        frame = av.VideoFrame.from_ndarray(
            np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge"), format="rgb24"
        )
        frame.pts, frame.time_base = self._count, 1 / self._fps
        self._container.mux(self._stream.encode(self._converted(frame)))
        self._count += 1
        if self._sound is not None:
            self._sound.advance(float(self._count / self._fps))

    def _converted(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._palette is not None:
            self._palette.vpush(frame)
            return self._palette.vpull()
        return to_yuv(frame) if self._format.pixels == "yuv420p" else frame.reformat(format=self._format.pixels)

    def finish(self) -> None:
        """Write what the encoders still hold, the rest of the sound, and the tags."""
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish()
        self._container.close()
        if self._format.tag is not None:
            self._format.tag(self._path, self._tags)

    def discard(self) -> None:
        """Let go of the files after an error; what was written is of no use."""
        if self._sound is not None:
            self._sound.close()
        with suppress(av.FFmpegError, OSError):  # a disk that is full is why we are here
            self._container.close()


def _muxer_options(form: MovieFormat, tags: dict[str, str]) -> dict[str, str]:
    # Keys of one's own (a workflow) need MP4's second way of storing tags; more programs read the comment in the first.
    own = len(tags) > 1 and "movflags" in form.muxer
    return {**form.muxer, "movflags": form.muxer["movflags"] + "+use_metadata_tags"} if own else dict(form.muxer)


def _palette_graph(size: tuple[int, int], fps: Fraction) -> Graph:
    """Turns each frame into 256 colours of its own: a palette for the whole film would need all frames at once."""
    graph = Graph()
    source = graph.add_buffer(width=size[1], height=size[0], format=av.VideoFormat("rgb24"), time_base=1 / fps)
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
