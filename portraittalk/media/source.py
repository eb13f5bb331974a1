"""Opening media files with FFmpeg: choosing the audio stream and finding time 0 of the timeline, as players do."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import MediaError

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m4v")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

_OPUS_RATE = 48000

log = logging.getLogger(__name__)


def open_media(path: Path) -> InputContainer:
    """Open a file for reading. Raises MediaError with the reason if that fails."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give a file.")
    try:
        # FFmpeg takes a relative path such as 12:30.wav for a URL. Nothing here reads tags of other encodings.
        return av.open(os.path.abspath(path), metadata_errors="replace")
    except FileNotFoundError as error:
        raise MediaError(f"{path} does not exist: check the path.") from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name} cannot be read as audio or video ({error.strerror}): give another file."
        ) from error


def sound_stream(container: InputContainer, path: Path) -> AudioStream:
    """Return the audio stream that a player would choose. Raises MediaError if there is none."""
    stream = container.streams.best("audio")
    if stream is None:
        raise MediaError(f"{path.name} has no audio track: give an audio file, or a video with sound.")
    return cast(AudioStream, stream)


def first_sound(path: Path) -> float:
    """Return the container time, in seconds, of the first audible sample. Raises MediaError if there is no audio."""
    with open_media(path) as container:
        stream = sound_stream(container, path)
        pre_skip = PreSkip(container, stream)
        for packet in container.demux(stream):
            for _, time, _ in pre_skip.audible(packet, decoded(packet)):
                return time
        raise MediaError(f"{path.name} contains no audio: give another audio file.")


class PreSkip:
    """Leaves out the samples before the first audible one of Opus in Matroska and WebM.

    The Opus header counts them at 48 kHz (RFC 7845), and FFmpeg leaves out what the container's CodecDelay says
    instead. Some recorders compute that from the sample rate of the microphone, and the sound comes late by the rest.
    Every other format is left as FFmpeg decodes it.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        context = stream.codec_context  # None for an unknown codec
        header = (context.extradata if context is not None else None) or b""
        counted = "matroska" in container.format.name and header.startswith(b"OpusHead") and len(header) >= 19
        self._wanted = int.from_bytes(header[10:12], "little") if counted else 0
        self._left_out = 0

    def audible(
        self, packet: "av.Packet[AudioStream]", frames: list[av.AudioFrame]
    ) -> Iterator[tuple[av.AudioFrame, float, int]]:
        """Yield the frames of a packet with the time of their first audible sample, and its number in the frame."""
        if self._left_out < self._wanted and packet.duration and packet.time_base:
            coded = round(packet.duration * packet.time_base * _OPUS_RATE)
            self._left_out += max(0, coded - sum(frame.samples for frame in frames))
        for frame in frames:
            skip = min(self._wanted - self._left_out, frame.samples)
            self._left_out += skip
            if skip < frame.samples:
                yield frame, (frame.time or 0.0) + skip / frame.sample_rate, skip


def timeline_start(container: InputContainer, first_sound: float) -> float:
    """Return the container time, in seconds, that a player shows as 0: its first frame or audible sample.

    first_sound: time of the first audible sample, which is later than the first packet if encoder priming is trimmed.
    Cover art is ignored.
    """
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if stream.start_time is not None and stream.time_base and not is_cover(stream)
    ]
    return min([first_sound, *starts])


def is_cover(stream: VideoStream) -> bool:
    """Return whether the stream is cover art attached to an audio file."""
    return bool(stream.disposition & Disposition.attached_pic)


def decoded(packet: "av.Packet[AudioStream]") -> list[av.AudioFrame]:
    """Return the frames of a packet; none if it is damaged, which leaves a gap of silence."""
    try:
        return packet.decode()
    except av.FFmpegError:
        log.warning("A damaged audio packet was skipped.")
        return []
