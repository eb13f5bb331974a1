"""Audio from files and from memory. Time is counted in samples; sample 0 is what a player plays at 0 seconds."""

import logging
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import torch
from torch import Tensor

from ..checks import HIGHEST_FPS, LOWEST_FPS, check_path, check_real, check_type
from ..errors import MediaError
from .decode import Reading, decoded_blocks
from .source import open_media, sound_stream
from .tensors import check_sample_rate, check_waveform

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.04
# Power of the downmix, as a part of that of unrelated channels, below which the channels cancel each other out.
CANCELLED = 0.1
# Floating-point audio with a peak above the first, 20 dB over full scale, has the scale of integers: of 16, 24 or 32
# bits, whichever is the first to hold the peak.
INTEGER_PEAK, INTEGER_SCALES = 10.0, (2.0**15, 2.0**23, 2.0**31)
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

    def mono(self, first: int = 0, stop: int | None = None) -> Tensor:
        """Return one channel (T,): the mean, or the usual downmix of 5.1 and 7.1 (centre loudest, no LFE).

        Channels that cancel each other out in it, such as a stereo file with one side inverted, are added with the sign
        of the loudest. first, stop: the samples to return, by default all.
        """
        return self._downmix @ self.waveform[:, first:stop]

    @cached_property
    def _downmix(self) -> Tensor:
        """The weight of each channel (C,) in ``mono``."""
        channels = self.waveform.shape[0]
        weights = torch.tensor(_DOWNMIX.get(channels, (1.0,) * channels))
        weights = weights / weights.sum()
        if channels == 1:
            return weights
        weighted = weights[:, None] * (self.waveform @ self.waveform.T) * weights
        if weighted.sum() >= CANCELLED * weighted.trace():
            return weights
        log.warning("A channel of the audio is inverted and cancels the others: for the lips, it is turned back.")
        return weights * torch.where(weighted[weighted.diagonal().argmax()] < 0, -1.0, 1.0)


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

    waveform: (B, C, T) or (C, T) on any device; only the first clip of a batch is used. Integers of 8, 16 and 32 bits
    are scaled by their range, and so are floating-point values that have the scale of integers, with a warning. name:
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
    return _checked(Audio(_full_scale(waveform.detach().cpu()), rate), name)


def check_audio(audio: Audio, name: str = "The audio") -> None:
    """Raise MediaError unless ``audio`` holds sound that can be used: see ``audio_from_waveform``."""
    check_type(name, audio, Audio, "audio of read_audio or an Audio", MediaError)
    check_waveform(audio.waveform, name)
    _check_usable(audio, name)


def read_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read audio from any file that FFmpeg reads: audio files, and videos with an audio track.

    start and duration: the part to read, in seconds; only that part is decoded. If a video's audio begins after its
    first frame, the gap is filled with silence.
    Raises MediaError if the audio is missing, unreadable, empty, shorter than 0.04 s, or contains NaN or infinity;
    SettingsError if start or duration is invalid.
    """
    path = check_path("The audio", path, MediaError)
    check_real("The start, in seconds from the beginning of the audio,", start, 0)
    if duration is not None:
        check_real("The duration, in seconds,", duration, SHORTEST_SECONDS)
    with open_media(path) as container:
        stream = sound_stream(container, path)
        rate = getattr(stream.codec_context, "sample_rate", 0)  # there is no context for an unknown codec
        if rate:  # otherwise known with the first frame
            check_sample_rate(rate, path.name)
        reading = Reading(start, duration)
        try:
            for begin, block, rate in decoded_blocks(container, stream, start):
                if not reading.add(begin, block, rate):
                    break
        except av.FFmpegError as error:
            raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error
        if reading.empty:
            what = "contains no audio" if not reading.rate else f"ends before {start:g} s, the start to read from"
            raise MediaError(f"{path.name} {what}: give another audio file.")
    unchanged = start == 0 and duration is None and reading.continuous
    audio = Audio(reading.waveform(), reading.rate, path if unchanged else None)
    return _checked(audio, path.name)


def _full_scale(waveform: Tensor) -> Tensor:
    """Return samples of any type as float32, and integers with full scale at -1..1; 64 bits hold any scale."""
    if waveform.is_floating_point() or waveform.dtype in (torch.int64, torch.bool):
        return waveform.float()
    limits = torch.iinfo(waveform.dtype)
    half = (limits.max - limits.min + 1) / 2
    return ((waveform.double() - limits.min) / half - 1).float()  # unsigned samples are centred at half of their range


def _without_integer_scale(audio: Audio, name: str) -> Audio:
    """Return the audio at full scale -1..1 where floating-point samples have the scale of integers, with a warning."""
    peak = _peak(audio.waveform)
    if peak <= INTEGER_PEAK:
        return audio
    scale = next((scale for scale in INTEGER_SCALES if peak <= scale), peak)
    log.warning("The audio of %s has peaks of %.0f instead of 1: it was divided by %.0f.", name, peak, scale)
    return Audio(audio.waveform / scale, audio.sample_rate)


def _checked(audio: Audio, name: str) -> Audio:
    _check_usable(audio, name)
    return _without_integer_scale(audio, name)


def _peak(waveform: Tensor) -> float:
    """Return the largest absolute sample, NaN if there is one, without a copy: sound may be hours long."""
    low, high = (float(value) for value in torch.aminmax(waveform))
    return math.nan if math.isnan(low) or math.isnan(high) else max(-low, high)


def _check_usable(audio: Audio, name: str) -> None:
    if audio.waveform.numel() == 0:
        raise MediaError(f"{name} is empty: give sound of at least {SHORTEST_SECONDS} s.")
    check_sample_rate(audio.sample_rate, name)
    if audio.seconds < SHORTEST_SECONDS:
        raise MediaError(f"{name} is only {audio.seconds:.3f} s long: at least {SHORTEST_SECONDS} s are needed.")
    if not math.isfinite(_peak(audio.waveform)):
        raise MediaError(f"{name} contains NaN or infinity: export it again.")
