"""A video in pieces: what is closed stays, and joined it is one video with its sound."""

import os
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch

from portraittalk.errors import SettingsError
from portraittalk.media.audio import Audio
from portraittalk.media.pieces import PieceWriter, frames_in
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video

FPS = 25
SOUND = Audio(0.3 * torch.sin(900 * torch.arange(16000 * 6 // 5) / 16000)[None], 16000)  # of 30 frames


class Killed(BaseException):
    """The process ends."""


def in_pieces(frames, writer: PieceWriter, every: int, stop: int | None = None):
    """Yields the frames one by one and closes a piece after each ``every``; ends with ``Killed`` after ``stop``."""
    for number, frame in enumerate(torch.cat(list(frames))):
        if number < writer.frames:
            continue
        if number == stop:
            raise Killed
        yield frame[None]
        if (number + 1) % every == 0:
            writer.close_piece()


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize("fps", [25, 30000 / 1001])
def test_pieces_are_joined_to_a_video_like_any_other(tmp_path: Path, clip, kind: str, fps: float) -> None:
    whole, joined, folder = tmp_path / f"whole.{kind}", tmp_path / f"joined.{kind}", tmp_path / "pieces"
    folder.mkdir()
    write_video(clip(30), whole, fps, SOUND)
    writer = PieceWriter(folder)
    written = write_video(in_pieces(clip(30), writer, 8), joined, fps, SOUND, pieces=writer)
    assert (written.frames, written.size) == (30, (64, 96))
    one, other = read_video(whole), read_video(joined)
    frames, expected = torch.stack(list(other)), torch.stack(list(one))
    assert frames.shape == expected.shape and (frames - expected).abs().mean() < 0.02
    for k in range(30):  # each frame is at its place
        assert (frames[k] - expected).abs().mean((1, 2, 3)).argmin() == k
    assert other.fps == one.fps and torch.equal(other.audio().waveform, one.audio().waveform)
    with av.open(joined) as container, av.open(whole) as usual:
        assert container.metadata == usual.metadata
        times = [packet.dts for packet in container.demux(video=0) if packet.size]
        assert all(before < after for before, after in pairwise(times))
        assert container.streams.video[0].start_time == usual.streams.video[0].start_time


def test_what_was_closed_stays_and_the_rest_is_made_again(tmp_path: Path, clip) -> None:
    files = []  # not of 96x64 pixels: of so narrow pictures, x264 makes other bits once in twenty times
    for stop in (None, 20):
        folder, out = tmp_path / f"pieces of {stop}", tmp_path / f"{stop}.mp4"
        folder.mkdir()
        writer = PieceWriter(folder)
        if stop is not None:
            with pytest.raises(Killed):
                write_video(in_pieces(clip(30, 124, 124), writer, 8, stop), out, FPS, SOUND, pieces=writer)
            assert sorted(os.listdir(folder)) == ["00000000.mp4", "00000008.mp4"] and not out.exists()
            assert writer.ends() == [0, 8, 16] and frames_in(folder / "00000008.mp4") == 8
            writer = PieceWriter(folder)
            writer.take_up(16)
        write_video(in_pieces(clip(30, 124, 124), writer, 8), out, FPS, SOUND, pieces=writer)
        files.append(out.read_bytes())
    assert files[0] == files[1]


def test_pieces_that_do_not_follow_are_removed_and_other_files_stay(tmp_path: Path, clip) -> None:
    writer = PieceWriter(tmp_path)
    with pytest.raises(Killed):
        write_video(in_pieces(clip(30), writer, 8, 25), tmp_path / "a.mp4", FPS, pieces=writer)
    (tmp_path / "00000008.mp4").unlink()
    (tmp_path / "note.txt").write_text("mine")
    writer = PieceWriter(tmp_path)
    assert writer.ends() == [0, 8]
    writer.take_up(8)
    assert sorted(os.listdir(tmp_path)) == ["00000000.mp4", "note.txt"] and writer.frames == 8


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_other_formats_are_refused_before_the_first_frame(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SettingsError, match="cannot be resumed"):
        write_video(iter(()), tmp_path / f"a.{kind}", FPS, pieces=PieceWriter(tmp_path))
