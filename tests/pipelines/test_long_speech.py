"""Ten minutes of speech are as good at their end as at their beginning, and need little more memory than one.

``benchmarks/long_speech.py`` measures the same on a real model.
"""

import threading
import wave
from pathlib import Path

import psutil
import pytest
import torch

from portraittalk.media.audio import read_audio
from portraittalk.media.reader import read_video
from portraittalk.media.sound import open_audio
from portraittalk.media.video import write_video
from portraittalk.pipelines.talk import talk
from portraittalk.types import SamplingSettings

RATE, FPS, PERIOD = 16000, 5.0, 10  # samples and frames per second; seconds after which the speech is the same again
SETTINGS = SamplingSettings(seed=1, steps=1, chunk=4)


def write_speech(path: Path, minutes: int) -> None:
    """Syllables of changing loudness and colour, the same again every ``PERIOD`` seconds."""
    clock = torch.arange(PERIOD * RATE) / RATE
    voice = sum(torch.sin(2 * torch.pi * 120 * k * clock) / k for k in range(1, 20))
    colour = torch.sin(2 * torch.pi * 900 * clock) * torch.sin(2 * torch.pi * 1.3 * clock)
    sound = 0.1 * (voice + colour) * (torch.sin(2 * torch.pi * 2.2 * clock) + 0.3).clamp(0)
    noise = 0.02 * torch.randn(PERIOD * RATE, generator=torch.Generator().manual_seed(0))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(60 // PERIOD * minutes):
            file.writeframes((32767 * (sound + noise)).short().numpy().tobytes())


@pytest.fixture(scope="module")
def identity(tiny_window_model, half_portrait, half_face):
    return tiny_window_model.encode_identity([half_portrait], faces=[[half_face]])


class Peak:
    """The largest memory of this process while the block runs, in bytes."""

    def __enter__(self):
        self.bytes, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        process = psutil.Process()
        while not self._ended.wait(0.02):
            self.bytes = max(self.bytes, process.memory_info().rss)

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()


def difference(one, other):
    return float((one - other).abs().mean())


@pytest.mark.slow
def test_ten_minutes(tiny_window_model, identity, tmp_path):
    peaks = {}
    for minutes in (1, 10):
        out = tmp_path / f"{minutes}.mp4"
        write_speech(out.with_suffix(".wav"), minutes)
        sound = open_audio(out.with_suffix(".wav"))
        with Peak() as peak:
            frames = talk(
                *(tiny_window_model, identity, sound, "", None, SETTINGS),
                fps=FPS, output="crop", head_motion=0, liveliness=0, blinks_per_minute=0,
            )  # fmt: skip
            write_video(frames, out, frames.fps, sound, quality=100)
        peaks[minutes] = peak.bytes
    # The spectrogram grows, 2 MB a minute, and is copied when its rate becomes that of the motion network; what
    # the heap of this process makes of that differs by 50 MB between runs. The frames would take 1.2 GB.
    assert peaks[10] - peaks[1] < 150e6, {minutes: size / 1e6 for minutes, size in peaks.items()}

    video = read_video(out)
    shown = torch.stack(list(video))
    assert len(shown) == 600 * FPS
    # The head keeps still, so each period shows the same again: colours, sharpness, the person, and when lips open.
    period = round(PERIOD * FPS)
    second, last = shown[period : 2 * period], shown[-2 * period : -period]
    assert (second - second[:1]).abs().amax() > 0.1  # the lips move
    assert difference(last, second) < 1.5 / 255  # of the encoder
    assert (last.mean((0, 2, 3)) - second.mean((0, 2, 3))).abs().max() < 0.2 / 255
    late, early = difference(last[1:], second[:-1]), difference(last[:-1], second[1:])
    assert difference(last, second) < 0.7 * min(late, early)
    # No seams: frames at the borders of what is computed together differ as much as within.
    steps = (shown[1:] - shown[:-1]).abs().mean((1, 2, 3))
    borders = torch.arange(1, len(shown)) % SETTINGS.chunk == 0
    assert 0.9 < float(steps[borders].mean() / steps[~borders].mean()) < 1.1
    # The sound is in step with the pictures at the end: shifted by samples against the original.
    there, given = read_audio(out).mono()[590 * RATE : 599 * RATE], sound.mono()[590 * RATE : 599 * RATE]
    size = 1 << 20
    match = torch.fft.irfft(torch.fft.rfft(there, size) * torch.fft.rfft(given, size).conj(), size)
    late = int(match.argmax())
    assert min(late, size - late) < 0.02 * RATE
