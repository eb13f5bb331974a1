"""LivePortrait's layout: every key of its five files, at full size and in other packings."""

import gzip
import json
from dataclasses import replace

import pytest
import torch
from liveportrait_networks import SEEDS, golden_networks, published_files, published_shapes, small_config
from safetensors.torch import save_file

from portraittalk.errors import WeightsError
from portraittalk.tensor_files import read_tensors
from portraittalk.weights.files import find_weights
from portraittalk.weights.layout import SHIPPED
from portraittalk.weights.liveportrait import LIVEPORTRAIT
from portraittalk.weights.load import load_networks
from portraittalk.weights.networks import FACE_MOTION, build_networks
from portraittalk.weights.public import convert, mapped, read_public, without_spectral_norm

RETARGETING = "stitching_retargeting_module"


@pytest.fixture(scope="module")
def published(repository):
    """File -> key -> tensor on the meta device, as upstream's classes have them at full size."""
    keys = json.loads(gzip.decompress((repository / "tests" / "data" / "liveportrait_keys.json.gz").read_bytes()))
    with torch.device("meta"):
        return {file: {key: torch.empty(shape) for key, shape in some.items()} for file, some in keys.items()}


@pytest.fixture(scope="module")
def wanted():
    with torch.device("meta"):
        return build_networks(LIVEPORTRAIT.config)


def placed(wanted, files):
    files = {**files, SHIPPED: read_tensors(find_weights("mini"))[1]}
    return mapped(LIVEPORTRAIT, wanted, files)


def test_every_key_at_full_size_has_its_place_and_shape(published, wanted):
    states = placed(wanted, published)
    for network, module in wanted.items():
        shapes = {key: value.shape for key, value in module.state_dict().items()}
        assert {key: value.shape for key, value in states[network].items()} == shapes
    counts = {name: sum(value.numel() for value in module.parameters()) for name, module in wanted.items()}
    del counts["motion_net"], counts["basis"]
    assert counts == {  # published: 0.84, 28.12, 45.53, 55.37 and 0.23 million
        "appearance": 836_224,
        "motion_extractor": 28_118_728,
        "warping": 45_529_829,
        "generator": 55_365_388,
        "retargeting": 227_263,
    }


def test_the_networks_of_the_tests_have_the_published_names(published, wanted):
    """So that ``published_files`` writes what people download."""
    by_file = {file: {} for file in published}
    for source in LIVEPORTRAIT.sources:
        ours = source.ours.removesuffix(".")
        if ours in SEEDS:
            by_file[source.files[0]] |= published_shapes(wanted)[ours]
    assert by_file == {file: {key: tuple(one.shape) for key, one in some.items()} for file, some in published.items()}


def test_other_packings(published, wanted):
    """Repacked as safetensors, without the detector's prefix, and with more in the file of the small networks."""
    small, motion = published[RETARGETING], published["motion_extractor"]
    for change in (lambda key: key.replace(".module.", "_module."), lambda key: key.replace(".module.", ".")):
        files = published | {
            RETARGETING: {change(key): value for key, value in small.items()} | {"optimizer.step": torch.zeros(1)},
            "motion_extractor": {key.removeprefix("detector."): value for key, value in motion.items()},
        }
        assert placed(wanted, files)["retargeting"].keys() == wanted["retargeting"].state_dict().keys()
    with pytest.raises(WeightsError, match=r"warping_module has unexpected keys: extra"):
        placed(wanted, published | {"warping_module": published["warping_module"] | {"extra": torch.zeros(1)}})
    lacking = {key: value for key, value in small.items() if key != "retarget_eye.module.mlp.0.bias"}
    with pytest.raises(WeightsError, match=r"misses keys: retarget_eye\.module\.mlp\.0\.bias"):
        placed(wanted, published | {RETARGETING: lacking})


def test_spectral_norm_is_divided_out():
    """Of a matrix with known singular values, whose vectors are exact."""
    left, _, right = torch.linalg.svd(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    matrix = (left * torch.tensor([3.0, 2, 1, 0.5])) @ right[:4]
    layer = {"conv.weight_orig": matrix.view(4, 3, 2), "conv.weight_u": left[:, 0], "conv.weight_v": right[0]}
    folded = without_spectral_norm(layer | {"conv.bias": torch.zeros(4)})
    assert folded.keys() == {"conv.weight", "conv.bias"}
    torch.testing.assert_close(folded["conv.weight"], matrix.view(4, 3, 2) / 3)
    assert without_spectral_norm({"conv.weight_orig": matrix}).keys() == {"conv.weight_orig"}


def test_files_as_published_become_one_model(tmp_path):
    """Pickled; the small networks in dictionaries of their own, with numbers beside them."""
    layout = replace(LIVEPORTRAIT, config=small_config())
    networks = golden_networks()
    paths = {}
    for file, state in published_files(networks).items():
        paths[file] = tmp_path / f"{file}.pth"
        if file == RETARGETING:
            nested: dict = {"epoch": 3}
            for key, value in state.items():
                network, _, rest = key.partition(".")
                nested.setdefault(network, {})[rest] = value
            state = nested
        torch.save(state, paths[file])
    convert(layout, paths, tmp_path / "small.safetensors")
    config, loaded = load_networks(tmp_path / "small.safetensors")
    assert config == layout.config and config.kind == "keypoints"
    for name, network in networks.items():
        if name in FACE_MOTION:  # mini's
            continue
        exact = name in ("motion_extractor", "retargeting")
        tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-3, "atol": 1e-4}
        for key, value in network.state_dict().items():
            found = loaded[name].state_dict()[key]
            assert found.dtype == (value.dtype if exact or not value.is_floating_point() else torch.float16)
            torch.testing.assert_close(found.to(value.dtype), value, **tolerance)
    assert loaded["basis"].expression.any()


def test_numbers_beside_tensors_are_left_out_and_objects_refused(tmp_path):
    torch.save({"net": {"a": torch.ones(2), "b": {"c": torch.zeros(1)}}, "epoch": 3, "name": "x"}, tmp_path / "a.pth")
    assert read_public(tmp_path / "a.pth").keys() == {"net.a", "net.b.c"}
    for state in ({"epoch": 3}, {"net": {"a": torch.ones(2), "list": [torch.ones(1)]}}):
        torch.save(state, tmp_path / "b.pth")
        with pytest.raises(WeightsError, match="does not contain a state dict"):
            read_public(tmp_path / "b.pth")
    save_file({"a": torch.ones(2)}, tmp_path / "c.safetensors")
    assert read_public(tmp_path / "c.safetensors").keys() == {"a"}
