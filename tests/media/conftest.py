"""Sound and pictures made for the tests, and files of them in every format."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraittalk.media.reader import read_video

Encode = Callable[..., Path]


@pytest.fixture(scope="session")
def bursts() -> Tensor:
    """Two seconds of noise bursts (2, 96000) at 48 kHz: no shift of it looks like another."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.nn.functional.avg_pool1d(torch.randn(2, 96010, generator=generator), 11, stride=1)
    envelope = (torch.rand(1, 1, 40, generator=generator) > 0.5).float()
    return 0.5 * noise * torch.nn.functional.interpolate(envelope, 96000)[0]


@pytest.fixture
def encode(tmp_path: Path, bursts: Tensor) -> Encode:
    """Writes sound to a file: ``encode(name, codec, rate=48000, layout="stereo", container=None, values=bursts)``."""

    def encode(
        name: str,
        codec: str,
        rate: int = 48000,
        layout: str = "stereo",
        container: str | None = None,
        values: Tensor = bursts,
    ) -> Path:
        path = tmp_path / name
        channels = av.AudioLayout(layout).nb_channels
        samples = np.ascontiguousarray(values[torch.arange(channels) % values.shape[0]].numpy())
        with av.open(path, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return encode


@pytest.fixture
def lag() -> Callable[[Tensor, Tensor], int]:
    """By how many samples one sound (T,) comes later than the other: ``lag(heard, original)``, by cross-correlation."""

    def lag(heard: Tensor, original: Tensor) -> int:
        size = 2 * max(len(heard), len(original))
        spectrum = torch.fft.rfft(heard, size) * torch.fft.rfft(original, size).conj()
        peak = int(torch.fft.irfft(spectrum, size).argmax())
        return peak if peak < size // 2 else peak - size

    return lag


@pytest.fixture
def clip() -> Callable[..., Iterator[Tensor]]:
    """Frames in chunks (n, 3, H, W): a smooth picture with a white square that moves 2 px a frame."""

    def clip(count: int, height: int = 64, width: int = 96, chunk: int = 8) -> Iterator[Tensor]:
        y, x = torch.linspace(0.1, 0.8, height)[:, None], torch.linspace(0.7, 0.2, width)
        picture = torch.stack([y.expand(-1, width), x.expand(height, -1), (x + y) / 2])
        for start in range(0, count, chunk):
            frames = picture.repeat(min(chunk, count - start), 1, 1, 1)
            for k, frame in enumerate(frames, start):
                left = (2 * k) % (width - 16)
                frame[:, 16:32, left : left + 16] = 1
            yield frames

    return clip


@pytest.fixture
def frames_of() -> Callable[[Path], Tensor]:
    """Reads the frames (F, 3, H, W) of any file that was written."""

    def frames_of(path: Path) -> Tensor:
        if "%" in path.name:
            images = [Image.open(file) for file in sorted(path.parent.glob("*.png"))]
        elif path.suffix in (".gif", ".webp"):
            image = Image.open(path)
            images = [image.seek(k) or image.convert("RGB") for k in range(image.n_frames)]  # type: ignore[func-returns-value]
        else:
            return torch.stack(list(read_video(path)))
        return torch.stack([torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255 for image in images])

    return frames_of
