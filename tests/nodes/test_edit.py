"""Identity Edit with core's own MODEL, CLIP, VAE and CLIP_VISION: their real classes, random, mostly at a tiny size."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

HEADS, TOKENS = 4, 768
VISION = {
    "num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 192, "image_size": 224,
    "patch_size": 56, "num_channels": 3, "hidden_act": "gelu", "projection_dim": 16, "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0, "model_type": "clip_vision_model",
}  # fmt: skip


def randomise(module):
    """Core leaves weights as the memory was."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, 0.5, 0.5)


@pytest.fixture(scope="module")
def layouts(library):
    """The layouts for these networks: "deep" with all levels of Stable Diffusion, "small" with two."""
    layout = library("weights.layouts").LAYOUTS["identity"]
    clip = replace(layout.config.clip, image_width=48, resampler_width=40, resampler_heads=1, tokens=4, image_layers=3)

    def sized(widths, layers):
        net = replace(layout.config.animate_net, block_out_channels=widths, attention_head_dim=HEADS)
        net = replace(net, layers_per_block=layers)
        return replace(layout, config=replace(layout.config, crop_size=64, clip=clip, animate_net=net))

    return {"deep": sized((32, 64, 128, 128), 2), "small": sized((32, 64), 2)}


@pytest.fixture(scope="module")
def core(comfyui_in_process, layouts, library):
    """core.model(size, v), core.clip, core.vae and core.vision as core's loaders make them, and core.adapter[size], an
    IP-Adapter. size: "small" or "deep"."""
    import comfy.clip_vision
    import comfy.model_base
    import comfy.model_patcher
    import comfy.sd
    import comfy.supported_models
    import comfy.taesd.taesd

    torch.manual_seed(0)
    configs = {}
    for size, layout in layouts.items():
        net = layout.config.animate_net
        levels, layers = len(net.block_out_channels), net.layers_per_block
        configs[size] = comfy.supported_models.SD15(
            {
                "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32,
                "num_res_blocks": [layers] * levels, "channel_mult": [width // 32 for width in net.block_out_channels],
                "transformer_depth": [1] * layers * (levels - 1) + [0] * layers, "transformer_depth_middle": 1,
                "transformer_depth_output": [1] * (layers + 1) * (levels - 1) + [0] * (layers + 1),
                "context_dim": TOKENS, "use_spatial_transformer": True, "use_linear_in_transformer": False,
                "legacy": False, "dtype": torch.float32,
            }
        )  # fmt: skip
        configs[size].unet_config |= {"num_heads": HEADS}

    def model(size="small", v=False):
        kind = comfy.model_base.ModelType.V_PREDICTION if v else comfy.model_base.ModelType.EPS
        base = comfy.model_base.BaseModel(configs[size], kind, torch.device("cpu"))
        randomise(base)
        return comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))

    few = {"num_hidden_layers": 2, "intermediate_size": 256}  # every edit encodes two prompts
    clip = comfy.sd.CLIP(configs["small"].clip_target(), model_options={"clip_l_model_config": few})
    randomise(clip.cond_stage_model)
    taesd = comfy.taesd.taesd.TAESD(latent_channels=4)
    randomise(taesd)
    vae = comfy.sd.VAE(sd=taesd.state_dict())
    vision = comfy.clip_vision.ClipVisionModel(VISION)
    randomise(vision.model)
    adapter = {size: adapter_of(layout, library) for size, layout in layouts.items()}
    return SimpleNamespace(model=model, clip=clip, vae=vae, vision=vision, adapter=adapter)


def adapter_of(layout, library):
    """A random IP-Adapter with the keys of the published file."""
    networks = library("weights.networks").build_networks(layout.config)
    states = {f"{name}.{key}": v for name, net in networks.items() for key, v in net.state_dict().items()}
    adapter = {}
    for source in layout.sources:
        if source.files == ("ip_adapter",):
            named = [key for key in states if key.startswith(source.ours)]
            processor = "processor" in source.only
            for key in [key for key in named if ("processor" in key) == processor]:
                adapter[library("weights.public").public_names(source, key)[0]] = states[key].contiguous()
    return adapter


@pytest.fixture
def edit(run, core, layouts, folders, identity, library, monkeypatch):
    """edit(**changed): runs the node."""
    from safetensors.torch import save_file

    monkeypatch.setitem(library("weights.editor").LAYOUTS, "identity", layouts["small"])
    save_file(core.adapter["small"], folders["ipadapter"] / "plus-face.safetensors")
    usual = dict(
        identity=identity, model=core.model(), clip=core.clip, vae=core.vae, clip_vision=core.vision,
        ip_adapter="plus-face.safetensors", prompt="an (oil painting:1.3)", negative_prompt="", strength=1.0,
        redraw="around the face", identity_scale=1.0, guidance_scale=3.0, steps=3, seed=1,
    )  # fmt: skip

    def execute(**changed):
        return run("PortraitTalkIdentityEdit", **(usual | changed))[0]

    return execute


def test_the_example_workflow_gives_it_what_it_takes(edit, portrait, repository):
    """All widgets of the saved node; its checkpoints are stood in for by small ones, and 2 steps of its 30 are made."""
    workflow = json.loads((repository / "example_workflows" / "identity_edit.json").read_text())
    (node,) = (node for node in workflow["nodes"] if node["type"] == "PortraitTalkIdentityEdit")
    names = [entry["name"] for entry in node["inputs"] if "widget" in entry]
    linked = {entry["name"] for entry in node["inputs"] if entry.get("link")}
    values = dict(zip(names, node["widgets_values"], strict=False))
    assert linked == {"identity", "model", "clip", "vae", "clip_vision"} and node["widgets_values"][-1] == "fixed"
    assert values.pop("ip_adapter") == "" and values["steps"] == 30
    image = edit(**values | {"steps": 2})
    assert image.shape == portrait.shape and (image - portrait).abs().max() > 0.05


def test_the_portrait_is_changed_at_its_own_size(edit, core, portrait):
    model = core.model()
    image = edit(model=model)
    assert image.shape == portrait.shape and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1
    assert torch.equal(image, edit(model=model))
    assert (image == portrait).float().mean() > 0.05 and (image - portrait).abs().max() > 0.05  # a square of it
    for change in (
        {"seed": 2}, {"prompt": "a dog"}, {"negative_prompt": "a dog"}, {"identity_scale": 0.0},
        {"guidance_scale": 1.0}, {"strength": 0.4}, {"redraw": "whole picture"},
    ):  # fmt: skip
        assert not torch.allclose(image, edit(model=model, **change), atol=1e-4), change
    assert torch.equal(edit(model=model, strength=0.0), portrait)


def test_the_denoiser_is_cores_own_with_its_patches(core, layouts, library, host, monkeypatch):
    monkeypatch.setitem(library("weights.editor").LAYOUTS, "identity", layouts["deep"])
    model = core.model("deep").clone()
    key = "diffusion_model.input_blocks.0.0.weight"
    model.add_patches({key: ("diff", (torch.ones(32, 4, 3, 3),))}, 0.1)
    given = host.models.unet_tensors(model)
    editor = library("weights.editor").assemble_editor(given, core.adapter["deep"], host.models.unet_dtype(model))
    sample, text, step = torch.randn(1, 4, 8, 8), torch.randn(1, 77, TOKENS), torch.tensor([321])
    told = library("models.animate_net").Conditions(text=text)
    found = editor.net(sample[:, :, None], step[0], told)[:, :, 0]
    unet = model.model.diffusion_model
    assert (found - unet(sample, step, text)).abs().max() > 1e-3
    model.patch_model()
    torch.testing.assert_close(found, unet(sample, step, text), atol=1e-4, rtol=1e-4)
    model.unpatch_model()


def test_cancel_ends_it(edit, cancel_after):
    import comfy.model_management

    cancel_after(1)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        edit()


def test_what_does_not_fit_is_refused_in_a_sentence(edit, core, folders, library):
    from safetensors.torch import save_file

    error = library("errors").WeightsError
    with pytest.raises(error, match=r"predicts velocity|velocity, a mixture"):
        edit(model=core.model(v=True))
    with pytest.raises(error, match="no IP-Adapter 'other'"):
        edit(ip_adapter="other")
    wrong = core.adapter["small"] | {"image_proj.proj_in.weight": torch.zeros(40, 1024)}
    save_file(wrong, folders["ipadapter"] / "wrong.safetensors")
    with pytest.raises(error, match=r"image_proj\.proj_in\.weight \(40, 1024\) instead of \(40, 48\)"):
        edit(ip_adapter="wrong.safetensors")
    import comfy.clip_vision

    other = comfy.clip_vision.ClipVisionModel(VISION | {"hidden_size": 64})
    with pytest.raises(error, match="load the CLIP vision model"):
        edit(clip_vision=other)
