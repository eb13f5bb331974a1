"""LivePortrait by the command line: its files are downloaded, checked, converted and run."""

import wave
from dataclasses import replace

import pytest
import torch
from liveportrait_networks import published_files, tiny_liveportrait
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.media.reader import read_video
from portraittalk.motion.track import MotionTrack
from portraittalk.weights import public
from portraittalk.weights.catalogue import catalogue
from portraittalk.weights.layouts import LAYOUTS
from portraittalk.weights.networks import build_networks


@pytest.fixture(scope="module")
def files():
    """Role -> published tensors of the tiny networks."""
    return published_files(build_networks(tiny_liveportrait()))


@pytest.fixture
def run(files, hub, monkeypatch, tmp_path):
    """run(*arguments) -> what was printed; the hub offers tiny files under LivePortrait's names."""
    layout = replace(LAYOUTS["liveportrait"], config=tiny_liveportrait())
    monkeypatch.setitem(public.LAYOUTS, "liveportrait", layout)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 10**12)
    for role, file in catalogue().models["liveportrait"].files.items():
        torch.save(files[role], tmp_path / "one.pth")
        hub.files[f"{file.repo}/{file.path}"] = (tmp_path / "one.pth").read_bytes()

    def call(*arguments):
        result = CliRunner().invoke(cli.app, [str(value) for value in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def test_from_the_hub_to_a_video_with_a_prompt(run, repository, tmp_path):
    folder = tmp_path / "models"
    told = run("weights", "get", "liveportrait", "--models-dir", folder)
    assert told.count("licence MIT") == 5 and (folder / "liveportrait.safetensors").is_file()
    checked = run("weights", "verify", "--models-dir", folder)
    assert "BROKEN" not in checked and checked.count("all keys and shapes match") >= 6
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000 * 4 // 25))
    portrait = repository / "portraittalk" / "assets" / "demo" / "portrait.jpg"
    usual = ("animate", portrait, "--audio", tmp_path / "speech.wav")
    model = ("--models-dir", folder, "--model", "liveportrait", "--max-size", 192, "--low-memory")
    out, motion = tmp_path / "out.mp4", tmp_path / "motion.json"
    run(*usual, *model, "--prompt", "smiling", "--out", out, "--motion-out", motion, "--resume")
    assert len(list(read_video(out))) == 4 and len(MotionTrack.load(motion)) == 4
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.slow  # a video of a second is made and measured
def test_its_selftest_leaves_a_report(run, tmp_path):
    folder = tmp_path / "models"
    run("weights", "get", "liveportrait", "--models-dir", folder)
    out = tmp_path / "selftest"
    told = run("weights", "selftest", "liveportrait", "--models-dir", folder, "--seconds", 1, "--out-dir", out)
    assert "finite  True" in told and "outside psnr" in told
    assert {path.name for path in out.iterdir()} == {"clip.mp4", "report.json", "sheet.png"}
