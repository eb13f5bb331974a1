import errno
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

from portraittalk.errors import MediaError, SettingsError
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.reader import read_video
from portraittalk.media.tags import GENERATED
from portraittalk.media.video import check_output, video_rate, write_video

FORMATS = ["a.mp4", "a.webm", "a.gif", "a.webp", "a_%04d.png"]
FIVE_MS = 0.005


def frames_of(path: Path) -> Tensor:
    """(F, 3, H, W) of any file that was written."""
    if "%" in path.name:
        images = [Image.open(file) for file in sorted(path.parent.glob("*.png"))]
    elif path.suffix in (".gif", ".webp"):
        image = Image.open(path)
        images = [image.seek(k) or image.convert("RGB") for k in range(image.n_frames)]  # type: ignore[func-returns-value]
    else:
        return torch.stack(list(read_video(path)))
    return torch.stack([torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255 for image in images])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_every_frame(tmp_path: Path, clip, name: str) -> None:
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


def test_a_folder_of_pngs(tmp_path: Path, clip) -> None:
    assert write_video(clip(3), tmp_path / "frames", 25, kind="png").path == tmp_path / "frames"
    assert [file.name for file in sorted((tmp_path / "frames").iterdir())] == [f"frame_{k:05d}.png" for k in range(3)]
    with pytest.raises(MediaError, match="files in it"):
        write_video(clip(3), tmp_path / "frames", 25, kind="png")


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_the_colours_are_named(tmp_path: Path, clip, kind: str) -> None:
    write_video(clip(2), tmp_path / f"a.{kind}", 25)
    with av.open(tmp_path / f"a.{kind}") as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_odd_sizes_gain_a_repeated_edge(tmp_path: Path, clip, kind: str, caplog: pytest.LogCaptureFixture) -> None:
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


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_encoded_sound_starts_with_the_first_frame(
    tmp_path: Path, clip, bursts: Tensor, lag, kind: str, rate: int
) -> None:
    path = tmp_path / f"a.{kind}"
    write_video(clip(50), path, 25, Audio(bursts[:, : 2 * rate], rate))
    with av.open(path) as container:
        assert container.streams.video[0].start_time == 0
    heard = read_audio(path)
    original = Audio(bursts[:, : 2 * rate], rate).mono()
    seconds = torch.arange(original.shape[0]) / rate
    positions = (seconds * heard.sample_rate).long().clamp_max(heard.samples - 1)
    assert abs(lag(heard.mono()[positions], original)) < FIVE_MS * rate
    assert abs(heard.seconds - original.shape[0] / rate) < 0.03


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.m4a", "aac", "mp4"),
        ("a.mp3", "libmp3lame", "mp4"),
        ("a.ogg", "libopus", "webm"),
        ("a.webm", "libopus", "webm"),
    ],
)
def test_copied_sound_is_bit_identical_and_starts_with_the_first_frame(
    tmp_path: Path, clip, encode, lag, name: str, codec: str, kind: str
) -> None:
    source = encode(f"source_{name}", codec)
    audio = read_audio(source)
    write_video(clip(50), tmp_path / f"out.{kind}", 25, audio)
    assert packets(tmp_path / f"out.{kind}") == packets(source)
    heard = read_audio(tmp_path / f"out.{kind}")
    assert abs(lag(heard.mono(), audio.mono())) < FIVE_MS * 48000


def packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("name", "codec", "kind"), [("a.flac", "flac", "mp4"), ("a.mp3", "libmp3lame", "webm")])
def test_sound_that_does_not_fit_is_encoded(
    tmp_path: Path, clip, encode, lag, name: str, codec: str, kind: str
) -> None:
    audio = read_audio(encode(name, codec))
    write_video(clip(50), tmp_path / f"out.{kind}", 25, audio)
    assert abs(lag(read_audio(tmp_path / f"out.{kind}").mono(), audio.mono())) < FIVE_MS * 48000


def test_a_cut_sound_is_not_copied_whole(tmp_path: Path, clip, encode) -> None:
    audio = read_audio(encode("a.m4a", "aac"), start=0.5, duration=1)
    write_video(clip(25), tmp_path / "out.mp4", 25, audio)
    assert abs(read_audio(tmp_path / "out.mp4").seconds - 1) < 0.03


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (3, 1), (6, 6), (8, 8)])
def test_sound_keeps_the_usual_numbers_of_channels(tmp_path: Path, clip, kind: str, channels: int, kept: int) -> None:
    sound = torch.rand(channels, 48000, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
    write_video(clip(25), tmp_path / f"a.{kind}", 25, Audio(sound, 48000))
    assert read_audio(tmp_path / f"a.{kind}").waveform.shape[0] == kept


def test_a_sound_file_that_vanished_is_refused_and_nothing_left(tmp_path: Path, clip, encode) -> None:
    audio = read_audio(encode("a.m4a", "aac"))
    (tmp_path / "a.m4a").unlink()
    with pytest.raises(MediaError, match="does not exist"):
        write_video(clip(25), tmp_path / "out.mp4", 25, audio)
    assert not list(tmp_path.iterdir())


def test_formats_without_sound_say_so(tmp_path: Path, clip, bursts: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.gif", "a.webp", "a_%d.png"):
        caplog.clear()
        write_video(clip(2), tmp_path / name, 25, Audio(bursts, 48000))
        assert "without sound" in caplog.text


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_nothing_is_left_and_the_error_passes(
    tmp_path: Path, clip, name: str, error: type[BaseException]
) -> None:
    def broken() -> Iterator[Tensor]:
        yield from clip(6, chunk=3)
        raise error("cancelled")

    old = tmp_path / "a.mp4"
    old.write_text("an older file")
    with pytest.raises(error, match="cancelled"):
        write_video(broken(), tmp_path / name, 25)
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == "an older file"


def test_a_callback_that_cancels_leaves_nothing(tmp_path: Path, clip, bursts: Tensor) -> None:
    class Interrupt(BaseException):
        pass

    def cancel(progress) -> None:
        seen.append((progress.stage, progress.done, progress.total))
        if progress.done >= 16:
            raise Interrupt

    seen: list[tuple[str, int, int]] = []
    with pytest.raises(Interrupt):
        write_video(clip(50), tmp_path / "a.mp4", 25, Audio(bursts, 48000), progress=cancel)
    assert seen == [("write", 8, 50), ("write", 16, 50)]
    assert not list(tmp_path.iterdir())


def refused(path: Path, error: type[Exception] = MediaError, **options: object) -> str:
    def untouched() -> Iterator[Tensor]:
        raise AssertionError("a frame was asked for")
        yield

    with pytest.raises(error) as caught:
        write_video(untouched(), path, **{"fps": 25, **options})  # type: ignore[arg-type]
    return str(caught.value)


def test_outputs_that_cannot_be_written_are_refused_before_the_first_frame(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    assert "does not exist" in refused(tmp_path / "nowhere" / "a.mp4")
    assert "does not exist" in refused(tmp_path / "file" / "a.mp4")
    assert "no supported suffix" in refused(tmp_path / "a.avi")
    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.mp4")
    assert "frame rate" in refused(tmp_path / "a.mp4", SettingsError, fps=0)
    assert "quality" in refused(tmp_path / "a.mp4", SettingsError, quality=101)
    assert "not supported" in refused(tmp_path / "a.mp4", SettingsError, kind="avi")

    def read_only(self: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", read_only)  # no folder is closed to root, as which tests may run
    assert "Read-only file system" in refused(tmp_path / "a.mp4")


def test_check_output_leaves_no_trace(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.MP4") == "mp4"
    assert not list(tmp_path.iterdir())


def test_no_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no frames"):
        write_video([], tmp_path / "a.mp4", 25)
    assert not list(tmp_path.iterdir())


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


def test_a_disk_that_fills_up_is_one_sentence(tmp_path: Path, clip, monkeypatch) -> None:
    def full(self: object, *arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(MediaError, match="No space left"):
        write_video(clip(3), tmp_path / "a_%d.png", 25)
    assert not list(tmp_path.iterdir())
