"""Reading a video frame by frame at a constant frame rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.stream import VideoStream
from torch import Tensor

from ..checks import HIGHEST_FPS, check_path
from ..errors import MediaError
from .audio import Audio, exact_fps, read_audio
from .colour import to_rgb
from .source import first_sound, is_cover, open_media, timeline_start

LONGEST_HOLD = 3600.0  # seconds that one frame can be shown; a longer time comes from a broken clock


@dataclass(frozen=True)
class VideoReader:
    """A video read at a constant frame rate.

    fps: frames per second. size: (height, width) after rotation. has_audio: whether it has an audio track.
    Each iteration decodes the file again and yields frames (3, H, W) float32 in 0..1. Frame k is what a player shows at
    the midpoint of k / fps and (k + 1) / fps, so that videos of variable frame rate (phones, screen recordings) stay in
    sync with their audio.
    """

    path: Path
    fps: Fraction
    size: tuple[int, int]
    has_audio: bool

    def audio(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read the audio; sample 0 coincides with the first frame. Raises MediaError if there is none."""
        return read_audio(self.path, start, duration)

    def __iter__(self) -> Iterator[Tensor]:
        sound = first_sound(self.path) if self.has_audio else math.inf
        count = 0
        with open_media(self.path) as container:
            zero = timeline_start(container, sound)
            hold = min(float(1 / _own_rate(_picture_stream(container, self.path))), LONGEST_HOLD)
            shown: Tensor | None = None
            end = 0.0
            for frame in _decoded(container, self.path):
                begin = (frame.time or 0.0) - zero
                if begin > end + LONGEST_HOLD:
                    jump = f"its clock jumps from {end:.0f} to {begin:.0f} s"
                    raise MediaError(f"{self.path.name} is damaged ({jump}): export or copy it again.")
                while shown is not None and count + 0.5 < begin * self.fps - 1e-6:
                    yield shown
                    count += 1
                shown = _pixels(frame)
                end = begin + hold
            while shown is not None and (count + 0.5 < end * self.fps or count == 0):
                yield shown
                count += 1


def read_video(path: str | Path, fps: float | Fraction | None = None) -> VideoReader:
    """Open a video for reading. fps: the frame rate to resample to, by default the video's average frame rate.

    Raises MediaError if the file cannot be read or has no video stream.
    """
    path = check_path("The video", path, MediaError)
    with open_media(path) as container:
        first = next(_decoded(container, path), None)
        if first is None:
            raise MediaError(f"{path.name} contains no frames: give a video.")
        rate = _own_rate(_picture_stream(container, path)) if fps is None else exact_fps(fps)
        if rate > HIGHEST_FPS:
            raise MediaError(f"{path.name} has {float(rate):g} frames per second, at most {HIGHEST_FPS:g} can be read.")
        height, width = _pixels(first).shape[-2:]
        return VideoReader(path, rate, (height, width), container.streams.best("audio") is not None)


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        raise MediaError(f"{path.name} has no video stream: give a video.")
    return streams[0]


def _own_rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _decoded(container: InputContainer, path: Path) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(_picture_stream(container, path))
    except av.FFmpegError as error:
        raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error


def _pixels(frame: av.VideoFrame) -> Tensor:
    """Return the frame (3, H, W) in 0..1 with its rotation applied."""
    upright = np.rot90(to_rgb(frame), frame.rotation // 90)
    return torch.from_numpy(upright.transpose(2, 0, 1).copy()).float() / 255
