"""The commands in this process, with a tiny model, a small portrait and a short speech."""

import sys
from functools import cache

import pytest
import torch
import typer.main
import typer.testing
from PIL import Image
from safetensors.torch import save_file
from speech_files import write_speech

from portraittalk import cli
from portraittalk.weights.load import save_weights


@pytest.fixture(scope="module", autouse=True)
def _pictures_seen_once(pictures_seen_once):
    """Most tests here look at the same few pictures."""


@pytest.fixture(scope="session", autouse=True)
def commands_are_built_once():
    """Typer builds all commands anew, in 0.02 s, whenever one is run."""
    built = cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", built)
        patch.setattr(typer.testing, "_get_command", built, raising=False)
        yield


@pytest.fixture(scope="session")
def models(tiny_model, tmp_path_factory):
    """A folder with tiny.safetensors, and two files that are no model: foreign and corrupt."""
    folder = tmp_path_factory.mktemp("models")
    parts = {name: module.state_dict() for name, module in tiny_model.modules().items()}
    save_weights(folder / "tiny.safetensors", tiny_model.config, parts)
    save_file({"weight": torch.zeros(1)}, folder / "foreign.safetensors")
    (folder / "corrupt.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="session")
def face(repository, tmp_path_factory):
    """The demo portrait at a quarter of its size, with which everything is done sooner."""
    path = tmp_path_factory.mktemp("face") / "portrait.png"
    with Image.open(repository / "portraittalk/assets/demo/portrait.jpg") as image:
        image.resize((192, 192)).save(path)
    return str(path)


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """0.6 s of speech."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    write_speech(path, 0.6)
    return str(path)


@pytest.fixture
def run_command(monkeypatch, capfd):
    """run_command(*arguments) -> exit code, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["portraittalk", *map(str, arguments)])
        try:
            cli.run()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def run(run_command, models, monkeypatch):
    """As ``run_command``, with the folder of ``models``."""
    monkeypatch.setenv("PORTRAITTALK_MODELS", str(models))
    return run_command
