"""Opening media files with FFmpeg: choosing the audio stream and finding time 0 of the timeline, as players do."""

import logging
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import MediaError

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m4v")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

log = logging.getLogger(__name__)


def open_media(path: Path) -> InputContainer:
    """Open a file for reading. Raises MediaError with the reason if that fails."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give a file.")
    try:
        return av.open(path, metadata_errors="replace")  # tags of other encodings, which nothing here reads
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
        packets = container.demux(sound_stream(container, path))
        frame = next((frame for packet in packets for frame in decoded(packet)), None)
        if frame is None:
            raise MediaError(f"{path.name} contains no audio: give another audio file.")
        return frame.time or 0.0


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
