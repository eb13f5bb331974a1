import errno
import logging
import sys
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

from portraittalk.errors import MediaError, OutputError, SettingsError
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.reader import read_video
from portraittalk.media.sequence import frame_name, frames_in
from portraittalk.media.tags import GENERATED
from portraittalk.media.video import check_output, check_room, video_rate, write_video

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
    with pytest.raises(OutputError, match="files in it"):
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


def refused(path: Path, error: type[Exception] = OutputError, **options: object) -> str:
    def untouched() -> Iterator[Tensor]:
        raise AssertionError("a frame was asked for")
        yield

    with pytest.raises(error) as caught:
        write_video(untouched(), path, **{"fps": 25, **options})  # type: ignore[arg-type]
    return str(caught.value)


def test_outputs_that_cannot_be_written_are_refused_before_the_first_frame(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    assert "does not exist" in refused(tmp_path / "nowhere" / "a.mp4")
    assert "is a file, not a folder" in refused(tmp_path / "file" / "a.mp4")
    assert "no supported suffix" in refused(tmp_path / "a.avi")
    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.mp4")
    assert "frame rate" in refused(tmp_path / "a.mp4", SettingsError, fps=0)
    assert "quality" in refused(tmp_path / "a.mp4", SettingsError, quality=101)
    assert "not supported" in refused(tmp_path / "a.mp4", SettingsError, kind="avi")

    def read_only(self: Path, mode: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)  # no folder is closed to root, as which tests may run
    assert "read-only: choose another place" in refused(tmp_path / "a.mp4")


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


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_fills_up_is_one_sentence(tmp_path: Path, clip, name: str, full_disk) -> None:
    noise = torch.rand(40, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with full_disk(20_000), pytest.raises(OutputError, match="larger than is allowed here: choose another place"):
        write_video(noise.split(4), tmp_path / name, 25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "webp", "png"])
def test_a_small_disk_that_fills_up_is_one_sentence(small_disk: Path, kind: str) -> None:
    noise = torch.rand(60, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with pytest.raises(OutputError, match="the disk is full: free some space or choose another place"):
        write_video(noise.split(4), small_disk / "a", 25, kind=kind)
    assert not list(small_disk.iterdir())


def test_too_little_space_is_known_after_the_first_chunk(tmp_path: Path, clip, bursts: Tensor, monkeypatch) -> None:
    picture = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    check_room(tmp_path / "a.png", "png", picture, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 300_000}))
    with pytest.raises(OutputError, match=r"needs about 1\d\.\d MB, but only 0\.3 MB are free"):
        check_room(tmp_path / "a.png", "png", picture, 1000)
    check_room(tmp_path / "a.mp4", "mp4", picture, 1000)
    check_room(tmp_path / "a.png", "png", torch.ones(3, 64, 96), 1000)  # compresses well
    with pytest.raises(OutputError, match="are free on its disk"):
        write_video(iter([picture.expand(8, -1, -1, -1)]), tmp_path / "a_%d.png", 25, Audio(bursts, 48000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_files_and_folders_of_others_beside_the_output_stay(tmp_path: Path, clip, name: str) -> None:
    for ending in (".part", ".rest", ".tmp"):
        (tmp_path / f"{name}{ending}").mkdir()
        (tmp_path / f"{name}{ending}" / "precious").write_text("mine")
    (tmp_path / f"{Path(name).stem}.part").write_text("mine")
    before = set(tmp_path.rglob("*"))
    write_video(clip(2), tmp_path / name, 25)
    assert before < set(tmp_path.rglob("*"))
    with pytest.raises(OutputError):
        write_video(clip(2), tmp_path / "missing" / name, 25)


@pytest.mark.parametrize("name", FORMATS)
def test_of_two_runs_with_one_output_the_last_to_finish_wins(tmp_path: Path, clip, name: str) -> None:
    def slow() -> Iterator[Tensor]:
        yield from clip(3, chunk=3)
        write_video(clip(5), tmp_path / name, 25)
        assert len(frames_of(tmp_path / name)) == 5
        yield from clip(3, chunk=3)

    assert write_video(slow(), tmp_path / name, 25).frames == len(frames_of(tmp_path / name)) == 6


def test_a_folder_that_another_run_filled_is_filled_again(tmp_path: Path, clip, caplog) -> None:
    def slow() -> Iterator[Tensor]:
        yield from clip(2)
        write_video(clip(4), tmp_path / "frames", 25, kind="png")

    write_video(slow(), tmp_path / "frames", 25, kind="png")
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"frame_0000{k}.png" for k in range(4)]
    assert "from frame_00002.png on" in caplog.text


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("50%dogs_%05d.png", "50%dogs_00000.png"),
        ("50%dogs.png", "50%dogs_00000.png"),
        ("%d_%03d.png", "%d_000.png"),
        ("100%.png", "100%_00000.png"),
        ("%s%%n.png", "%s%%n_00000.png"),
        ("a%d.png", "a0.png"),
        ("a%02db.png", "a00b.png"),
    ],
)
def test_percent_signs_in_names_of_frames(tmp_path: Path, clip, name: str, first: str) -> None:
    written = write_video(clip(2), tmp_path / name, 25).path
    assert first in [path.name for path in tmp_path.iterdir()] and len(list(tmp_path.iterdir())) == 2
    assert frame_name(written.name, 0) == first and sorted(frames_in(tmp_path, written.name)) == [0, 1]


def test_a_folder_of_pngs_may_have_a_point_in_its_name(tmp_path: Path, clip) -> None:
    assert write_video(clip(1), tmp_path / "v1.5", 25, kind="png").path == tmp_path / "v1.5"
    assert (tmp_path / "v1.5" / "frame_00000.png").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids some of these names")
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", "_%05d.png"])
@pytest.mark.parametrize("stem", ["🎭" * 60, "line\nbreak", "x" * 244, " ", "-", "caf\udce9", "50%d"])
def test_any_name_that_the_system_allows(tmp_path: Path, clip, stem: str, suffix: str) -> None:
    write_video(clip(1), tmp_path / f"{stem}{suffix}", 25)
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}{suffix}".replace("%05d", "00000")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colon in names")
@pytest.mark.parametrize("name", ["take:2.mp4", "12:30.webm", "data:x.gif", "http:x.webp", "file:x.mp4"])
def test_paths_that_look_like_addresses_are_files(tmp_path: Path, clip, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(clip(2), name, 25)
    assert [path.name for path in tmp_path.iterdir()] == [name] and len(frames_of(Path(name))) == 2


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


def test_each_frame_of_a_slower_gif_is_the_one_shown_then(tmp_path: Path) -> None:
    greys = torch.linspace(0, 1, 60)
    write_video([grey.expand(1, 3, 16, 16) for grey in greys], tmp_path / "a.gif", 60)
    shown = frames_of(tmp_path / "a.gif").mean((1, 2, 3))
    assert (shown - greys[[k * 60 // 50 for k in range(50)]]).abs().max() < 0.01


def test_an_output_that_is_an_input_is_refused_before_the_first_frame(tmp_path: Path, clip, encode) -> None:
    source = encode("a.mp4", "aac")
    before = source.read_bytes()
    assert "is an input" in refused(source, audio=read_audio(source))
    (tmp_path / "f_00007.png").write_bytes(b"portrait")
    with pytest.raises(OutputError, match=r"f_00007\.png is an input"):
        check_output(tmp_path / "f_%05d.png", inputs=[tmp_path / "f_00007.png"])
    (tmp_path / "portrait.png").symlink_to(tmp_path / "f_00007.png")
    with pytest.raises(OutputError, match="is an input"):
        check_output(tmp_path / "f.png", inputs=[tmp_path / "portrait.png"])
    assert check_output(tmp_path / "g_%05d.png", inputs=[tmp_path / "f_00007.png"]) == "png"
    assert source.read_bytes() == before
