import json
import math

import pytest
import torch
from safetensors.torch import save_file

from portraittalk.errors import OutputError, WeightsError
from portraittalk.pipelines.load import load_model
from portraittalk.weights.load import pack, save_weights
from portraittalk.weights.networks import empty_networks


@pytest.fixture(scope="module")
def parts(tiny_model):
    return {name: module.state_dict() for name, module in tiny_model.modules().items()}


@pytest.fixture(scope="module")
def packed(tiny_model, parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, tiny_model.config, parts)
    return path


def test_a_model_survives_its_file(tiny_model, packed, parts):
    for model in (load_model(packed), load_model("tiny", folders=[packed.parent])):
        assert model.config == tiny_model.config
        for name, module in model.modules().items():
            assert not module.training
            state = module.state_dict()
            assert state.keys() == parts[name].keys()
            assert all(torch.equal(state[key], value) and not value.is_meta for key, value in parts[name].items())


def test_networks_that_are_kept_for_their_keys_stay_empty(tiny_model, packed):
    config = tiny_model.config
    kept = empty_networks(config)
    load_model(packed)
    assert empty_networks(config) is kept and kept.keys() == tiny_model.modules().keys()
    for name, network in kept.items():
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        assert shapes == {key: value.shape for key, value in tiny_model.modules()[name].state_dict().items()}
        assert all(value.is_meta for value in network.state_dict().values())


def test_packing_joins_files_in_half_precision(tiny_model, parts, tmp_path, packed):
    files = {name: tmp_path / f"{name}.safetensors" for name in parts}
    for name, state in parts.items():
        save_file({key: value.contiguous() for key, value in state.items()}, files[name])
    pack(tmp_path / "packed.safetensors", tiny_model.config, files)
    model = load_model(tmp_path / "packed.safetensors")
    key, weight = next(iter(parts["autoencoder"].items()))
    assert torch.allclose(model.autoencoder.state_dict()[key], weight, atol=1e-3)
    assert model.autoencoder.state_dict()[key].dtype == torch.float32
    assert (tmp_path / "packed.safetensors").stat().st_size < 0.6 * packed.stat().st_size


def test_keys_that_do_not_fit_are_named(tiny_model, parts, tmp_path):
    key, weight = next(iter(parts["autoencoder"].items()))
    lacking = {k: v for k, v in parts["autoencoder"].items() if k != key}
    wrong = {
        "misses keys": lacking,
        "unexpected keys: stranger": parts["autoencoder"] | {"stranger": weight},
        "wrong shape": lacking | {key: weight[:1]},
    }
    for what, state in wrong.items():
        with pytest.raises(WeightsError, match=what) as refused:
            save_weights(tmp_path / "bad.safetensors", tiny_model.config, parts | {"autoencoder": state})
        assert "stranger" in str(refused.value) or key in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_files_of_another_build_are_refused_with_names(tiny_model, packed, parts, tmp_path):
    header = {"format": "portraittalk", "portraittalk_config": json.dumps(tiny_model.config.to_dict())}
    whole = {f"{part}.{key}": value.contiguous() for part, state in parts.items() for key, value in state.items()}
    path = tmp_path / "other.safetensors"
    save_file({key: value for key, value in whole.items() if not key.startswith("motion_net.")}, path, header)
    with pytest.raises(WeightsError, match="motion_net misses keys"):
        load_model(path)
    save_file(whole | {"vocoder.weight": torch.zeros(1)}, path, header)
    with pytest.raises(WeightsError, match="vocoder"):
        load_model(path)
    save_file(whole | {"vo\ncoder.weight": torch.zeros(1)}, path, header)
    with pytest.raises(WeightsError, match=r"'vo\\ncoder\.weight'"):
        load_model(path)
    save_file(whole, path, header | {"portraittalk_config": '{"crop_sise": 1}'})
    with pytest.raises(WeightsError, match="another version"):
        load_model(path)


def test_foreign_corrupt_and_pickled_files_are_refused_with_one_sentence(packed, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(packed.read_bytes()[:-1000])
    text = tmp_path / "text.safetensors"
    text.write_text("not weights at all")
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    pickled = tmp_path / "pickled.pth"
    torch.save({"weight": torch.zeros(2)}, pickled)
    renamed = tmp_path / "renamed.safetensors"
    torch.save({"weight": torch.zeros(2)}, renamed)
    for path in (foreign, truncated, text, empty, pickled, renamed, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(WeightsError) as refused:
            load_model(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop_size": "64"}, "crop_size is '64'"),
        ({"crop_size": True}, "crop_size is True"),
        ({"crop_width": math.nan}, "crop_width is nan"),
        ({"window": 10**400}, "window is a number of more than 60 digits"),
        ({"animate_net": None}, "AnimateNetConfig is None"),
        ({"animate_net": {"block_out_channels": 16}}, "block_out_channels is 16"),
        ({"animate_net": {"block_out_channels": [16] * 500}}, "block_out_channels is an object of type tuple"),
        ({"motion_net": {"layers": 10**9}}, "layers is 1000000000"),
        ({"motion_net": {"width": -1}}, "cannot be built"),
        ({"animate_net": {"attention_head_dim": 0}}, "cannot be built"),
        ({"autoencoder": {"norm_num_groups": 7}}, "cannot be built"),
        ({"unknown\nkey": 1}, "unexpected keyword argument 'unknown"),
    ],
)
def test_a_configuration_that_no_network_has_is_refused_with_one_sentence(tiny_model, tmp_path, change, words):
    config = tiny_model.config.to_dict()
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    header = {"format": "portraittalk", "portraittalk_config": json.dumps(config)}
    save_file({"x": torch.zeros(1)}, tmp_path / "odd.safetensors", header)
    with pytest.raises(WeightsError) as refused:
        load_model(tmp_path / "odd.safetensors")
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_cannot_be_written_leaves_nothing(tiny_model, parts, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_weights(tmp_path / "missing" / "tiny.safetensors", tiny_model.config, parts)
    with pytest.raises(WeightsError, match="parts"):
        save_weights(tmp_path / "tiny.safetensors", tiny_model.config, {"autoencoder": parts["autoencoder"]})
    assert not list(tmp_path.iterdir())
