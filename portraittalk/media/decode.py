"""Decoding of audio streams: blocks of samples placed on the timeline that a player shows."""

import math
from collections.abc import Iterator

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer
from torch import Tensor

from .source import decoded, timeline_start

# Containers round timestamps (Matroska to 1 ms): only a jump above the jitter is a gap. A jump beyond the longest gap
# is taken as a broken clock and ignored.
JITTER_SECONDS, LONGEST_GAP_SECONDS = 0.02, 60.0
# Decoded and discarded before the start, because mp3, aac and opus depend on preceding packets.
PREROLL_SECONDS = 1.0


class Reading:
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


def decoded_blocks(container: InputContainer, stream: AudioStream, start: float) -> Iterator[tuple[float, Tensor, int]]:
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
