"""Hallo's layout at full size, its conversion, and the refusal to run what is not there yet."""

import gzip
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from portraittalk.errors import SettingsError, WeightsError
from portraittalk.pipelines.load import build_pipeline, load_model
from portraittalk.weights.hallo import HALLO
from portraittalk.weights.networks import build_networks
from portraittalk.weights.public import convert, mapped, public_names


@pytest.fixture(scope="module")
def published(repository):
    """Key -> shape of the one file, as upstream's classes have them at full size."""
    return json.loads(gzip.decompress((repository / "tests" / "data" / "hallo_keys.json.gz").read_bytes()))


def public_state(layout, modules):
    """File -> key -> tensor of our networks under their public names."""
    files = {file: {} for file in layout.files}
    for source in layout.sources:
        for name, module in modules.items():
            for key, value in module.state_dict().items():
                if f"{name}.{key}".startswith(source.ours):
                    files[source.files[0]][public_names(source, f"{name}.{key}")[0]] = value.contiguous()
    return files


def test_every_key_at_full_size_has_its_place_and_shape(published):
    with torch.device("meta"):
        wanted = build_networks(HALLO.config)
        net = {key: torch.empty(shape) for key, shape in published.items()}
    states = mapped(HALLO, wanted, {"net": net, "vae": public_state(HALLO, wanted)["vae"]})
    for network, module in wanted.items():
        shapes = {key: value.shape for key, value in module.state_dict().items()}
        assert {key: value.shape for key, value in states[network].items()} == shapes
    with pytest.raises(WeightsError, match=r"net has unexpected keys: denoising_unet\.extra"):
        mapped(HALLO, wanted, {"net": net | {"denoising_unet.extra": torch.zeros(1)}, "vae": {}})


def test_its_file_is_converted_and_loads_but_does_not_run_yet(tiny_echomimic, portrait, portrait_face, tmp_path):
    config = replace(
        HALLO.config,
        crop_size=128,
        speech=replace(HALLO.config.speech, steps=4, dim=8),
        structure=replace(HALLO.config.structure, map_size=128),
        autoencoder=tiny_echomimic.autoencoder,
        animate_net=replace(HALLO.config.animate_net, block_out_channels=(32, 64), layers_per_block=1),
    )
    layout = replace(HALLO, config=config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_pipeline(config)
    paths = {}
    for file, state in public_state(layout, model.modules()).items():
        paths[file] = tmp_path / f"{file}.pth"
        torch.save(state, paths[file]) if file == "net" else save_file(state, paths[file].with_suffix(".safetensors"))
    paths["vae"] = paths["vae"].with_suffix(".safetensors")
    convert(layout, paths, tmp_path / "hallo.safetensors")
    loaded = load_model("hallo", folders=[tmp_path])
    for name, module in model.modules().items():
        state = loaded.modules()[name].state_dict()
        for key, value in module.state_dict().items():
            torch.testing.assert_close(state[key], value, atol=2e-3, rtol=1e-3)
    with pytest.raises(SettingsError, match="ArcFace") as refused:
        loaded.encode_identity([portrait], faces=[[portrait_face]])
    assert "hallo" in str(refused.value) and "\n" not in str(refused.value)
