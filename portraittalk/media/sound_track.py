"""Audio tracks of a written video: the source file's packets copied unchanged, or encoded once.

Both are written in step with the frames, so that the muxer does not buffer one stream while it waits for the other.
"""

import logging
import os
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import torch
from av.audio.stream import AudioStream
from av.container import OutputContainer
from torch import Tensor

from .sound import Sound, resampled
from .source import first_sound, open_media, sound_stream

log = logging.getLogger(__name__)

# Sample rates that each codec supports; any other rate is resampled to the next higher one, at most 48 kHz.
_RATES = {"aac": (8000, 16000, 22050, 24000, 32000, 44100, 48000), "libopus": (8000, 12000, 16000, 24000, 48000)}
_BITS_PER_CHANNEL = {"aac": 128_000, "libopus": 80_000}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


class CopiedSound:
    """The encoded packets of a file, copied unchanged and shifted so that the first audible sample is at time 0.

    The encoder's priming samples before it get negative timestamps, which containers store as "decode, do not play".
    """

    def __init__(self, output: OutputContainer, path: Path) -> None:
        self._source = open_media(path)
        stream = sound_stream(self._source, path)
        self._packets = self._source.demux(stream)
        self._start = first_sound(path)
        self._output = output
        self._stream = output.add_stream_from_template(stream)

    @classmethod
    def possible(cls, path: Path, kind: str, codecs: tuple[str, ...]) -> bool:
        """Return whether the file's audio is in one of the codecs (FFmpeg decoder names), and a container takes it.

        kind: the container. All packets are written to one that is thrown away, because a container may refuse the
        stream's header, such as MP3 below 16 kHz in MP4, or a later packet, whose clock goes back.
        """
        with open_media(path) as container:
            if sound_stream(container, path).codec_context.name not in codecs:
                return False
        try:
            with av.open(_Nowhere(), "w", format=kind) as output, closing(cls(output, path)) as sound:
                sound.finish()
        except (av.FFmpegError, ValueError) as error:
            log.debug("The sound of %s is encoded, because %s does not take its packets: %s", path.name, kind, error)
            return False
        return True

    def advance(self, seconds: float) -> None:
        """Write the audio up to this second of the video."""
        for packet in self._packets:
            if packet.pts is None:  # the empty packet that marks the end
                return
            packet.pts -= round(self._start / packet.time_base)
            packet.dts = packet.pts
            reached = packet.pts * packet.time_base >= seconds
            packet.stream = self._stream
            self._output.mux(packet)
            if reached:
                return

    def finish(self) -> None:
        """Write the remaining packets and close the source file."""
        self.advance(float("inf"))
        self.close()

    def close(self) -> None:
        """Close the source file."""
        self._source.close()


class _Nowhere:
    """A file that forgets what is written to it, and can be written from any position, as containers need."""

    def __init__(self) -> None:
        self._position = self._size = 0

    def write(self, data: bytes) -> int:
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position


class EncodedSound:
    """Audio encoded once, at its own sample rate and channel layout where the codec supports them."""

    def __init__(self, output: OutputContainer, audio: Sound, codec: str) -> None:
        self._downmix = None if audio.channels in _LAYOUTS else audio.downmix
        channels = audio.channels if self._downmix is None else 1
        self._rate = next((rate for rate in _RATES[codec] if rate >= audio.sample_rate), 48000)
        self._blocks = resampled(audio, self._rate)
        self._layout = _LAYOUTS[channels]
        self._output = output
        self._stream = cast(AudioStream, output.add_stream(codec, rate=self._rate, layout=self._layout))
        self._stream.bit_rate = _BITS_PER_CHANNEL[codec] * channels
        self._block = torch.empty(channels, 0)  # the rest of the last block
        self._position = 0  # samples written

    def advance(self, seconds: float) -> None:
        """Write the audio up to this second of the video."""
        end = int(min(seconds, 1e9) * self._rate)
        while self._position < end:
            if not self._block.shape[1]:
                block = next(self._blocks, None)
                if block is None:
                    return
                self._block = block if self._downmix is None else self._downmix[None] @ block
            count = min(self._block.shape[1], end - self._position, self._rate)
            self._write(self._block[:, :count])
            self._block = self._block[:, count:]

    def _write(self, samples: Tensor) -> None:
        # Interleaved, because PyAV does not accept eight planar channels.
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).numpy(), format="flt", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, Fraction(1, self._rate)
        self._output.mux(self._stream.encode(frame))
        self._position += samples.shape[1]

    def finish(self) -> None:
        """Write the remaining audio and flush the encoder."""
        self.advance(float("inf"))
        self._output.mux(self._stream.encode(None))

    def close(self) -> None:
        """Close the file that the audio is read from, if it is one."""
        self._blocks.close()
