"""Videos as a folder of PNG files, a file a frame."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from portraittalk.errors import OutputError
from portraittalk.media.sequence import frame_name, frames_in
from portraittalk.media.video import write_video


def test_a_folder_of_pngs(tmp_path: Path, clip) -> None:
    assert write_video(clip(3), tmp_path / "frames", 25, kind="png").path == tmp_path / "frames"
    assert [file.name for file in sorted((tmp_path / "frames").iterdir())] == [f"frame_{k:05d}.png" for k in range(3)]
    with pytest.raises(OutputError, match="files in it"):
        write_video(clip(3), tmp_path / "frames", 25, kind="png")


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
