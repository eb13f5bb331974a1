"""Written files are whole or absent, nobody else's file is touched, and what cannot be written is known before."""

import ast
import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from portraittalk import output_files
from portraittalk.errors import OutputError
from portraittalk.output_files import (
    append_line,
    atomic_file,
    atomic_folder,
    check_file,
    check_names,
    check_outputs,
    check_space,
    explained,
    make_folder,
    remove_abandoned,
    remove_unfinished,
    temporary_folder,
    write_text,
)
from portraittalk.tensor_files import check_tensor_file, read_tensors, write_tensors

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither permissions nor links for everybody")


def test_a_file_appears_when_it_is_complete_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_file(path) as part:
        part.write_text("new")
        (part.parent / "helper").touch()  # some writers need a second file
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_is_left_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(error), atomic_file(path) as part:
        part.write_text("new")
        raise error
    with pytest.raises(error), atomic_folder(tmp_path / "frames") as folder:
        (folder / "1").touch()
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_are_both_whole_and_the_last_to_finish_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_file(path) as slow:
        slow.write_text("slow")
        with atomic_file(path) as fast:
            fast.write_text("fast")
        assert path.read_text() == "fast"
    assert path.read_text() == "slow" and os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_a_folder_are_both_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "frames") as slow:
        (slow / "1").write_text("slow")
        with atomic_folder(tmp_path / "frames") as fast:
            (fast / "1").write_text("fast")
            (fast / "2").write_text("fast")
    assert {path.name: path.read_text() for path in (tmp_path / "frames").iterdir()} == {"1": "slow", "2": "fast"}
    assert os.listdir(tmp_path) == ["frames"]


def test_temporary_names_cannot_be_guessed_and_a_taken_one_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    with atomic_file(tmp_path / "a") as one, atomic_file(tmp_path / "a") as other:
        assert one.parent != other.parent and one.parent.parent == other.parent.parent == tmp_path
    monkeypatch.setattr("secrets.token_hex", lambda size: "taken")
    taken = tmp_path / "a.taken.part"
    taken.mkdir()
    (taken / "precious").touch()
    for attempt in (atomic_file, atomic_folder):
        with pytest.raises(OutputError), attempt(tmp_path / "a"):
            pass
    assert (taken / "precious").exists()


@posix
def test_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, new = tmp_path / "far" / "a", tmp_path / "link", tmp_path / "new"
    real.touch(0o640)
    link.symlink_to(real)
    write_text(link, "text")
    assert link.is_symlink() and real.read_text() == "text" and stat.S_IMODE(real.stat().st_mode) == 0o640
    plain = tmp_path / "plain"
    plain.touch()
    write_tensors(new, {"a": torch.zeros(1)})  # safetensors writes files that only their owner can read
    assert new.stat().st_mode == plain.stat().st_mode


def test_a_process_that_must_end_removes_what_it_has_begun(tmp_path: Path) -> None:
    contexts = [atomic_file(tmp_path / "a"), atomic_folder(tmp_path / "b"), temporary_folder(tmp_path)]
    for context in contexts:
        context.__enter__()
    assert len(os.listdir(tmp_path)) == 3
    remove_unfinished()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["🎭" * 60, "line\nbreak.mp4", "x" * 250, " ", "50%d.mp4", "a:b.mp4"])
def test_any_name_that_the_system_allows_can_be_written(tmp_path: Path, name: str) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows forbids most of these names")
    check_file(tmp_path / name)
    write_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == [name]


def refused(path: Path) -> str:
    with pytest.raises(OutputError) as error:
        check_file(path)
    return str(error.value)


def test_what_cannot_be_written_is_refused_with_the_reason(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    assert "it is a folder" in refused(tmp_path)
    assert "it is a folder" in refused(Path("."))
    assert "it is a folder" in refused(Path("/"))
    assert "does not exist" in refused(tmp_path / "missing" / "a")
    assert "is a file, not a folder" in refused(tmp_path / "file" / "a")
    assert "the name is too long: shorten it" in refused(tmp_path / ("x" * 300))
    with pytest.raises(OutputError, match="is a file, but a folder is needed"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        make_folder(tmp_path / "file" / "folder")
    if sys.platform != "win32":
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        assert "a link that leads to itself" in refused(tmp_path / "loop")
        os.mkfifo(tmp_path / "pipe")
        assert "is a device" in refused(tmp_path / "pipe")
        assert "is a device" in refused(Path(os.devnull))
    monkeypatch.setattr("os.access", lambda *arguments: False)  # as users see it who are not root
    assert "write-protected" in refused(tmp_path / "file")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "x cannot be written: the disk is full: free some space or choose another place."),
        (errno.EROFS, "x cannot be written: the file system is read-only: choose another place."),
        (errno.EACCES, "x cannot be written: the permission is missing: choose another place."),
        (errno.EIO, "x cannot be written: Input/output error; choose another place."),
    ],
)
def test_errors_of_the_system_become_a_sentence(number: int, sentence: str) -> None:
    with pytest.raises(OutputError) as error, explained("x"):
        raise OSError(number, os.strerror(number))
    assert str(error.value) == sentence


@posix
def test_an_output_that_is_an_input_is_refused_by_whatever_path(tmp_path: Path, monkeypatch) -> None:
    portrait = tmp_path / "portrait.png"
    portrait.touch()
    (tmp_path / "soft.png").symlink_to(portrait)
    (tmp_path / "hard.png").hardlink_to(portrait)
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    same = [
        "portrait.png",
        "./portrait.png",
        "folder/../portrait.png",
        f"{tmp_path}//portrait.png",
        "soft.png",
        "hard.png",
        "other/../portrait.png",
    ]
    for one in same:
        with pytest.raises(OutputError, match=r"is an input.*choose another name"):
            check_outputs([Path(one)], [portrait])
        with pytest.raises(OutputError, match="is an input"):
            check_outputs([portrait], [Path(one)])
    check_outputs([Path("new.png"), Path("folder/portrait.png")], [portrait, Path("missing.png")])
    for one, other in (("new", "./new"), ("folder/new", "other/new"), ("soft.png", "hard.png")):
        with pytest.raises(OutputError, match=r"would be written (twice|and is the same file)"):
            check_outputs([Path(one), Path(other)], [])


def test_sources_of_one_name_are_refused() -> None:
    check_names({Path("a.jpg"): "a", Path("b.jpg"): "b"})
    with pytest.raises(OutputError, match=r"a\.jpg and a\.mp4 would both be written as a: rename"):
        check_names({Path("a.jpg"): "a", Path("a.mp4"): "a"})


def test_too_little_space_is_known_before(tmp_path: Path, monkeypatch) -> None:
    check_space(tmp_path / "missing" / "a", 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_500_000}))
    with pytest.raises(OutputError, match=r"needs about 2\.0 GB, but only 1\.5 MB are free"):
        check_file(tmp_path / "a", 2_000_000_000)
    with pytest.raises(OutputError, match=r"needs about 4\.0 MB"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1_000_000)})
    assert not os.listdir(tmp_path)


def test_tensors_that_share_memory_or_are_transposed_are_written(tmp_path: Path) -> None:
    values = torch.arange(6.0)
    tensors = {"all": values, "part": values[:3], "turned": values.reshape(2, 3).T, "none": torch.zeros(0)}
    write_tensors(tmp_path / "a.safetensors", tensors, {"key": "value"})
    header, back = read_tensors(tmp_path / "a.safetensors")
    assert header == {"key": "value"} and all(torch.equal(back[name], tensors[name]) for name in tensors)
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        check_tensor_file(tmp_path / "a.png")


def limited_writers(path: Path) -> dict[str, object]:
    from portraittalk.media.image import write_png
    from portraittalk.motion.track import MotionTrack

    noise = torch.rand(3, 200, 200, generator=torch.Generator().manual_seed(0))
    return {
        "tensors": lambda: write_tensors(path, {"a": torch.zeros(100_000)}),
        "motion": lambda: MotionTrack.of_expression(noise.reshape(-1, 50)[:, :1].expand(-1, 52), 25.0).save(path),
        "picture": lambda: write_png(noise, path),
        "text": lambda: write_text(path, "x" * 100_000),
    }


@posix
@pytest.mark.parametrize("kind", ["tensors", "motion", "picture", "text"])
def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(tmp_path: Path, kind: str, full_disk) -> None:
    with full_disk(50_000), pytest.raises(OutputError, match=r"a\.x cannot be written: .* choose another place\.$"):
        limited_writers(tmp_path / "a.x")[kind]()  # type: ignore[operator]
    assert not os.listdir(tmp_path)


def test_lines_are_added_and_a_line_that_was_cut_stays_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_line(path, "one")
    append_line(path, "zwei ä")
    with path.open("ab") as file:
        file.write(b"cut by a cra")
    append_line(path, "three")
    append_line(path, "four")
    assert path.read_text(encoding="utf-8") == "one\nzwei ä\ncut by a cra\nthree\nfour\n"
    with pytest.raises(OutputError, match="cannot be written: it is a folder"):
        append_line(tmp_path, "line")


def written_by(path: Path) -> bool:
    """Return whether a source file writes files or folders by itself."""
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("write_text", "write_bytes", "mkdir", "touch"):
            return True
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        values = [value.value for value in call.args if isinstance(value, ast.Constant)]
        modes = [value for value in values if isinstance(value, str) and re.fullmatch("[rbt]*[wax][bt+]*", value)]
        if name == "save_file" or (name == "open" and modes):
            return True
    return False


def test_nothing_else_writes_files() -> None:
    allowed = {
        "output_files.py",
        "tensor_files.py",  # through atomic_file, as all that follow with "atomic"
        "media/movie.py",  # atomic, in video.py
        "media/pieces.py",  # atomic
        "media/sound_track.py",  # a trial that is written nowhere
        "media/tags.py",  # atomic
        "training/motion/synthesize.py",  # atomic
        "training/run_log.py",  # a log, to which lines are added
        "weights/download.py",  # a download that is resumed
    }
    package = Path(output_files.__file__).parent
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if written_by(path)}
    assert found == allowed
    assert not [path for path in (package.parent / "nodes").rglob("*.py") if written_by(path)]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom portraittalk.output_files import atomic_file\nwith atomic_file(sys.argv[1]): os._exit(1)"
    )
    long = "a name that is longer than its part in a temporary name"
    for name in ("[a].mp4", f"{long} one.mp4", f"{long} two.mp4"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=False)
    kept = tmp_path / "[a].mp4.0123.part"
    kept.mkdir()
    assert len(list(tmp_path.iterdir())) == 4
    remove_abandoned(tmp_path / "[a].mp4")
    remove_abandoned(tmp_path / f"{long} two.mp4")
    remove_abandoned(tmp_path / "nothing.mp4")
    left = [path for path in tmp_path.iterdir() if path != kept]
    assert len(left) == 1 and (left[0] / f"{long} one.mp4").exists() and kept.exists()
