"""What is in a written video, read without the library's own reader."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True)
class Movie:
    """frames: (F, H, W, 3) bytes. sound: (samples,) mono in -1..1, or None. Starts are in seconds."""

    frames: np.ndarray
    fps: Fraction
    picture_start: float
    sound: np.ndarray | None
    sample_rate: int
    sound_start: float
    comment: str


def read_movie(path: Path) -> Movie:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        decoded = list(container.decode(video))
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
        fps, comment = Fraction(video.average_rate), container.metadata.get("comment", "")
        has_sound = bool(container.streams.audio)
    sound, rate, sound_start = _read_sound(path) if has_sound else (None, 0, 0.0)
    return Movie(frames, fps, float(decoded[0].time), sound, rate, sound_start, comment)


def _read_sound(path: Path) -> tuple[np.ndarray, int, float]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_mono = av.AudioResampler(format="flt", layout="mono")
        decoded = list(container.decode(stream))
        pieces = [piece.to_ndarray()[0] for frame in decoded for piece in to_mono.resample(frame)]
        pieces += [piece.to_ndarray()[0] for piece in to_mono.resample(None)]
        return np.concatenate(pieces), stream.rate, float(decoded[0].time)


def delay(sound: np.ndarray, original: np.ndarray, rate: int) -> float:
    """Seconds by which ``sound`` comes after ``original`` (both mono at ``rate``): the peak of their correlation."""
    size = 1 << (len(sound) + len(original)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(original, size)), size)
    peak = int(np.argmax(correlation))
    return (peak if peak < size // 2 else peak - size) / rate
