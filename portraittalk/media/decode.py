"""Decoding of audio streams: blocks of samples placed on the timeline that a player shows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer
from torch import Tensor

from ..errors import MediaError
from .resample import resample
from .source import PreSkip, decoded, open_media, sound_stream, timeline_start
from .tensors import check_sample_rate

# Containers round timestamps (Matroska to 1 ms): only a jump above the jitter is a gap. A jump beyond the longest gap
# is taken as a broken clock and ignored.
JITTER_SECONDS, LONGEST_GAP_SECONDS = 0.02, 60.0
# A clock that strays further than this is not that of a stream that may be copied: in chained files each part begins
# with priming samples that only the decoder leaves out.
STEADY_SECONDS = 0.002
# Formats without times.
RAW_STREAMS = frozenset(("aac", "ac3", "dts", "eac3", "mp3"))
# Decoded and discarded before the start, because mp3, aac and opus depend on preceding packets.
PREROLL_SECONDS = 1.0
BLOCKS_AT_ONCE = 512  # of about a thousand samples each
SURROUND = (6, 8)  # channels of 5.1 and 7.1, where the third is the centre


@dataclass
class _Run:
    """Blocks (C, n) of one sample rate and number of channels. first: timeline position at that rate, in samples.

    Small blocks are joined to larger ones, whose memory goes back to the system as soon as they are released.
    """

    first: int
    rate: int
    blocks: list[Tensor] = field(default_factory=list)
    _small: list[Tensor] = field(default_factory=list)

    def add(self, block: Tensor) -> None:
        self._small.append(block)
        if len(self._small) == BLOCKS_AT_ONCE:
            self.blocks.append(torch.cat(self._small, dim=1))
            self._small = []

    @property
    def empty(self) -> bool:
        return not self.blocks and not self._small

    def drained(self) -> list[Tensor]:
        """Return the blocks and forget them."""
        blocks, self.blocks, self._small = [*self.blocks, *self._small], [], []
        return blocks

    def taken(self) -> Tensor:
        """Return all samples (C, T), and release the blocks one by one meanwhile: long sound is not there twice."""
        blocks = self.drained()
        whole = blocks[0].new_empty(blocks[0].shape[0], sum(block.shape[1] for block in blocks))
        end = whole.shape[1]
        while blocks:
            block = blocks.pop()
            whole[:, end - block.shape[1] : end] = block
            end -= block.shape[1]
        return whole


class Reading:
    """Decoded blocks placed on the timeline from ``start`` to ``start + duration``; gaps become silence.

    A stream may change its sample rate and number of channels, as joined files do: ``waveform`` has the highest of
    both.

    continuous: whether the samples follow each other in one format, without gaps and jumps of the clock, so that a
    copy of the packets plays exactly these samples.
    """

    def __init__(self, start: float, duration: float | None) -> None:
        self.start, self.duration = start, duration
        self.continuous = True
        self._runs: list[_Run] = []
        self._position = 0  # next sample to write, at the rate of the last run
        self._clock: int | None = None  # end of the last block, in samples
        self._format = (0, 0)  # rate and channels of the last block

    @property
    def rate(self) -> int:
        """The highest sample rate so far; 0 if nothing was decoded."""
        return max((run.rate for run in self._runs), default=self._format[0])

    @property
    def empty(self) -> bool:
        """Whether no sample lies in the range."""
        return all(run.empty for run in self._runs)

    def add(self, begin: float, block: Tensor, rate: int) -> bool:
        """Add a block (C, n) that plays at ``begin`` seconds; return False once the end of the range is reached."""
        if (rate, block.shape[0]) != self._format:
            self._change_format(rate, block.shape[0])
        first = round(begin * rate)
        if self._clock is not None:
            jump = (first - self._clock) / rate
            self.continuous = self.continuous and abs(jump) <= STEADY_SECONDS
            if not JITTER_SECONDS < jump < LONGEST_GAP_SECONDS:
                first = self._clock
        self._clock = first + block.shape[1]
        end = math.inf if self.duration is None else round((self.start + self.duration) * rate)
        silence = int(min(first, end)) - self._position
        if silence > 0:
            self.continuous = False
            self._append(block.new_zeros(block.shape[0], silence))
        part = block[:, max(0, self._position - first) : int(max(0, min(block.shape[1], end - first)))]
        if part.shape[1]:
            self._append(part)
        return self._position < end

    @property
    def whole(self) -> bool:
        """Whether everything was read, and ``continuous``: the file holds exactly these samples."""
        return self.start == 0 and self.duration is None and self.continuous

    @property
    def one_format(self) -> bool:
        """Whether all blocks so far had the same sample rate and number of channels."""
        return len(self._runs) <= 1

    def drained(self) -> list[Tensor]:
        """Return the blocks (C, n) that were added since the last call, and forget them; only for ``one_format``."""
        return self._runs[0].drained() if self._runs else []

    def waveform(self) -> Tensor:
        """Return everything that was added (C, T), at ``rate``; it can be taken once."""
        runs = [run for run in self._runs if not run.empty]
        if len(runs) == 1:
            return runs[0].taken()
        rate, parts = self.rate, [run.taken() for run in runs]
        channels = max(part.shape[0] for part in parts)
        # Placed by position, so that the rounding of each change does not add up.
        begins = [round(run.first * rate / run.rate) for run in runs]
        end = round((runs[-1].first + parts[-1].shape[1]) * rate / runs[-1].rate)
        whole = parts[0].new_zeros(channels, end - begins[0])
        for run, part, begin, stop in zip(runs, parts, begins, [*begins[1:], end], strict=True):
            values = _with_channels(resample(part, run.rate, rate), channels)[:, : stop - begin]
            whole[:, begin - begins[0] : begin - begins[0] + values.shape[1]] = values
        return whole

    def _change_format(self, rate: int, channels: int) -> None:
        before = self._format[0]
        if before:
            self.continuous = False
            self._position = round(self._position * rate / before)
            self._clock = None if self._clock is None else round(self._clock * rate / before)
        else:
            self._position = round(self.start * rate)
        self._format = (rate, channels)
        self._runs.append(_Run(self._position, rate))

    def _append(self, block: Tensor) -> None:
        self._runs[-1].add(block)
        self._position += block.shape[1]


def _with_channels(values: Tensor, channels: int) -> Tensor:
    """Return audio (C, T) with more channels: mono is heard from both sides, or the centre; others are left silent."""
    if values.shape[0] == 1 and channels == 2:
        return values.expand(2, -1)
    whole = values.new_zeros(channels, values.shape[1])
    first = 2 if values.shape[0] == 1 and channels in SURROUND else 0
    whole[first : first + values.shape[0]] = values
    return whole


def read_into(reading: Reading, path: Path) -> Iterator[None]:
    """Decode the audio of a file into a reading; yields after every block, so that the caller may take it out.

    Raises MediaError if the audio is missing or unreadable.
    """
    with open_media(path) as container:
        stream = sound_stream(container, path)
        rate = getattr(stream.codec_context, "sample_rate", 0)  # there is no context for an unknown codec
        if rate:  # otherwise known with the first frame
            check_sample_rate(rate, path.name)
        try:
            for begin, block, rate in decoded_blocks(container, stream, reading.start):
                goes_on = reading.add(begin, block, rate)
                yield
                if not goes_on:
                    return
        except av.FFmpegError as error:
            raise MediaError(f"{path.name} is damaged ({error.strerror}): export or copy it again.") from error


def decoded_blocks(container: InputContainer, stream: AudioStream, start: float) -> Iterator[tuple[float, Tensor, int]]:
    """Yield decoded audio as (timeline seconds, samples (C, n), sample rate), from PREROLL_SECONDS before ``start``.

    Earlier packets are demuxed but not decoded: unlike seeking in an mp3, this is exact in every format.
    """
    zero: float | None = None
    clock = _Clock(container)
    end = _track_end(container, stream)
    pre_skip = PreSkip(container, stream)
    skipping = False
    for packet in container.demux(stream):
        begin = clock.packet(packet) if start else math.inf
        if zero is not None and begin - zero < start - PREROLL_SECONDS:
            skipping = True
            continue
        if skipping:
            stream.codec_context.flush_buffers()
            skipping = False
        for frame, time, skip in pre_skip.audible(packet, decoded(packet)):
            if zero is None:
                zero = timeline_start(container, time)
            wanted = min(frame.samples, skip + round((end - time) * frame.sample_rate)) if end else frame.samples
            block = _samples(frame)[:, skip : max(skip, wanted)]
            yield clock.block(time, block.shape[1], frame.sample_rate) - zero, block, frame.sample_rate


class _Clock:
    """The seconds of packets and blocks, which go on where the stream's own clock fails.

    Each file of a chain, as of Ogg, may start its clock again, so that packets before the start could not be told from
    later ones. In a raw stream, FFmpeg counts time at the first sample rate, which is wrong after it has changed.
    """

    def __init__(self, container: InputContainer) -> None:
        self._raw = container.format.name in RAW_STREAMS
        self._rate = 0  # the first sample rate
        self._changed = False
        self._packet_end, self._block_end = -math.inf, 0.0
        self._restarted = 0.0  # what is added to the stream's clock

    def packet(self, packet: "av.Packet[AudioStream]") -> float:
        """Return when a packet begins; infinity if it does not say so."""
        if packet.pts is None or not packet.time_base:
            return math.inf
        begin = float(packet.pts * packet.time_base) + self._restarted
        if begin < self._packet_end - JITTER_SECONDS:
            self._restarted += self._packet_end - begin
            begin = self._packet_end
        self._packet_end = begin + float((packet.duration or 0) * packet.time_base)
        return begin

    def block(self, time: float, samples: int, rate: int) -> float:
        """Return when a block begins, whose frame says ``time``."""
        self._rate = self._rate or rate
        self._changed = self._changed or (self._raw and rate != self._rate)
        begin = self._block_end if self._changed else time + self._restarted
        self._block_end = begin + samples / rate
        return begin


def _track_end(container: InputContainer, stream: AudioStream) -> float | None:
    """Return the second at which an MP4's edit list ends the audio, where players trim encoder padding; else None.

    In other containers the duration is an estimate, or the decoder trims the padding itself.
    """
    if "mp4" not in container.format.name or not stream.duration or stream.time_base is None:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def _samples(frame: av.AudioFrame) -> Tensor:
    """Return a decoded frame of any sample format as (C, n) float32 in -1..1."""
    # PyAV reads past the last of eight planes, and knows no 64-bit integers.
    if (frame.format.is_planar and frame.layout.nb_channels >= 8) or frame.format.name in ("s64", "s64p"):
        frame = av.AudioResampler(format="flt").resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        return torch.from_numpy((values.astype(np.float32) - 128) / 128)
    scale = 1.0 if values.dtype.kind == "f" else 2.0 ** (1 - 8 * values.dtype.itemsize)
    with np.errstate(invalid="ignore", over="ignore"):  # of damaged files; the result is checked as a whole
        return torch.from_numpy((values * np.float64(scale)).astype(np.float32))
