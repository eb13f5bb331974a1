from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from portraittalk.errors import MediaError
from portraittalk.media.audio import Audio
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video


def test_a_video_can_be_read_twice(tmp_path: Path, clip, bursts: Tensor) -> None:
    write_video(clip(20), tmp_path / "a.mp4", 25, Audio(bursts, 48000))
    video = read_video(tmp_path / "a.mp4")
    assert (video.fps, video.size, video.has_audio) == (25, (64, 96), True)
    first, second = torch.stack(list(video)), torch.stack(list(video))
    assert first.dtype == torch.float32 and torch.equal(first, second)
    assert video.audio(duration=0.5).samples == 24000


@pytest.mark.parametrize(
    ("fps", "expected"), [(50, [k // 2 for k in range(40)]), (12.5, [2 * k + 1 for k in range(10)])]
)
def test_another_rate_repeats_or_leaves_out_frames(tmp_path: Path, clip, fps: float, expected: list[int]) -> None:
    write_video(clip(20), tmp_path / "a.mp4", 25)
    own = list(read_video(tmp_path / "a.mp4"))
    other = list(read_video(tmp_path / "a.mp4", fps=fps))
    assert len(other) == len(expected)
    assert all(torch.equal(frame, own[k]) for frame, k in zip(other, expected, strict=True))


def film(path: Path, times: list[int], rotation: int = 0) -> Path:
    """A film with one grey frame at each time (in 1/100 s), brighter from frame to frame, its left half black."""
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = (
            64,
            32,
            "yuv420p",
            Fraction(1, 100),
        )
        if rotation and not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV reads rotations, but cannot write them")
        if rotation:
            stream.set_display_rotation(rotation)
        for k, time in enumerate(times):
            pixels = np.full((32, 64, 3), 40 + 20 * k, np.uint8)
            pixels[:, :32] = 0
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 100)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_an_uneven_rate_keeps_time(tmp_path: Path) -> None:
    video = read_video(film(tmp_path / "phone.mp4", [0, 4, 8, 40, 44, 48]), fps=25)
    shown = [round((float(frame[:, :, 40:].mean()) * 255 - 40) / 20) for frame in video]
    assert shown[:13] == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4, 5]


def test_a_frame_that_is_shown_for_long_is_repeated_and_a_broken_clock_is_named(tmp_path: Path) -> None:
    slides = read_video(film(tmp_path / "slides.mp4", [0, 100, 60_000]), fps=1)
    assert sum(1 for _ in slides) >= 600
    broken = read_video(film(tmp_path / "broken.mp4", [0, 100, 1_000_000]), fps=25)
    with pytest.raises(MediaError, match=r"broken\.mp4 is damaged \(its clock jumps from \d+ to 10000 s\)"):
        list(broken)


@pytest.mark.parametrize(
    ("rotation", "size", "black"),
    [(0, (32, 64), "left"), (90, (64, 32), "bottom"), (-90, (64, 32), "top"), (180, (32, 64), "right")],
)
def test_a_turned_video_is_read_upright(tmp_path: Path, rotation: int, size: tuple[int, int], black: str) -> None:
    video = read_video(film(tmp_path / "phone.mp4", [0, 4], rotation))
    frame = next(iter(video)).mean(0)
    halves = {
        "left": frame[:, : size[1] // 4],
        "right": frame[:, -size[1] // 4 :],
        "top": frame[: size[0] // 4],
        "bottom": frame[-size[0] // 4 :],
    }
    assert video.size == size == frame.shape
    assert min(halves, key=lambda side: float(halves[side].mean())) == black


def test_what_is_no_video_is_refused(tmp_path: Path, encode) -> None:
    with pytest.raises(MediaError, match="no video stream"):
        read_video(encode("a.wav", "pcm_s16le"))
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        read_video(tmp_path / "text.mp4")
    with pytest.raises(MediaError, match="does not exist"):
        read_video(tmp_path / "nowhere.mp4")
