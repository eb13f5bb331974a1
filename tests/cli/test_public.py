"""The command line with public weights: files are converted, and the model they make animates a portrait."""

import wave
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.errors import SettingsError
from portraittalk.media.reader import read_video
from portraittalk.weights import public


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    samples = (8000 * torch.sin(900 * torch.arange(2560) / 16000)).short().numpy()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def run(checkpoint, monkeypatch):
    """run(*arguments) -> what was printed; the layout is a tiny one, and errors are raised."""
    layout = checkpoint[0]
    tiny = replace(layout, config=replace(layout.config, steps=2))
    monkeypatch.setitem(public.LAYOUTS, "echomimic", tiny)

    def call(*arguments):
        result = CliRunner().invoke(cli.app, [str(value) for value in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def test_public_files_are_converted_and_the_model_talks(run, checkpoint, sound, repository, tmp_path):
    files = [part for name, path in checkpoint[2].items() for part in ("--file", f"{name}={path}")]
    assert "MB" in run("weights", "convert", "echomimic", *files, "--out", tmp_path / "echo.safetensors")
    assert "echo" in run("weights", "list", "--models-dir", tmp_path)
    face = repository / "portraittalk" / "assets" / "demo" / "portrait.jpg"
    usual = ("animate", face, "--audio", sound, "--models-dir", tmp_path, "--model", "echo", "--max-size", 192)
    run(*usual, "--out", tmp_path / "out.mp4")
    assert len(list(read_video(tmp_path / "out.mp4"))) == 4
    for asked in (("--prompt", "a smile"), ("--motion-out", tmp_path / "motion.json"), ("--fast-decode",)):
        with pytest.raises(SettingsError, match="echo"):
            run(*usual, "--out", tmp_path / "other.mp4", *asked)
    assert not (tmp_path / "other.mp4").exists()


def test_a_file_without_a_name_is_told_which_there_are(run, tmp_path):
    with pytest.raises(SettingsError, match="NAME=PATH"):
        run("weights", "convert", "echomimic", "--file", "some.pth", "--out", tmp_path / "echo.safetensors")
