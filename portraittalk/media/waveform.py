"""The outline of a sound, to draw its waveform: decoded block by block, in memory that does not grow with the sound."""

import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from ..checks import check_path
from ..errors import MediaError
from .audio import Audio
from .decode import decoded_blocks
from .source import open_media, sound_stream

SECONDS = 0.01  # of sound in one value while it is read


@dataclass(frozen=True)
class Waveform:
    """peaks: largest absolute sample, 0..1, of each of the equal parts of a sound of this many seconds."""

    seconds: float
    peaks: list[float]


def read_waveform(path: str | Path, parts: int) -> Waveform:
    """Return the waveform of the audio of a file in at most ``parts`` parts, as ``read_audio`` reads it.

    Raises MediaError if the audio is missing, unreadable or empty.
    """
    path = check_path("The audio", path, MediaError)
    fine = np.zeros(1024, np.float32)
    end = 0.0
    with open_media(path) as container:
        try:
            for begin, block, rate in decoded_blocks(container, sound_stream(container, path), 0.0):
                if not block.shape[1]:
                    continue
                end = max(end, begin + block.shape[1] / rate)
                if math.ceil(end / SECONDS) > len(fine):
                    fine = np.concatenate((fine, np.zeros(max(len(fine), math.ceil(end / SECONDS)), np.float32)))
                loudest = np.nan_to_num(block.abs().amax(0).float().numpy())
                places = ((begin + np.arange(len(loudest)) / rate) / SECONDS).astype(int).clip(0, len(fine) - 1)
                np.maximum.at(fine, places, loudest)
        except av.FFmpegError as error:
            raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error
    if not end:
        raise MediaError(f"{path.name} contains no audio: give another audio file.")
    fine = fine[: math.ceil(end / SECONDS)]
    peaks = np.array([part.max() for part in np.array_split(fine, min(parts, len(fine)))])
    return Waveform(end, [round(float(peak), 3) for peak in peaks / max(1.0, float(peaks.max()))])


def waveform_of(audio: Audio, parts: int) -> Waveform:
    """Return the waveform of sound in memory in at most ``parts`` parts."""
    loudest = audio.waveform.abs().amax(0).float().cpu().numpy()
    peaks = [float(part.max()) for part in np.array_split(loudest, min(parts, len(loudest)))]
    return Waveform(audio.seconds, [round(peak / max(1.0, *peaks), 3) for peak in peaks])
