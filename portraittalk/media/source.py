"""Opening files with FFmpeg: the sound that a player would play, and where its clock starts."""

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
    """Open a file for reading; MediaError, with the reason, when that cannot be done."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give a file.")
    try:
        return av.open(path)
    except FileNotFoundError as error:
        raise MediaError(f"{path} does not exist: check the path.") from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path.name} is no sound or video that can be read ({error.strerror}).") from error


def sound_stream(container: InputContainer, path: Path) -> AudioStream:
    """The stream a player would play; MediaError where there is none."""
    stream = container.streams.best("audio")
    if stream is None:
        raise MediaError(f"There is no sound in {path.name}: give an audio file, or a video with sound.")
    return cast(AudioStream, stream)


def first_sound(path: Path) -> float:
    """The second, in the container's own clock, of the first sample that is heard. Raises MediaError without sound."""
    with open_media(path) as container:
        packets = container.demux(sound_stream(container, path))
        frame = next((frame for packet in packets for frame in decoded(packet)), None)
        if frame is None:
            raise MediaError(f"{path.name} holds no sound: give another audio file.")
        return frame.time or 0.0


def timeline_start(container: InputContainer, first_sound: float) -> float:
    """The second, in the container's own clock, that a player shows as 0: its first picture or sound.

    first_sound: time of the first sample that is heard, which is later than the first packet's where an encoder's
    priming is cut off. Cover art is no picture of the timeline.
    """
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if stream.start_time is not None and stream.time_base and not is_cover(stream)
    ]
    return min([first_sound, *starts])


def is_cover(stream: VideoStream) -> bool:
    """Whether the stream is a picture attached to a sound file."""
    return bool(stream.disposition & Disposition.attached_pic)


def decoded(packet: "av.Packet[AudioStream]") -> list[av.AudioFrame]:
    """The frames of a packet; none where it is damaged, which leaves a gap of silence."""
    try:
        return packet.decode()
    except av.FFmpegError:
        log.warning("A damaged piece of the sound was left out.")
        return []
