"""Stable Diffusion 1.5 and what goes with it, as public files: each key has its place, and kinds are not mixed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, MotionAdapter, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from tiny_sd15 import assembled, public_files, public_tensors, random_model, tiny

from portraittalk.errors import WeightsError
from portraittalk.models.animate_net import Conditions
from portraittalk.pipelines.load import build_pipeline, load_model
from portraittalk.weights import public
from portraittalk.weights.layouts import LAYOUTS
from portraittalk.weights.lora import merged
from portraittalk.weights.networks import build_networks
from portraittalk.weights.public import convert, public_names, read_public

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def layout():
    return tiny(LAYOUTS["animatediff"])


@pytest.fixture(scope="module")
def model(layout):
    return random_model(layout)


@pytest.fixture(scope="module")
def files(layout, model):
    return public_tensors(layout, model)


def gathered(layout, tensors):
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    return public.gathered(layout, tensors, wanted)


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


def test_at_full_size_the_keys_are_those_that_diffusers_and_transformers_know():
    layout = LAYOUTS["animatediff"]
    with torch.device("meta"):
        wanted = build_networks(layout.config)
        unet = UNet2DConditionModel(cross_attention_dim=768).state_dict()  # the defaults are Stable Diffusion 1.5's
        motion, control = MotionAdapter().state_dict(), ControlNetModel(cross_attention_dim=768).state_dict()
        eyes = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14
            )
        ).state_dict()
    ours = {f"{name}.{key}": value for name, net in wanted.items() for key, value in net.state_dict().items()}
    place = {layout.sources[n]: name for n, name in ((0, "unet"), (1, "vae"))}
    checkpoint = {}
    for source in place:
        for key, value in ours.items():
            rest = key.removeprefix(source.ours)
            if key.startswith(source.ours) and "motion_modules" not in rest and "processor" not in rest:
                checkpoint[public_names(source, key)[0]] = value
    found = convert_ldm_unet_checkpoint(dict(checkpoint), {"layers_per_block": 2})
    assert shapes(found) == shapes(unet) and len(found) == 686
    for key, value in found.items():
        assert value is ours[f"animate_net.unet.{key}"]
    blocks = {"down_block_types": [""] * 4, "up_block_types": [""] * 4, "layers_per_block": 2}
    found = convert_ldm_vae_checkpoint(dict(checkpoint), blocks)
    assert shapes(found) == shapes(wanted["autoencoder"].kl.state_dict())
    for key, value in found.items():
        assert value is ours[f"autoencoder.kl.{key}"]
    moving = {k: v for k, v in wanted["animate_net"].unet.state_dict().items() if "motion_modules" in k}
    assert shapes(moving) == shapes(motion)
    assert shapes(wanted["animate_net"].structure_encoder.state_dict()) == shapes(control)
    seen = {f"vision_model.{k}": tuple(v.shape) for k, v in wanted["identity_net"].encoder.state_dict().items()}
    assert seen == {key: shape for key, shape in shapes(eyes).items() if key != "visual_projection.weight"}


def test_sizes_are_those_of_the_published_files():
    with torch.device("meta"):
        wanted = build_networks(LAYOUTS["animatediff"].config)

    def count(state, part=""):
        return sum(value.numel() for key, value in state.items() if part in key)

    net = wanted["animate_net"].state_dict()
    assert 2 * count(net, "structure_encoder") == pytest.approx(723e6, rel=0.01)
    assert 4 * count(net, "motion_modules") == pytest.approx(1.82e9, rel=0.01)
    adapter = count(net, ".processor.") + count(wanted["identity_net"].resampler.state_dict())
    assert 2 * adapter == pytest.approx(98e6, rel=0.01)


@pytest.mark.parametrize("name", ["identity", "animatediff"])
def test_at_full_size_everything_fits_together(name):
    with torch.device("meta"):
        model = build_pipeline(LAYOUTS[name].config)
        moves = model.motion_net is not None
        frames, side = 2 if moves else 1, model.config.crop_size
        sample, person = torch.empty(1, 4, frames, 64, 64), model.identity_net.features(torch.empty(2, 3, 224, 224))
        tokens = model.identity_net.tokens(person).flatten(0, 1)
        maps = torch.empty(1, frames, 3, side, side) if moves else None
        told = Conditions(text=torch.empty(1, 77, 768), identity=tokens[None], map=maps)
        assert tokens.shape == (32, 768)
        assert model.animate_net(sample, torch.tensor(9), told).shape == sample.shape
        assert model.autoencoder.decode(sample[:, :, 0]).shape == (1, 3, side, side)


def test_public_files_become_one_file_that_loads(layout, model, tmp_path):
    paths = public_files(layout, model, tmp_path)
    convert(layout, paths, tmp_path / "moving.safetensors")
    loaded = load_model("moving", folders=[tmp_path])
    assert loaded.config == layout.config and loaded.vocabulary == tmp_path / "clip-tokenizer"
    for name in ("autoencoder", "animate_net", "identity_net", "text_encoder"):
        state = loaded.modules()[name].state_dict()
        for key, value in model.modules()[name].state_dict().items():
            torch.testing.assert_close(state[key], value, atol=2e-3, rtol=1e-3)
    shipped = load_model("mini")
    for name in ("motion_net", "basis"):
        for key, value in shipped.modules()[name].state_dict().items():
            torch.testing.assert_close(loaded.modules()[name].state_dict()[key], value)
    assert not any(buffer.is_meta for module in loaded.modules().values() for buffer in module.buffers())


def test_motion_in_diffusers_own_names_and_without_a_middle_is_read_as_well(layout, files):
    unet = gathered(layout, files)["animate_net"]
    own = {key.removeprefix("unet."): value for key, value in unet.items() if "motion_modules" in key}
    again = gathered(layout, files | {"motion_module": own})["animate_net"]
    assert all(torch.equal(again[key], value) for key, value in unet.items())
    third = tiny(LAYOUTS["animatediff-v3"])
    few = {key: value for key, value in files["motion_module"].items() if not key.startswith("mid_block.")}
    assert len(gathered(third, files | {"motion_module": few})["animate_net"]) == len(unet) - 27
    with pytest.raises(
        WeightsError, match=r"motion_module misses keys: mid_block\.motion_modules\.0\.temporal_transformer"
    ):
        gathered(layout, files | {"motion_module": few})


def test_what_does_not_fit_is_named_as_the_public_file_names_it(layout, files):
    checkpoint, adapter, control = (dict(files[name]) for name in ("checkpoint", "ip_adapter", "controlnet"))
    lacking = "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_k.weight"
    del checkpoint[lacking]
    checkpoint["first_stage_model.encoder.down.9.block.0.conv1.weight"] = torch.zeros(1)
    checkpoint["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(16, 9, 3, 3)
    adapter["ip_adapter.33.to_k_ip.weight"] = torch.zeros(1)
    control["controlnet_cond_embedding.conv_in.weight"] = torch.zeros(16, 1, 3, 3)
    with pytest.raises(WeightsError) as refused:
        gathered(layout, files | {"checkpoint": checkpoint, "ip_adapter": adapter, "controlnet": control})
    told = str(refused.value)
    assert f"checkpoint misses keys: {lacking}" in told and "\n" not in told
    assert "has unexpected keys: first_stage_model.encoder.down.9.block.0.conv1.weight" in told
    assert "model.diffusion_model.input_blocks.0.0.weight (16, 9, 3, 3) instead of (16, 4, 3, 3)" in told
    assert "ip_adapter has unexpected keys: ip_adapter.33.to_k_ip.weight" in told
    assert "controlnet has the wrong shape in controlnet_cond_embedding.conv_in.weight" in told


def test_weights_for_noise_and_for_velocity_are_not_mixed(layout, files, checkpoint):
    marked = files["checkpoint"] | {"v_pred": torch.zeros(0)}
    with pytest.raises(WeightsError, match=r"'checkpoint' has weights .* velocity.* 'animatediff' .* produce noise"):
        assembled(layout, files | {"checkpoint": marked}, Path())
    echo, _, paths = checkpoint
    for name in ("ip_adapter", "controlnet", "lcm_lora"):
        with pytest.raises(WeightsError, match=f"'{name}' has weights .* noise .* 'echomimic' predicts velocity"):
            convert(echo, paths | {name: Path("some.safetensors")}, Path("out.safetensors"))
    with pytest.raises(WeightsError, match=r"'denoising_unet' has weights .* velocity"):
        assembled(layout, files | {"denoising_unet": {}}, Path())
    crossed = replace(echo, sources=(*echo.sources, layout.sources[3]))
    with pytest.raises(WeightsError, match="'ip_adapter' has weights"):
        gathered(crossed, {})


@pytest.mark.parametrize("style", ["kohya", "diffusers"])
def test_a_lora_for_few_steps_is_merged(files, style):
    layout = tiny(LAYOUTS["identity"])
    files = {name: files[name] for name in layout.files}
    linear, conv = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", "up_blocks.0.resnets.0.conv1"
    plain = gathered(layout, files)["animate_net"]
    lora, deltas = {}, {}
    for name in (linear, conv):
        weight = plain[f"unet.{name}.weight"]
        down, up = torch.randn(4, *weight.shape[1:]), torch.randn(weight.shape[0], 4, *[1] * (weight.ndim - 2))
        deltas[name] = torch.einsum("or,r...->o...", up.flatten(1), down)
        if style == "kohya":
            key = f"lora_unet_{name.replace('.', '_')}"
            lora |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(2.0)}
            deltas[name] = deltas[name] * 0.5
        else:
            lora |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    model = assembled(layout, files | {"lcm_lora": lora}, Path())
    assert (model.config.animate_net.sampler, model.config.steps) == ("lcm", 6)
    state = model.animate_net.state_dict()
    for name, delta in deltas.items():
        torch.testing.assert_close(state[f"unet.{name}.weight"], plain[f"unet.{name}.weight"] + delta)
    changed = {f"unet.{name}.weight" for name in deltas}
    assert all(torch.equal(state[key], value) for key, value in plain.items() if key not in changed)


def test_a_lora_for_something_else_is_refused_by_name():
    weights = {"conv_in.weight": torch.zeros(8, 4, 3, 3)}
    whole = {"lora_unet_conv_in.lora_down.weight": torch.zeros(2, 4, 3, 3)}
    wrong = {
        "lora_te_layers_0.lora_down.weight": torch.zeros(2, 8),
        "lora_te_layers_0.lora_up.weight": torch.zeros(8, 2),
    }
    for lora, named in ((whole, "lora_unet_conv_in"), (wrong, "lora_te_layers_0"), ({}, "no weights")):
        with pytest.raises(WeightsError, match=named):
            merged(weights, lora)


def test_pickled_tables_are_read_as_one(tmp_path):
    tensor = torch.ones(2)
    torch.save({"image_proj": {"latents": tensor}, "ip_adapter": {"1.to_k_ip.weight": tensor}}, tmp_path / "a.bin")
    assert set(read_public(tmp_path / "a.bin")) == {"image_proj.latents", "ip_adapter.1.to_k_ip.weight"}
    torch.save({"epoch": 3, "state_dict": {"module.a.b": tensor, "module.c": tensor}}, tmp_path / "b.ckpt")
    assert set(read_public(tmp_path / "b.ckpt")) == {"a.b", "c"}
    save_file({"module.a": tensor}, tmp_path / "c.safetensors")
    assert set(read_public(tmp_path / "c.safetensors")) == {"module.a"}
