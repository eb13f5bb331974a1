import json
import struct

import pytest
from PIL import Image
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.errors import WeightsError
from portraittalk.tensor_files import read_shapes, read_tensors
from portraittalk.weights import files
from portraittalk.weights.files import available_weights, comfyui_models_folder, find_weights, model_folders


def test_names_are_those_of_the_files(tmp_path):
    (tmp_path / "large.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    assert find_weights("large", [tmp_path]) == tmp_path / "large.safetensors"
    assert find_weights("large.safetensors", [tmp_path]) == tmp_path / "large.safetensors"
    assert "notes" not in available_weights([tmp_path])


@pytest.mark.parametrize("name", ["../large", "/etc/passwd", "a\\b", "C:large", "", ".", ".."])
def test_a_path_is_no_name(tmp_path, name):
    (tmp_path / "large.safetensors").touch()
    with pytest.raises(WeightsError, match="name"):
        find_weights(name, [tmp_path / "inner"])


def test_an_unknown_name_lists_what_there_is(tmp_path):
    (tmp_path / "large.safetensors").touch()
    with pytest.raises(WeightsError, match="large"):
        find_weights("huge", [tmp_path])


def test_inside_of_a_comfyui_models_lie_in_its_folder(tmp_path):
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "ComfyUI-PortraitTalk" / "portraittalk"
    assert comfyui_models_folder(pack) == tmp_path / "ComfyUI" / "models" / "portraittalk"
    assert comfyui_models_folder(tmp_path / "clone" / "portraittalk") is None


def test_models_are_looked_for_in_the_chosen_folder_or_else_in_comfyuis(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "comfyui_models_folder", lambda: None)
    assert model_folders() == []
    monkeypatch.setattr(files, "comfyui_models_folder", lambda: tmp_path / "comfyui")
    assert model_folders() == [tmp_path / "comfyui"]
    assert model_folders(tmp_path / "own") == [tmp_path / "own"]


@pytest.mark.parametrize(
    "command",
    [
        ("animate", "a.jpg", "--audio", "a.wav", "--out", "a.mp4"),
        ("edit", "a.jpg", "--out", "a.png"),
        ("evaluate", "a.jpg", "--audio", "a.wav", "--out-dir", "videos"),
        ("benchmark", "folder", "--out", "report"),
        ("check-prompts", "a.jpg", "--audio", "a.wav"),
        ("weights", "selftest"),
    ],
)
def test_every_command_that_runs_a_model_looks_in_comfyuis_folder(command, tmp_path, monkeypatch):
    (tmp_path / "comfyui").mkdir()
    (tmp_path / "comfyui" / "mine.safetensors").write_bytes(b"damaged")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.mp4").touch()
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORTRAITTALK_MODELS", raising=False)
    monkeypatch.setattr(files, "comfyui_models_folder", lambda: tmp_path / "comfyui")
    chosen = ("mine",) if command[-1] == "selftest" else ("--model", "mine")
    result = CliRunner().invoke(cli.app, [*command, *chosen])
    assert "mine.safetensors is damaged" in str(result.exception)


@pytest.mark.parametrize("promised", ["header", "tensor"])
def test_a_file_that_promises_more_than_it_holds_is_refused_without_allocating_it(tmp_path, promised):
    tensor = {"dtype": "F32", "shape": [2**30, 2**28], "data_offsets": [0, 2**60]}
    header = json.dumps({"a": tensor}).encode()
    size = 2**60 if promised == "header" else len(header)
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", size) + header)
    for read in (read_tensors, read_shapes):
        with pytest.raises(WeightsError, match=r"a\.safetensors is damaged"):
            read(tmp_path / "a.safetensors")
