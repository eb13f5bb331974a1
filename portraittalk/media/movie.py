"""Streaming video encoders: mp4 and webm with audio, gif and animated webp without."""

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from .colour import name_colours, planar_frame, to_yuv
from .gif_palette import GifPalette
from .sound import Sound
from .sound_track import CopiedSound, EncodedSound
from .tags import tag_gif, tag_webp

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MovieFormat:
    """Encoder settings of an output format.

    options: video encoder options for a quality in 0..100. muxer: container options. copied: audio codecs whose packets
    are copied; sound: the encoder for all others. tag: writes the metadata into the finished file, for containers whose
    muxer does not. fastest: the highest frame rate, above which browsers show every frame for 0.1 s.
    """

    codec: str
    pixels: str
    options: Callable[[int], dict[str, str]]
    muxer: dict[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    sound: str | None = None
    tag: Callable[[Path, dict[str, str]], None] | None = None
    fastest: Fraction | None = None


def _x264(quality: int) -> dict[str, str]:
    # "veryfast" takes two thirds of the time of "fast", for files of the same size with 1 dB more noise.
    return {"crf": str(round(34 - quality / 4)), "preset": "veryfast"}


def _vp9(quality: int) -> dict[str, str]:
    return {"crf": str(round(50 - quality * 0.35)), "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}


def _webp(quality: int) -> dict[str, str]:
    return {"quality": str(quality)}


MOVIES = {
    "mp4": MovieFormat("libx264", "yuv420p", _x264, {"movflags": "+faststart"}, ("aac", "mp3", "mp3float"), "aac"),
    "webm": MovieFormat("libvpx-vp9", "yuv420p", _vp9, {}, ("opus", "libopus", "vorbis"), "libopus"),
    "gif": MovieFormat("gif", "pal8", lambda quality: {}, {"loop": "0"}, tag=tag_gif, fastest=Fraction(50)),
    "webp": MovieFormat("libwebp_anim", "bgra", _webp, {"loop": "0"}, tag=tag_webp, fastest=Fraction(90)),
}


def copies_sound(kind: str, audio: Sound | None) -> bool:
    """Return whether a video of this kind takes the packets of the audio's file unchanged, by trying it out.

    Raises MediaError if that file cannot be read any more.
    """
    form = MOVIES.get(kind)
    if form is None or form.sound is None or audio is None or audio.path is None:
        return False
    return CopiedSound.possible(audio.path, kind, form.copied)


class MovieWriter:
    """Encoder for a stream of frames of one size; holds only the encoder's own look-ahead in memory.

    size: (height, width) of the frames; the ``size`` attribute is that of the written video. copied: whether the
    packets of the audio's file are copied, see ``copies_sound``. count: the number of
    frames written.
    """

    def __init__(
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
        form = MOVIES[kind]
        self._path, self._format, self._tags = path, form, tags
        self._given_fps = fps
        self._fps = fps if form.fastest is None else min(fps, form.fastest)
        if self._fps < fps:
            log.warning(
                "Browsers play %s with at most %g frames per second: it is written at that rate, with the same length.",
                kind,
                self._fps,
            )
        subsampled = form.pixels == "yuv420p"  # chroma at half the resolution
        self.size = (size[0] + size[0] % 2, size[1] + size[1] % 2) if subsampled else size
        if self.size != size:
            log.warning("%s needs even sides: padded to %dx%d by repeating the edge.", kind, *self.size[::-1])
        self.count = self._given = 0
        self._palette = GifPalette(self.size, self._fps) if kind == "gif" else None
        self._sound: CopiedSound | EncodedSound | None = None
        self._container = av.open(path, "w", format=kind, options=muxer_options(form, tags))
        try:
            self._container.metadata.update(tags)
            self._stream = self._open_picture(quality)
            self._sound = open_sound(self._container, kind, audio, copied)
        except BaseException:
            self.discard()
            raise

    def _open_picture(self, quality: int) -> VideoStream:
        form = self._format
        stream = cast(VideoStream, self._container.add_stream(form.codec, self._fps, form.options(quality)))
        stream.height, stream.width = self.size
        stream.pix_fmt = form.pixels
        stream.thread_count = max((os.cpu_count() or 1) // 2, 1)  # the others draw the next frames
        if form.pixels == "yuv420p":
            name_colours(stream.codec_context)
        return stream

    def add(self, pixels: np.ndarray) -> None:
        """Encode a frame (H, W, 3) uint8 and the audio up to its end; skip it if the format's rate is lower."""
        self._given += 1
        if self.count / self._fps >= self._given / self._given_fps:  # the next frame to write is shown later
            return
        rows, columns = self.size[0] - pixels.shape[0], self.size[1] - pixels.shape[1]
        if rows or columns:
            pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
        # Planes are converted to YUV faster, and to the same levels.
        if self._format.pixels == "yuv420p":
            frame = planar_frame(pixels)
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = self.count, 1 / self._fps
        for ready in self._converted(frame):
            self._container.mux(self._stream.encode(ready))
        self.count += 1
        if self._sound is not None:
            self._sound.advance(float(self.count / self._fps))

    def _converted(self, frame: av.VideoFrame) -> Iterable[av.VideoFrame]:
        if self._palette is not None:
            return self._palette.add(frame)
        return [to_yuv(frame) if self._format.pixels == "yuv420p" else frame.reformat(format=self._format.pixels)]

    def finish(self) -> None:
        """Flush the encoders and write the rest of the audio and the metadata."""
        for ready in [] if self._palette is None else self._palette.finish():
            self._container.mux(self._stream.encode(ready))
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish()
        self._container.close()
        if self._format.tag is not None:
            self._format.tag(self._path, self._tags)

    def discard(self) -> None:
        """Close the files after an error; the output is incomplete."""
        if self._sound is not None:
            self._sound.close()
        with suppress(av.FFmpegError, OSError):  # such as a full disk, which may be the error
            self._container.close()


def open_sound(
    container: OutputContainer, kind: str, audio: Sound | None, copied: bool
) -> CopiedSound | EncodedSound | None:
    """Return the writer of the audio track; None without audio, and for a kind that stores none, with a warning."""
    if audio is None:
        return None
    codec = MOVIES[kind].sound
    if codec is None:
        log.warning("%s cannot store audio: the video is written without sound.", kind)
        return None
    if copied and audio.path is not None:
        return CopiedSound(container, audio.path)
    return EncodedSound(container, audio, codec)


def muxer_options(form: MovieFormat, tags: dict[str, str]) -> dict[str, str]:
    """Return the container options of a format for a file with these tags."""
    # Custom keys (such as a workflow) need MP4's mdta tags; a lone comment is stored in udta, which more programs read.
    custom = len(tags) > 1 and "movflags" in form.muxer
    return {**form.muxer, "movflags": form.muxer["movflags"] + "+use_metadata_tags"} if custom else dict(form.muxer)
