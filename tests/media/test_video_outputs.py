"""Where videos are written: whole or not at all, under any name, and nothing of others is touched."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from portraittalk.errors import MediaError, OutputError, SettingsError
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.video import check_output, check_room, write_video

FORMATS = ["a.mp4", "a.webm", "a.gif", "a.webp", "a_%04d.png"]


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


def test_check_output_leaves_no_trace(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.MP4") == "mp4"
    assert not list(tmp_path.iterdir())


def test_no_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no frames"):
        write_video([], tmp_path / "a.mp4", 25)
    assert not list(tmp_path.iterdir())


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
def test_of_two_runs_with_one_output_the_last_to_finish_wins(tmp_path: Path, clip, frames_of, name: str) -> None:
    def slow() -> Iterator[Tensor]:
        yield from clip(3, chunk=3)
        write_video(clip(5), tmp_path / name, 25)
        assert len(frames_of(tmp_path / name)) == 5
        yield from clip(3, chunk=3)

    assert write_video(slow(), tmp_path / name, 25).frames == len(frames_of(tmp_path / name)) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids some of these names")
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", "_%05d.png"])
@pytest.mark.parametrize("stem", ["🎭" * 60, "line\nbreak", "x" * 244, " ", "-", "caf\udce9", "50%d"])
def test_any_name_that_the_system_allows(tmp_path: Path, clip, stem: str, suffix: str) -> None:
    write_video(clip(1), tmp_path / f"{stem}{suffix}", 25)
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}{suffix}".replace("%05d", "00000")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colon in names")
@pytest.mark.parametrize("name", ["take:2.mp4", "12:30.webm", "data:x.gif", "http:x.webp", "file:x.mp4"])
def test_paths_that_look_like_addresses_are_files(tmp_path: Path, clip, frames_of, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(clip(2), name, 25)
    assert [path.name for path in tmp_path.iterdir()] == [name] and len(frames_of(Path(name))) == 2
