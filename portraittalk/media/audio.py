"""Audio from files and from memory. Time is counted in samples; sample 0 is what a player plays at 0 seconds."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..checks import HIGHEST_FPS, LOWEST_FPS, check_path, check_real, check_type
from ..errors import MediaError
from .decode import Reading, read_into
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
    def channels(self) -> int:
        return self.waveform.shape[0]

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def mono(self) -> Tensor:
        """Return one channel (T,), as ``downmix`` mixes it."""
        return self.downmix @ self.waveform

    @cached_property
    def downmix(self) -> Tensor:
        """The weight of each channel (C,) in mono, see ``downmix_of``."""
        return downmix_of(self.waveform @ self.waveform.T)

    def blocks(self) -> Iterator[Tensor]:
        """Yield the samples (C, n) in their order, which here is all of them at once."""
        yield self.waveform


def downmix_of(products: Tensor) -> Tensor:
    """Return the weight of each channel (C,) in mono: the mean, or the usual one of 5.1 and 7.1 (no LFE).

    Channels that cancel each other out in it, such as a stereo file with one side inverted, are added with the sign
    of the loudest. products: (C, C), the sum over all samples of each channel times each other.
    """
    channels = len(products)
    weights = torch.tensor(_DOWNMIX.get(channels, (1.0,) * channels))
    weights = weights / weights.sum()
    if channels == 1:
        return weights
    weighted = weights[:, None] * products * weights
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
    check_type(name, audio, Audio, "audio of read_audio or open_audio, or an Audio", MediaError)
    check_waveform(audio.waveform, name)
    check_usable(audio.waveform.numel() and audio.samples, audio.sample_rate, peak_of(audio.waveform), name)


def read_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read audio from any file that FFmpeg reads: audio files, and videos with an audio track.

    start and duration: the part to read, in seconds; only that part is decoded. If a video's audio begins after its
    first frame, the gap is filled with silence.
    Raises MediaError if the audio is missing, unreadable, empty, shorter than 0.04 s, or contains NaN or infinity;
    SettingsError if start or duration is invalid.
    """
    path, reading = begin_reading(path, start, duration)
    for _ in read_into(reading, path):
        pass
    if reading.empty:
        raise nothing_heard(path, reading)
    audio = Audio(reading.waveform(), reading.rate, path if reading.whole else None)
    return _checked(audio, path.name)


def begin_reading(path: str | Path, start: float, duration: float | None) -> tuple[Path, Reading]:
    """Return the path and a new reading of a part of its audio. Parameters and errors as for ``read_audio``."""
    path = check_path("The audio", path, MediaError)
    check_real("The start, in seconds from the beginning of the audio,", start, 0)
    if duration is not None:
        check_real("The duration, in seconds,", duration, SHORTEST_SECONDS)
    return path, Reading(start, duration)


def nothing_heard(path: Path, reading: Reading) -> MediaError:
    """Return the error of a reading without a single sample."""
    what = "contains no audio" if not reading.rate else f"ends before {reading.start:g} s, the start to read from"
    return MediaError(f"{path.name} {what}: give another audio file.")


def _full_scale(waveform: Tensor) -> Tensor:
    """Return samples of any type as float32, and integers with full scale at -1..1; 64 bits hold any scale."""
    if waveform.is_floating_point() or waveform.dtype in (torch.int64, torch.bool):
        return waveform.float()
    limits = torch.iinfo(waveform.dtype)
    half = (limits.max - limits.min + 1) / 2
    return ((waveform.double() - limits.min) / half - 1).float()  # unsigned samples are centred at half of their range


def _checked(audio: Audio, name: str) -> Audio:
    """Return the audio at full scale -1..1. Raises MediaError if it cannot be used."""
    peak = peak_of(audio.waveform)
    check_usable(audio.waveform.numel() and audio.samples, audio.sample_rate, peak, name)
    scale = scale_of(peak, name)
    return audio if scale == 1 else Audio(audio.waveform / scale, audio.sample_rate)


def peak_of(waveform: Tensor) -> float:
    """Return the largest absolute sample, NaN if there is one, without a copy: sound may be hours long."""
    if not waveform.numel():
        return 0.0
    low, high = (float(value) for value in torch.aminmax(waveform))
    return math.nan if math.isnan(low) or math.isnan(high) else max(-low, high)


def check_usable(samples: int, sample_rate: int, peak: float, name: str) -> None:
    """Raise MediaError for sound with so many samples and this peak if it cannot be used."""
    if not samples:
        raise MediaError(f"{name} is empty: give sound of at least {SHORTEST_SECONDS} s.")
    check_sample_rate(sample_rate, name)
    if samples / sample_rate < SHORTEST_SECONDS:
        seconds = f"{samples / sample_rate:.3f} s long"
        raise MediaError(f"{name} is only {seconds}: at least {SHORTEST_SECONDS} s are needed.")
    if not math.isfinite(peak):
        raise MediaError(f"{name} contains NaN or infinity: export it again.")


def scale_of(peak: float, name: str) -> float:
    """Return what samples with this peak are divided by, with a warning: 1 unless they have the scale of integers."""
    if peak <= INTEGER_PEAK:
        return 1.0
    scale = next((scale for scale in INTEGER_SCALES if peak <= scale), peak)
    log.warning("The audio of %s has peaks of %.0f instead of 1: it was divided by %.0f.", name, peak, scale)
    return scale
