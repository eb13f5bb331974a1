"""Sound in memory or in a file, piece by piece: what a long speech needs does not grow with its length."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MediaError
from .audio import (
    Audio,
    begin_reading,
    check_audio,
    check_usable,
    downmix_of,
    nothing_heard,
    peak_of,
    read_audio,
    scale_of,
)
from .decode import Reading, read_into
from .resample import resample

PIECE_SECONDS, MARGIN_SECONDS = 10, 1  # of resampling; its filters reach a few hundred samples at most


@dataclass(frozen=True)
class AudioFile:
    """Audio that stays in its file, and is decoded anew each time it is needed.

    file, start, duration: what is decoded. sample_rate: in Hz. channels, samples: of what is decoded. scale: what its
    samples are divided by. downmix: the weight of each channel (C,) in mono. path: as of ``Audio``.
    """

    file: Path
    start: float
    duration: float | None
    sample_rate: int
    channels: int
    samples: int
    scale: float
    downmix: Tensor
    path: Path | None = None

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def mono(self) -> Tensor:
        """Return one channel (T,), as ``downmix`` mixes it."""
        return torch.cat([self.downmix @ block for block in self.blocks()])

    def blocks(self) -> Iterator[Tensor]:
        """Yield the samples (C, n) in their order, with full scale -1..1.

        Raises MediaError if the file cannot be read any more, or has changed.
        """
        reading, count = Reading(self.start, self.duration), 0
        for _ in read_into(reading, self.file):
            for block in reading.drained():
                count += block.shape[1]
                if count > self.samples or (reading.rate, len(block)) != (self.sample_rate, self.channels):
                    raise self._changed()
                yield block if self.scale == 1 else block / self.scale
        if count != self.samples:
            raise self._changed()

    def _changed(self) -> MediaError:
        return MediaError(f"{self.file.name} has changed since it was first read: keep it as it is, and start again.")


Sound = Audio | AudioFile


def open_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Sound:
    """Return the audio that ``read_audio`` would read, without keeping it in memory: for long speech.

    It is decoded once to be checked, and again whenever it is needed, so the file must stay as it is. Sound whose
    sample rate or number of channels changes on the way, as in joined files, is kept in memory after all. Parameters
    and errors are those of ``read_audio``.
    """
    path, reading = begin_reading(path, start, duration)
    samples, peak = 0, 0.0
    products: Tensor | None = None
    for _ in read_into(reading, path):
        if not reading.one_format:
            return read_audio(path, start, duration)
        for block in reading.drained():
            if products is None:
                products = torch.zeros(len(block), len(block), dtype=torch.float64)
            samples += block.shape[1]
            peak = max(peak, peak_of(block), key=lambda value: math.inf if math.isnan(value) else value)
            products += block @ block.T
    if products is None:
        raise nothing_heard(path, reading)
    check_usable(samples, reading.rate, peak, path.name)
    scale = scale_of(peak, path.name)
    unchanged = reading.whole and scale == 1
    return AudioFile(
        path,
        start,
        duration,
        reading.rate,
        len(products),
        samples,
        scale,
        downmix_of(products.float()),
        path if unchanged else None,
    )


def check_sound(sound: Sound, name: str = "The audio") -> None:
    """Raise MediaError unless this is sound that can be used; what ``open_audio`` returns has been checked."""
    if not isinstance(sound, AudioFile):
        check_audio(sound, name)


def windows(sound: Sound, seconds: int, margin: int) -> Iterator[tuple[Tensor, int]]:
    """Yield the sound in pieces of whole seconds, each with a margin of ``margin`` seconds before and after it.

    Yields samples (C, n), and the seconds that they begin before their piece: ``margin``, but 0 at the beginning.
    Pieces begin on whole seconds because these lie on a sample at every sample rate.
    """
    rate, blocks = sound.sample_rate, sound.blocks()
    held, begin = list[Tensor](), 0  # what was read, and the number of its first sample
    for start in range(0, sound.samples, seconds * rate):
        first, stop = max(start - margin * rate, 0), min(start + (seconds + margin) * rate, sound.samples)
        end = begin + sum(block.shape[1] for block in held)
        while end < stop:
            held.append(next(blocks))
            end += held[-1].shape[1]
        whole = held[0] if len(held) == 1 else torch.cat(held, 1)
        held, begin = [whole[:, first - begin :]], first
        yield held[0][:, : stop - first], (start - first) // rate


def resampled(sound: Sound, rate: int) -> Generator[Tensor, None, None]:
    """Yield the sound at another sample rate, in blocks (C, n) that follow each other without a seam."""
    if rate == sound.sample_rate:
        yield from sound.blocks()
        return
    for window, before in windows(sound, PIECE_SECONDS, MARGIN_SECONDS):
        yield resample(window, sound.sample_rate, rate)[:, before * rate :][:, : PIECE_SECONDS * rate]


def source_of(sound: Sound) -> Path | None:
    """Return the file that is read when the sound is written to a video, so that it cannot be the video itself."""
    return sound.file if isinstance(sound, AudioFile) else sound.path
