"""Nothing of the user's is lost: outputs that are inputs or cannot be written are refused before any work, and a
command that is stopped leaves nothing behind."""

import os
import shutil
import signal
import sys
import time
import wave

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner
from warm_processes import start

from portraittalk import cli
from portraittalk.cli.stopping import Stopped, stoppable
from portraittalk.errors import PortraitTalkError
from portraittalk.output_files import atomic_file

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals, links and names")


@pytest.fixture
def folder(repository, tmp_path, monkeypatch):
    """A working directory with a portrait, speech, weights and an empty folder."""
    shutil.copy(repository / "portraittalk/assets/demo/portrait.jpg", tmp_path / "face.png")
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    (tmp_path / "motion.json").write_bytes(b"motion")
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTRAITTALK_MODELS", str(tmp_path))
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


ANIMATE = "animate face.png --audio speech.wav --motion-in motion.json"
PACK = "weights pack --autoencoder a.safetensors --identity-net weights.safetensors --animate-net a.safetensors"
REFUSED = {
    f"{ANIMATE} --out face.png": "face.png is an input",
    "animate face.png --audio clip.mp4 --out clip.mp4": "clip.mp4 is an input",
    "animate face.png --audio clip.mp4 --out folder/../clip.mp4": "is an input",
    f"{ANIMATE} --out x.mp4 --motion-out face.png": "face.png is an input",
    f"{ANIMATE} --out x.mp4 --motion-out speech.wav": "speech.wav is an input",
    f"{ANIMATE} --out x.mp4 --motion-out motion.json": "motion.json is an input",
    f"{ANIMATE} --out x.mp4 --model weights --motion-out weights.safetensors": "weights.safetensors is an input",
    f"{ANIMATE} --motion-edit clip.mp4 --out clip.mp4": "clip.mp4 is an input",
    f"{ANIMATE} --out x.mp4 --motion-out x.mp4": "x.mp4 would be written twice",
    f"{ANIMATE} --out x.mp4 --motion-out .": "it is a folder",
    f"{ANIMATE} --out x.mp4 --motion-out missing/x.json": "does not exist",
    f"{ANIMATE} --out folder/face.png/x.mp4": "does not exist",
    f"{ANIMATE} --out {'x' * 300}.mp4": "the name is too long",
    "edit face.png --model weights --out face.png": "face.png is an input",
    "edit face.png --model weights --out missing/x.png": "does not exist",
    "evaluate clip.mp4 --out-dir .": "clip.mp4 is an input",
    "evaluate face.png --audio clip.mp4 clip.mp4 --out-dir .": "clip.mp4 is an input",
    "evaluate clip.mp4 folder/../clip.mp4 --out-dir folder": "clip.mp4",
    "evaluate clip.mp4 --out-dir speech.wav": "speech.wav is a file, but a folder is needed",
    "benchmark videos --out .": "clip.mp4 is an input",
    "benchmark . --out speech.wav/x": "a part of the path is a file",
    "weights convert weights.pth --out weights.pth": "ends in .safetensors",
    "weights convert weights.pth --out missing/x.safetensors": "does not exist",
    f"{PACK} --motion-net a.safetensors --out weights.safetensors": "weights.safetensors is an input",
    "weights selftest mini --out-dir speech.wav": "speech.wav is a file",
    "prepare . --out speech.wav": "a part of the path is a file",
    "prepare videos --out folder": "clip.jpg and videos/clip.mp4 would both be written as clip.safetensors",
    "train look check face.png --audio speech.wav --out .": "face.png is an input",
    "train teeth --ict weights.safetensors --out weights.safetensors": "weights.safetensors is an input",
    "train embed --clips . --out weights.safetensors": "weights.safetensors is an input",
    "train face pack --detector weights.safetensors --mesh a --expression a --out weights.safetensors": "is an input",
    "train autoencoder --clips folder --start weights.safetensors --out .": "weights.safetensors is an input",
    "train autoencoder --clips folder --out speech.wav": "speech.wav is a file",
    "train text reader --encoder weights.safetensors --file weights.safetensors --out folder": "is an input",
    "train tracks videos --out folder --landmarker own": "would both be written as clip.safetensors",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_must_not_or_cannot_be_written_is_refused_before_any_work(folder, monkeypatch, line):
    monkeypatch.setattr("portraittalk.pipelines.load.load_networks", lambda path: pytest.fail("a model was loaded"))
    if " videos " in line:
        (folder / "videos").mkdir()
        (folder / "videos" / "clip.mp4").touch()
        if line.startswith("benchmark"):
            os.link(folder / "clip.mp4", folder / "videos" / "b.mp4")
            (folder / "videos" / "clip.mp4").unlink()
            (folder / "videos" / "b.mp4").rename(folder / "videos" / "clip.mp4")
        else:
            (folder / "videos" / "clip.jpg").touch()
    before = contents(folder)
    result = CliRunner().invoke(cli.app, line.split())
    assert isinstance(result.exception, PortraitTalkError), result.output
    assert REFUSED[line] in str(result.exception) and "\n" not in str(result.exception)
    assert contents(folder) == before


@posix
def test_an_input_is_known_by_any_of_its_paths(folder):
    (folder / "link.mp4").symlink_to(folder / "clip.mp4")
    os.link(folder / "clip.mp4", folder / "hard.mp4")
    before = contents(folder)
    for out in ("./clip.mp4", f"{folder}/clip.mp4", "link.mp4", "hard.mp4"):
        result = CliRunner().invoke(cli.app, ["animate", "face.png", "--audio", "clip.mp4", "--out", out])
        assert "is an input" in str(result.exception)
    assert contents(folder) == before


def test_the_settings_of_a_run_are_not_overwritten_by_its_record(folder):
    """``--config RUN/run.toml --out RUN`` resumes a run; a file that somebody wrote there is not replaced."""
    (folder / "folder" / "run.toml").write_text("# mine\nclips = 'folder'\n")
    line = "train autoencoder --config folder/run.toml --out folder"
    result = CliRunner().invoke(cli.app, line.split())
    assert "run.toml would be overwritten" in str(result.exception)
    assert (folder / "folder" / "run.toml").read_text().startswith("# mine")
    again = ["train", "autoencoder", "--clips", "folder", "--out", "run"]
    assert "contains no .safetensors files" in str(CliRunner().invoke(cli.app, again).exception)
    record = (folder / "run" / "run.toml").read_bytes()
    result = CliRunner().invoke(cli.app, ["train", "autoencoder", "--config", "run/run.toml", "--out", "run"])
    assert "contains no .safetensors files" in str(result.exception)
    assert (folder / "run" / "run.toml").read_bytes() == record


def stopped(process, number):
    """Send a signal; return the exit code and the seconds until the end."""
    begun = time.monotonic()
    os.kill(process.pid, number)
    try:
        process.join(60)
    finally:
        process.kill()
    return process.exitcode, time.monotonic() - begun


def wait_for(found, process):
    """Wait until ``found()``, at most two minutes, and not longer than the process runs."""
    deadline = time.monotonic() + 120
    while not found() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)


WRITING = """
import hashlib, signal, sys, time
from pathlib import Path
from portraittalk import cli
from portraittalk.output_files import atomic_file, atomic_folder
def write():
    out = Path(sys.argv[1])
    with atomic_file(out / "a.txt") as part, atomic_folder(out / "frames") as frames:
        part.write_text("half")
        (frames / "1.png").write_text("half")
        (out / "ready").touch()
        if sys.argv[2] == "busy":  # with one operation that Python cannot interrupt
            hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
        time.sleep(60)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that run under nohup ignore it, and so would their children
cli.app = write
cli.main()
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
@pytest.mark.parametrize("doing", ["busy", "waiting"])
def test_a_stopped_command_ends_at_once_with_a_sentence_and_leaves_nothing(tmp_path, number, doing):
    script, out, ready = tmp_path / "write.py", tmp_path / "out", tmp_path / "out" / "ready"
    script.write_text(WRITING)
    out.mkdir()
    process = start([script, out, doing], tmp_path / "said")
    wait_for(ready.exists, process)
    ready.unlink()
    assert len(os.listdir(out)) == 2
    code, seconds = stopped(process, number)
    assert code == 128 + number and seconds < 5  # half a second on a machine that has nothing else to do
    said = (tmp_path / "said").read_text()
    assert said.strip() == f"Error: Stopped by {number.name}: what was not finished has been removed."
    assert not os.listdir(out)


@posix
def test_signals_have_their_effect_only_in_the_block_and_ignored_ones_stay_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with pytest.raises(Stopped) as end, stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            with atomic_file(tmp_path / "a"):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
        assert end.value.code == 143 and not os.listdir(tmp_path)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@posix
@pytest.mark.slow
def test_sigterm_to_animate_leaves_nothing(repository, tmp_path):
    speech, out = tmp_path / "speech.wav", tmp_path / "out"
    out.mkdir()
    with wave.open(str(speech), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 300))
    face = repository / "portraittalk/assets/demo/portrait.jpg"
    options = [face, "--audio", speech, "--out", out / "a.mp4", "--motion-out", out / "a.json", "--max-size", 256]
    process = start(["animate", *options], tmp_path / "said")
    wait_for(lambda: list(out.glob("*/a.mp4")), process)
    code, seconds = stopped(process, signal.SIGTERM)
    said = (tmp_path / "said").read_text()
    assert code == 143 and "Stopped by SIGTERM" in said and "Traceback" not in said and seconds < 5
    assert not os.listdir(out)
