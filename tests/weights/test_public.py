"""Public layouts: every key has its place, and what does not fit is named as the public file names it."""

import gzip
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from portraittalk.errors import WeightsError
from portraittalk.models.autoencoder import FastDecoder
from portraittalk.pipelines.load import load_model
from portraittalk.tensor_files import read_tensors
from portraittalk.weights.files import find_weights
from portraittalk.weights.layout import SHIPPED
from portraittalk.weights.layouts import LAYOUTS
from portraittalk.weights.networks import build_networks
from portraittalk.weights.public import convert, layout_named, mapped, public_names

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def published(repository):
    """Layout -> file -> key -> shape, as upstream's classes have them at full size."""
    return json.loads(gzip.decompress((repository / "tests" / "data" / "public_keys.json.gz").read_bytes()))


def empty_files(layout, wanted, published):
    """The public files on the meta device; the autoencoder's in its old names, Whisper's with a decoder."""
    with torch.device("meta"):
        files = {
            file: {key: torch.empty(shape) for key, shape in keys.items()}
            for file, keys in published[layout.config.name].items()
        }
        denoiser = files["denoising_unet"]
        files["motion_module"] = {key: denoiser.pop(key) for key in list(denoiser) if "motion_modules." in key}
        for source in layout.sources:
            if source.files[0] in ("vae", "whisper", "image_encoder"):
                name = source.ours.partition(".")[0]
                keys = {f"{name}.{key}": value for key, value in wanted[name].state_dict().items()}
                file = files.setdefault(source.files[0], {})
                file |= {
                    public_names(source, key)[-1]: value for key, value in keys.items() if key.startswith(source.ours)
                }
        if "whisper" in files:
            files["whisper"]["decoder.ln.weight"] = torch.empty(384)
    files[SHIPPED] = read_tensors(find_weights("mini"))[1]
    return files


@pytest.mark.parametrize("name", ["echomimic", "aniportrait"])
def test_every_key_at_full_size_has_its_place_and_shape(name, published):
    layout = LAYOUTS[name]
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    states = mapped(layout, wanted, empty_files(layout, wanted, published))
    for network, module in wanted.items():
        shapes = {key: value.shape for key, value in module.state_dict().items()}
        assert {key: value.shape for key, value in states[network].items()} == shapes


def test_what_does_not_fit_is_named_as_the_public_file_names_it(published, caplog):
    layout = LAYOUTS["echomimic"]
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    files = empty_files(layout, wanted, published)
    lacking = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_q.weight"
    del files["motion_module"][lacking]
    files["reference_unet"]["conv_norm_out.weight"] = torch.zeros(320)
    files["face_locator"]["conv_in.weight"] = torch.zeros(16, 3, 3, 3)
    with pytest.raises(WeightsError) as refused:
        mapped(layout, wanted, files)
    told = str(refused.value)
    assert f"motion_module and denoising_unet misses keys: {lacking}" in told
    assert "reference_unet has unexpected keys: conv_norm_out.weight" in told
    assert "face_locator has the wrong shape in conv_in.weight (16, 3, 3, 3) instead of (16, 1, 3, 3)" in told
    assert lacking in caplog.text and "\n" not in told


def test_positions_are_computed_where_a_file_lacks_them(published):
    layout = LAYOUTS["echomimic"]
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    files = empty_files(layout, wanted, published)
    files["motion_module"] = {key: value for key, value in files["motion_module"].items() if not key.endswith(".pe")}
    positions = mapped(layout, wanted, files)["animate_net"][
        "unet.mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe"
    ]
    assert positions.shape == (1, 32, 1280) and not positions.is_meta
    assert positions[0, :, 0] == pytest.approx(torch.arange(32).sin())


def test_public_files_become_one_file_that_loads(checkpoint, tmp_path):
    layout, model, paths = checkpoint
    convert(layout, paths, tmp_path / "echo.safetensors")
    loaded = load_model("echo", folders=[tmp_path])
    assert loaded.config == layout.config
    for name, module in model.modules().items():
        state = loaded.modules()[name].state_dict()
        for key, value in module.state_dict().items():
            torch.testing.assert_close(state[key], value, atol=2e-3, rtol=1e-3)
    assert not any(buffer.is_meta for module in loaded.modules().values() for buffer in module.buffers())


def test_one_file_may_hold_several_networks_behind_prefixes(published):
    layout = LAYOUTS["echomimic"]
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    files = empty_files(layout, wanted, published)
    denoiser, reference = {**files["motion_module"], **files["denoising_unet"]}, files["reference_unet"]
    net = {f"denoising_unet.{key}": value for key, value in denoiser.items()}
    net |= {f"reference_unet.{key}": value for key, value in reference.items()}
    sources = (
        replace(layout.sources[0], files=("net",), theirs="denoising_unet."),
        replace(layout.sources[1], files=("net",), theirs="reference_unet."),
        *layout.sources[2:],
    )
    joined = replace(layout, sources=sources)
    states = mapped(joined, wanted, files | {"net": net})
    assert all(len(states[name]) == len(module.state_dict()) for name, module in wanted.items())
    with pytest.raises(WeightsError, match=r"net has unexpected keys: imageproj\.proj\.weight"):
        mapped(joined, wanted, files | {"net": net | {"imageproj.proj.weight": torch.zeros(1)}})


def test_taesd_may_come_along(checkpoint, tmp_path):
    layout, _, paths = checkpoint
    state = FastDecoder().tiny.state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "taesd.safetensors")
    convert(layout, paths | {"taesd": tmp_path / "taesd.safetensors"}, tmp_path / "fast.safetensors")
    loaded = load_model("fast", folders=[tmp_path])
    assert loaded.config.fast_decoder
    pictures = loaded.fast_decoder.decode(torch.randn(1, 4, 8, 8))
    assert pictures.shape == (1, 3, 64, 64) and pictures.min() >= 0 and pictures.max() <= 1


def test_files_too_few_unknown_damaged_or_with_code_are_refused_in_a_sentence(checkpoint, tmp_path):
    layout, _, paths = checkpoint
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match="face_locator"):
        convert(layout, {name: path for name, path in paths.items() if name != "face_locator"}, out)
    with pytest.raises(WeightsError, match="echomimic"):
        layout_named("echo")
    broken, code, table = (tmp_path / name for name in ("broken.pth", "code.pth", "table.pth"))
    broken.write_bytes(paths["face_locator"].read_bytes()[:500])
    torch.save({"weight": checkpoint[1]}, code)
    torch.save({"weight": "none"}, table)
    for path in (broken, code, table, tmp_path / "missing.pth"):
        with pytest.raises(WeightsError, match=path.name) as refused:
            convert(layout, paths | {"face_locator": path}, out)
        assert "\n" not in str(refused.value)
    assert not out.exists()
