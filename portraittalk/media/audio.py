"""Audio from files and from memory. Time is counted in samples; sample 0 is what a player plays at 0 seconds."""

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

from ..checks import HIGHEST_FPS, LOWEST_FPS, check_path, check_real, check_type
from ..errors import MediaError, SettingsError
from .source import decoded, open_media, sound_stream, timeline_start
from .tensors import check_sample_rate, check_waveform

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.04
# Containers round timestamps (Matroska to 1 ms): only a jump above the jitter is a gap. A jump beyond the longest gap
# is taken as a broken clock and ignored.
JITTER_SECONDS, LONGEST_GAP_SECONDS = 0.02, 60.0
# Decoded and discarded before the start, because mp3, aac and opus depend on preceding packets.
PREROLL_SECONDS = 1.0
# Mono downmix weights per channel, in the usual channel order (left, right, centre, LFE, surrounds).
_DOWNMIX = {
    6: (0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5),
    8: (0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5),
}


@dataclass(frozen=True)
class Audio:
    """Audio in memory.

    waveform: (C, T) float32, full scale -1..1. sample_rate: in Hz. path: the file that holds exactly this audio, so
    that its stream can be copied into a video without re-encoding; None if the audio was trimmed, assembled or made in
    memory.
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
        """Return one channel (T,): the mean, or the usual downmix of 5.1 and 7.1 (centre loudest, no LFE)."""
        channels = self.waveform.shape[0]
        weights = torch.tensor(_DOWNMIX.get(channels, (1.0,) * channels))
        return (weights / weights.sum()) @ self.waveform


def exact_fps(fps: float | Fraction) -> Fraction:
    """Return the frame rate as an exact fraction of its decimal notation.

    Raises SettingsError unless it is between ``LOWEST_FPS`` and ``HIGHEST_FPS``.
    """
    check_real("The frame rate, in frames per second,", fps, LOWEST_FPS, HIGHEST_FPS)
    return Fraction(str(fps))


def frame_count(samples: int, sample_rate: int, fps: float | Fraction) -> int:
    """Return the number of video frames for an audio clip: seconds * fps, rounded half up, at least 1."""
    return max(1, math.floor(Fraction(samples, sample_rate) * exact_fps(fps) + Fraction(1, 2)))


def audio_from_waveform(waveform: Tensor, sample_rate: int, name: str = "The audio") -> Audio:
    """Make an Audio from a tensor, such as the waveform of ComfyUI's AUDIO.

    waveform: (B, C, T) or (C, T) of any floating type on any device; only the first clip of a batch is used. name:
    begins the sentences of errors. Raises MediaError if it is something else, is empty, is shorter than 0.04 s, or
    contains NaN or infinity.
    """
    batched = isinstance(waveform, Tensor) and waveform.ndim == 3
    check_waveform(waveform, name, "batch channels samples" if batched else "channels samples")
    rate = check_sample_rate(sample_rate, name)
    if waveform.ndim == 3:
        if waveform.shape[0] > 1:
            log.warning("The audio is a batch of %d clips: the first one is used.", waveform.shape[0])
        waveform = waveform[0] if waveform.shape[0] else waveform.new_zeros(1, 0)
    return _checked(Audio(waveform.detach().to("cpu", torch.float32), rate), name)


def check_audio(audio: Audio, name: str = "The audio") -> None:
    """Raise MediaError unless ``audio`` holds sound that can be used: see ``audio_from_waveform``."""
    check_type(name, audio, Audio, "audio of read_audio or an Audio", MediaError)
    check_waveform(audio.waveform, name)
    check_sample_rate(audio.sample_rate, name)
    _checked(audio, name)


def read_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read audio from any file that FFmpeg reads: audio files, and videos with an audio track.

    start and duration: the part to read, in seconds; only that part is decoded. If a video's audio begins after its
    first frame, the gap is filled with silence.
    Raises MediaError if the audio is missing, unreadable, empty, shorter than 0.04 s, or contains NaN or infinity;
    SettingsError if start or duration is invalid.
    """
    path = check_path("The audio", path, MediaError)
    check_real("The start, in seconds from the beginning of the audio,", start, 0)
    if duration is not None and check_real("The duration, in seconds,", duration, 0) == 0:
        raise SettingsError("The duration is 0 s: give seconds above 0.")
    with open_media(path) as container:
        stream = sound_stream(container, path)
        rate = getattr(stream.codec_context, "sample_rate", 0)  # there is no context for an unknown codec
        if rate:  # otherwise known with the first frame
            check_sample_rate(rate, path.name)
        reading = _Reading(start, duration)
        try:
            for begin, block, rate in _blocks(container, stream, start):
                if not reading.add(begin, block, rate):
                    break
        except av.FFmpegError as error:
            raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error
        if not reading.blocks:
            what = "contains no audio" if not reading.rate else f"ends before {start:g} s, the start to read from"
            raise MediaError(f"{path.name} {what}: give another audio file.")
    unchanged = start == 0 and duration is None and not reading.filled
    audio = Audio(torch.cat(reading.blocks, dim=1), reading.rate, path if unchanged else None)
    return _checked(audio, path.name)


class _Reading:
    """Decoded blocks placed on the timeline from ``start`` to ``start + duration``; gaps become silence."""

    def __init__(self, start: float, duration: float | None) -> None:
        self.start, self.duration = start, duration
        self.blocks: list[Tensor] = []
        self.rate = 0
        self.filled = False
        self._position = 0  # next sample to write
        self._clock: int | None = None  # end of the last block, in samples

    def add(self, begin: float, block: Tensor, rate: int) -> bool:
        """Add a block (C, n) that plays at ``begin`` seconds; return False once the end of the range is reached."""
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
    """Yield decoded audio as (timeline seconds, samples (C, n), sample rate), from PREROLL_SECONDS before ``start``.

    Earlier packets are demuxed but not decoded: unlike seeking in an mp3, this is exact in every format.
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
    """Return the second at which an MP4's edit list ends the audio, where players trim encoder padding; else None.

    In other containers the duration is an estimate, or the decoder trims the padding itself.
    """
    if "mp4" not in container.format.name or not stream.duration or stream.time_base is None:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def _samples(frame: av.AudioFrame) -> Tensor:
    """Return a decoded frame of any sample format as (C, n) float32 in -1..1."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:  # PyAV reads past the last of eight planes
        frame = av.AudioResampler(format="flt").resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        return torch.from_numpy((values.astype(np.float32) - 128) / 128)
    scale = 1.0 if values.dtype.kind == "f" else 2.0 ** (1 - 8 * values.dtype.itemsize)
    return torch.from_numpy((values * np.float64(scale)).astype(np.float32))


def _checked(audio: Audio, name: str) -> Audio:
    if audio.waveform.numel() == 0:
        raise MediaError(f"{name} is empty: give sound of at least {SHORTEST_SECONDS} s.")
    check_sample_rate(audio.sample_rate, name)
    if audio.seconds < SHORTEST_SECONDS:
        raise MediaError(f"{name} is only {audio.seconds:.3f} s long: at least {SHORTEST_SECONDS} s are needed.")
    if not torch.isfinite(audio.waveform).all():
        raise MediaError(f"{name} contains NaN or infinity: export it again.")
    return audio
