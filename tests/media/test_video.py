import logging
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraittalk.media.audio import Audio
from portraittalk.media.tags import GENERATED
from portraittalk.media.video import video_rate, write_video

FORMATS = ["a.mp4", "a.webm", "a.gif", "a.webp", "a_%04d.png"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_every_frame(tmp_path: Path, clip, frames_of, name: str) -> None:
    written = write_video(clip(15), tmp_path / name, 25)
    assert (written.frames, written.seconds, written.size, written.path) == (15, 0.6, (64, 96), tmp_path / name)
    back, original = frames_of(tmp_path / name), torch.cat(list(clip(15)))
    assert back.shape == original.shape
    assert (back - original).abs().mean() < 0.02
    assert (back - original).mean((0, 2, 3)).abs().max() < 0.006  # no shift of the colours
    for k in range(15):  # each frame is nearest to its own original
        assert (back[k] - original).abs().mean((1, 2, 3)).argmin() == k


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_says_that_it_was_generated(tmp_path: Path, clip, name: str) -> None:
    write_video(clip(3), tmp_path / name, 25, metadata={"workflow": '{"nodes": "<1> & 2"}'})
    if name.endswith(("mp4", "webm")):
        with av.open(tmp_path / name) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
    else:
        with Image.open(tmp_path / name.replace("%04d", "0002")) as image:
            found = {key.lower(): value for key, value in image.info.items()}
    if name.endswith("webp"):
        assert GENERATED.encode() in found["xmp"] and b"&lt;1&gt; &amp; 2" in found["xmp"]
        return
    comment = found["comment"]
    assert (comment.decode() if isinstance(comment, bytes) else comment) == GENERATED
    assert name.endswith("gif") or found["workflow"] == '{"nodes": "<1> & 2"}'


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.webp", "a_%d.png"])
def test_one_frame_is_a_video(tmp_path: Path, clip, name: str) -> None:
    assert write_video(clip(1), tmp_path / name, 25).frames == 1
    if name.endswith("webp"):
        with Image.open(tmp_path / name) as image:
            assert GENERATED.encode() in image.info["xmp"]
            assert image.convert("RGB").size == (96, 64)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_the_colours_are_named(tmp_path: Path, clip, kind: str) -> None:
    write_video(clip(2), tmp_path / f"a.{kind}", 25)
    with av.open(tmp_path / f"a.{kind}") as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_odd_sizes_gain_a_repeated_edge(
    tmp_path: Path, clip, frames_of, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert write_video(clip(4, 63, 95), tmp_path / f"a.{kind}", 25).size == (64, 96)
    assert "96x64" in caplog.text
    back, original = frames_of(tmp_path / f"a.{kind}"), torch.cat(list(clip(4, 63, 95)))
    assert (back[:, :, :63, :95] - original).abs().mean() < 0.02
    assert (back[:, :, 63, :95] - original[:, :, 62]).abs().mean() < 0.03


@pytest.mark.parametrize("fps", [25, 29.97, 23.976, 12.5, 60])
@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_rate_and_count_are_exact(tmp_path: Path, clip, kind: str, fps: float) -> None:
    path = tmp_path / f"a.{kind}"
    write_video(clip(23), path, fps)
    with av.open(path) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
        assert abs(stream.average_rate - video_rate(fps)) < (0.001 if kind == "mp4" else 0.2)
    assert len(times) == 23
    assert np.allclose(times, np.arange(23) / float(video_rate(fps)), atol=0.001)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25, 25),
        (29.97, Fraction(30000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_video_rate(fps: float, rate: Fraction) -> None:
    assert video_rate(fps) == rate


@pytest.mark.parametrize("name", FORMATS)
def test_chunks_are_let_go(tmp_path: Path, clip, bursts: Tensor, name: str) -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def watched() -> Iterator[Tensor]:
        nonlocal most
        for chunk in clip(16, chunk=2):
            alive.append(weakref.ref(chunk))
            yield chunk
            del chunk
            most = max(most, sum(ref() is not None for ref in alive))

    write_video(watched(), tmp_path / name, 25, Audio(bursts, 48000))
    assert len(alive) == 8 and most <= 1


@pytest.mark.parametrize(
    ("kind", "fps", "frames", "shortest"), [("gif", 60, 50, 20), ("gif", 50, 50, 20), ("webp", 120, 90, 11)]
)
def test_moving_pictures_are_not_faster_than_browsers_play_them(
    tmp_path: Path, clip, caplog, kind: str, fps: int, frames: int, shortest: int
) -> None:
    assert write_video(clip(fps), tmp_path / f"a.{kind}", fps).frames == frames
    with Image.open(tmp_path / f"a.{kind}") as image:
        delays = [image.seek(k) or (image.load() and image.info["duration"]) for k in range(image.n_frames)]  # type: ignore[func-returns-value]
    assert len(delays) == frames and min(delays) >= shortest and sum(delays) == pytest.approx(1000, abs=20)
    assert (f"at most {frames} frames per second" in caplog.text) == (fps != frames)


def test_each_frame_of_a_slower_gif_is_the_one_shown_then(tmp_path: Path, frames_of) -> None:
    greys = torch.linspace(0, 1, 60)
    write_video([grey.expand(1, 3, 16, 16) for grey in greys], tmp_path / "a.gif", 60)
    shown = frames_of(tmp_path / "a.gif").mean((1, 2, 3))
    assert (shown - greys[[k * 60 // 50 for k in range(50)]]).abs().max() < 0.01
