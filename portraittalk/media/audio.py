"""Sound from files and from memory. Time is counted in samples: sample 0 is what a player plays at 0 seconds."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer
from torch import Tensor

from ..errors import MediaError, SettingsError
from .source import decoded, open_media, sound_stream, timeline_start

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.04
# Timestamps are rounded (Matroska's to a millisecond): only a larger jump is a gap; a very large one, a broken clock.
JITTER_SECONDS, LONGEST_GAP_SECONDS = 0.02, 60.0
# Decoded before the wanted start, so that codecs that look back (mp3, aac, opus) have settled.
PREROLL_SECONDS = 1.0
# How loud each channel is in one channel, in the order of every file format (left, right, centre, low, surrounds).
_DOWNMIX = {
    6: (0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5),
    8: (0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5),
}


@dataclass(frozen=True)
class Audio:
    """Sound in memory.

    waveform: (C, T) float32, full scale is -1..1. sample_rate: samples a second. path: the file that holds exactly this
    sound, so that a video can take its stream as it is; None where it was cut, put together or made in memory.
    """

    waveform: Tensor
    sample_rate: int
    path: Path | None = None

    @property
    def samples(self) -> int:
        return self.waveform.shape[1]

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def mono(self) -> Tensor:
        """One channel (T,): the mean, or the usual downmix of 5.1 and 7.1 (centre loudest, no bass channel)."""
        channels = self.waveform.shape[0]
        weights = torch.tensor(_DOWNMIX.get(channels, (1.0,) * channels))
        return (weights / weights.sum()) @ self.waveform


def exact_fps(fps: float | Fraction) -> Fraction:
    """Frames a second as the decimal number that was written, exactly. Raises SettingsError unless it is above 0."""
    if not math.isfinite(fps) or fps <= 0:
        raise SettingsError(f"The frame rate is {fps}: give a number of frames a second above 0, such as 25.")
    return Fraction(str(fps))


def frame_count(samples: int, sample_rate: int, fps: float | Fraction) -> int:
    """The number of video frames that go with a sound: seconds * fps, rounded half up, at least 1."""
    return max(1, math.floor(Fraction(samples, sample_rate) * exact_fps(fps) + Fraction(1, 2)))


def audio_from_waveform(waveform: Tensor, sample_rate: int) -> Audio:
    """Sound from memory, such as the parts of ComfyUI's AUDIO.

    waveform: (B, C, T) or (C, T) of any floating type on any device; of a batch the first sound is taken.
    Raises MediaError when it is empty, shorter than 0.04 s, or holds NaN or infinity.
    """
    if waveform.ndim == 3:
        if waveform.shape[0] > 1:
            log.warning("The audio is a batch of %d sounds: the first one is used.", waveform.shape[0])
        waveform = waveform[0] if waveform.shape[0] else waveform.new_zeros(1, 0)
    return _checked(Audio(waveform.detach().to("cpu", torch.float32), int(sample_rate)), "the given audio")


def read_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read sound from any file that FFmpeg reads: sound files, and videos with sound.

    start and duration: the part to read, in seconds. Only that part is decoded. Where a video's sound begins after its
    picture, silence stands in between.
    Raises MediaError when there is no sound or it cannot be used: unreadable, empty, shorter than 0.04 s, NaN; and
    SettingsError for a start or duration that is none.
    """
    path = Path(path)
    if not (math.isfinite(start) and start >= 0):
        raise SettingsError(f"Reading cannot start at {start} s: give the seconds from the beginning.")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise SettingsError(f"A duration of {duration} s cannot be read: give seconds above 0.")
    with open_media(path) as container:
        stream = sound_stream(container, path)
        reading = _Reading(start, duration)
        try:
            for begin, block, rate in _blocks(container, stream, start):
                if not reading.add(begin, block, rate):
                    break
        except av.FFmpegError as error:
            raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error
        if not reading.blocks:
            what = "holds no sound" if not reading.rate else f"ends before {start:g} s, where reading should begin"
            raise MediaError(f"{path.name} {what}: give another audio file.")
    whole = start == 0 and duration is None and not reading.filled
    audio = Audio(torch.cat(reading.blocks, dim=1), reading.rate, path if whole else None)
    return _checked(audio, path.name)


class _Reading:
    """Lays decoded blocks on the timeline between ``start`` and ``start + duration``; gaps become silence."""

    def __init__(self, start: float, duration: float | None) -> None:
        self.start, self.duration = start, duration
        self.blocks: list[Tensor] = []
        self.rate = 0
        self.filled = False
        self._position = 0  # the sample that comes next
        self._clock: int | None = None  # where the last block ended

    def add(self, begin: float, block: Tensor, rate: int) -> bool:
        """Add a block (C, n) that is heard at ``begin`` seconds; False once nothing more is wanted."""
        if not self.rate:
            self.rate, self._position = rate, round(self.start * rate)
        first = round(begin * rate)
        if self._clock is not None and not JITTER_SECONDS < (first - self._clock) / rate < LONGEST_GAP_SECONDS:
            first = self._clock
        self._clock = first + block.shape[1]
        end = math.inf if self.duration is None else round((self.start + self.duration) * rate)
        silence = int(min(first, end)) - self._position
        if silence > 0:
            self.filled = True
            self._append(block.new_zeros(block.shape[0], silence))
        part = block[:, max(0, self._position - first) : int(max(0, min(block.shape[1], end - first)))]
        if part.shape[1]:
            self._append(part)
        return self._position < end

    def _append(self, block: Tensor) -> None:
        self.blocks.append(block)
        self._position += block.shape[1]


def _blocks(container: InputContainer, stream: AudioStream, start: float) -> Iterator[tuple[float, Tensor, int]]:
    """Decoded sound as (seconds on the timeline, samples (C, n), sample rate), from a little before ``start`` on.

    What lies before is demuxed but not decoded: exact in every format, where seeking in an mp3 is not.
    """
    zero: float | None = None
    end = _track_end(container, stream)
    skipping = False
    for packet in container.demux(stream):
        begin = packet.pts * packet.time_base if packet.pts is not None else math.inf
        if zero is not None and begin - zero < start - PREROLL_SECONDS:
            skipping = True
            continue
        if skipping:
            stream.codec_context.flush_buffers()
            skipping = False
        for frame in decoded(packet):
            time = frame.time or 0.0
            if zero is None:
                zero = timeline_start(container, time)
            wanted = min(frame.samples, round((end - time) * frame.sample_rate)) if end else frame.samples
            yield time - zero, _samples(frame)[:, : max(0, wanted)], frame.sample_rate


def _track_end(container: InputContainer, stream: AudioStream) -> float | None:
    """The second at which an MP4's edit list ends the sound (a player cuts the encoder's padding there); else None.

    In other containers the duration is an estimate, or the decoder cuts by itself.
    """
    if "mp4" not in container.format.name or not stream.duration or stream.time_base is None:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def _samples(frame: av.AudioFrame) -> Tensor:
    """A decoded frame as (C, n) float32 in -1..1, from any sample format."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:  # PyAV reads beyond the last of eight planes
        frame = av.AudioResampler(format="flt").resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        return torch.from_numpy((values.astype(np.float32) - 128) / 128)
    scale = 1.0 if values.dtype.kind == "f" else 2.0 ** (1 - 8 * values.dtype.itemsize)
    return torch.from_numpy((values * np.float64(scale)).astype(np.float32))


def _checked(audio: Audio, name: str) -> Audio:
    if audio.samples == 0 or audio.waveform.shape[0] == 0:
        raise MediaError(f"There is no sound in {name}: it is empty.")
    if audio.seconds < SHORTEST_SECONDS:
        raise MediaError(f"{name} is only {audio.seconds:.3f} s long: at least {SHORTEST_SECONDS} s are needed.")
    if not torch.isfinite(audio.waveform).all():
        raise MediaError(f"The sound of {name} holds values that are no numbers (NaN or infinity): export it again.")
    return audio
