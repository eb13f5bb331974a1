"""The files of the face and the text networks: what is written is read, and anything else is told in a sentence."""

import json

import pytest
import torch
from safetensors.torch import save_file

from portraittalk.config import FaceDetectorConfig, FaceMeshConfig, TextConfig
from portraittalk.errors import WeightsError
from portraittalk.face.networks import FaceNetworks, load_face_networks, save_face_networks
from portraittalk.text.networks import TextNetworks, load_text_networks, save_text_networks

DETECTOR = FaceDetectorConfig(input_size=64, widths=(8, 16, 16, 16))
MESH = FaceMeshConfig(input_size=64, widths=(8, 16, 16, 16), code=32, detail=8)
TEXT = TextConfig(vocabulary=50, word_dim=8, dim=16, layers=1, heads=2, hidden=16)


def face_networks():
    return FaceNetworks(DETECTOR, MESH)


def text_networks():
    return TextNetworks(TEXT)


KINDS = [
    (face_networks, save_face_networks, load_face_networks),
    (text_networks, save_text_networks, load_text_networks),
]


@pytest.mark.parametrize(("make", "save", "load"), KINDS)
def test_what_is_written_is_read(make, save, load, tmp_path):
    networks = make()
    save(tmp_path / "small.safetensors", networks)
    read = load(tmp_path / "small.safetensors")
    assert not read.training and not any(p.requires_grad for p in read.parameters())
    for name, value in networks.state_dict().items():
        assert torch.equal(read.state_dict()[name], value.half().float()), name
    assert list(tmp_path.iterdir()) == [tmp_path / "small.safetensors"]


@pytest.mark.parametrize(("make", "save", "load"), KINDS)
def test_other_files_are_told_apart(make, save, load, tmp_path):
    foreign, damaged, other = (tmp_path / f"{name}.safetensors" for name in ("foreign", "damaged", "other"))
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(WeightsError, match="does not contain weights of"):
        load(foreign)
    damaged.write_bytes(b"\\x01" * 100)
    with pytest.raises(WeightsError, match="damaged"):
        load(damaged)
    save(other, make())
    from safetensors import safe_open

    with safe_open(other, framework="pt") as file:
        header = file.metadata()
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    first = next(iter(tensors))
    save_file({**tensors, first: torch.zeros(3)}, other, header)
    with pytest.raises(WeightsError, match="wrong shape"):
        load(other)
    config = json.loads(header["config"])
    save_file(tensors, other, {**header, "config": json.dumps({**config, "colour": 1} if "dim" in config else {})})
    load.cache_clear()
    with pytest.raises(WeightsError, match="another version"):
        load(other)
    with pytest.raises(WeightsError, match="no weights file"):
        load(tmp_path / "missing.safetensors")
