"""Our networks with tiny random public weights against diffusers' and transformers' own with the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    StableDiffusionImg2ImgPipeline,
    UNet2DConditionModel,
    UNetMotionModel,
)
from diffusers.loaders.single_file_utils import (
    convert_animatediff_checkpoint_to_diffusers,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from tiny_sd15 import CLIP, assembled, public_tensors, random_model, tiny

from portraittalk.models.animate_net import AnimateNet, Conditions
from portraittalk.pipelines.prompt import sample_prompt
from portraittalk.types import SamplingSettings, Scales
from portraittalk.weights.layouts import LAYOUTS

transformers = pytest.importorskip("transformers")

CLOSE = {"atol": 1e-4, "rtol": 0.0}
WIDTHS = {"block_out_channels": (16, 32, 64, 64), "norm_num_groups": 8}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def prepare(module, state):
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def files():
    """Public tensors of a tiny AnimateDiff model; those of an image model are among them."""
    layout = tiny(LAYOUTS["animatediff"])
    return public_tensors(layout, random_model(layout))


@pytest.fixture(scope="module")
def identity_model(files):
    layout = tiny(LAYOUTS["identity"])
    return assembled(layout, {name: files[name] for name in layout.files}, Path())


@pytest.fixture(scope="module")
def unet(files):
    unet = UNet2DConditionModel(64, **WIDTHS, cross_attention_dim=32, attention_head_dim=4)
    return prepare(unet, convert_ldm_unet_checkpoint(dict(files["checkpoint"]), {"layers_per_block": 2}))


@pytest.fixture(scope="module")
def pipeline(files, unet, adapter):
    """diffusers' image to image with an IP-Adapter."""
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(**blocks, block_out_channels=(8, 8, 16, 16), layers_per_block=2, norm_num_groups=8)
    state = convert_ldm_vae_checkpoint(dict(files["checkpoint"]), {**blocks, "layers_per_block": 2})
    schedule = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    pipeline = StableDiffusionImg2ImgPipeline(
        prepare(vae, state), None, None, unet, schedule, None, None, requires_safety_checker=False
    )
    pipeline.load_ip_adapter(adapter, subfolder="", weight_name="", image_encoder_folder=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def adapter(files):
    """The IP-Adapter as diffusers takes it."""
    given = files["ip_adapter"]
    return {
        table: {key.removeprefix(f"{table}."): value for key, value in given.items() if key.startswith(table)}
        for table in ("image_proj", "ip_adapter")
    }


@pytest.fixture(scope="module")
def features(identity_model):
    """CLIP's features of two references, and of no picture."""
    net = identity_model.identity_net
    with torch.no_grad():
        return net.features(net.pixels(torch.rand(2, 3, 64, 64))), net.features(torch.zeros(1, 3, 28, 28))


def test_pictures_are_what_transformers_encoder_says(files, identity_model, features):
    config = transformers.CLIPVisionConfig(
        hidden_size=48, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=14,
        hidden_act="gelu",
    )  # fmt: skip
    encoder = transformers.CLIPVisionModelWithProjection(config)
    encoder.load_state_dict(files["image_encoder"], strict=False)
    pixels = draw(2, 3, 28, 28)
    with torch.no_grad():
        expected = encoder.eval()(pixels, output_hidden_states=True).hidden_states[-2]
        torch.testing.assert_close(identity_model.identity_net.features(pixels), expected, **CLOSE)


def test_pixels_are_those_of_clips_own_processor(identity_model):
    # transformers 5 has one that works with Pillow and one that works with torch; before, there was the first alone.
    processors = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    processor = processors(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    picture = (torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255).byte()
    expected = torch.tensor(processor(picture.permute(1, 2, 0).numpy()).pixel_values[0])
    found = identity_model.identity_net.pixels(picture[None].float() / 255)[0]
    # Pillow rounds to 8 bits twice on the way
    assert (found - expected).abs().max() < 0.04 and (found - expected).abs().mean() < 0.01


def test_text_is_what_transformers_encoder_says(files, identity_model):
    config = transformers.CLIPTextConfig(
        vocab_size=CLIP.words, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=298, eos_token_id=299,
    )  # fmt: skip
    encoder = transformers.CLIPTextModel(config).eval()
    prefix = "cond_stage_model.transformer.text_model."
    plain = {k.removeprefix(prefix): v for k, v in files["checkpoint"].items() if k.startswith(prefix)}
    getattr(encoder, "text_model", encoder).load_state_dict(plain)
    pieces = torch.tensor([[298, 3, 17, 299, 299, 299]])
    with torch.no_grad():
        torch.testing.assert_close(
            identity_model.text_encoder(pieces), encoder(pieces).last_hidden_state, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize(("references", "guidance", "strength", "scale"), [(1, 5.0, 0.6, 1.0), (2, 1.0, 1.0, 0.7)])
def test_editing_is_diffusers_image_to_image_with_an_ip_adapter(
    identity_model, pipeline, features, references, guidance, strength, scale
):
    start, text, negative = draw(1, 4, 8, 8), draw(1, 77, 32, seed=1), draw(1, 77, 32, seed=2)
    person, nobody = features[0][:references], features[1].expand(references, -1, -1)
    pipeline.set_ip_adapter_scale(scale)
    guided = guidance != 1
    expected = pipeline(
        image=start, output_type="pt", strength=strength, num_inference_steps=5, guidance_scale=guidance,
        prompt_embeds=text, negative_prompt_embeds=negative if guided else None,
        generator=torch.Generator().manual_seed(3),
        ip_adapter_image_embeds=[torch.stack((nobody, person)) if guided else person[None]],
    ).images  # fmt: skip
    net = identity_model.identity_net
    with torch.no_grad():
        cond = Conditions(text=text, identity=net.tokens(person).flatten(0, 1)[None])
        uncond = Conditions(text=negative, identity=net.uncond_tokens()[None])
    settings = SamplingSettings(steps=5, guidance_scale=guidance, strength=strength, scales=Scales(identity=scale))
    noise = draw(1, 4, 8, 8, seed=3)[:, :, None]
    found = sample_prompt(identity_model.animate_net, start[:, :, None], cond, uncond, settings, lambda _: noise)
    with torch.no_grad():
        picture = identity_model.autoencoder.decode(found[:, :, 0]).clamp(0, 1)
    assert picture.std() > 0.01
    torch.testing.assert_close(picture, expected, **CLOSE)
    net = identity_model.animate_net
    unguided = sample_prompt(net, start[:, :, None], uncond, uncond, settings, lambda _: noise)
    assert (unguided - found).abs().max() > 0.01


def test_frames_are_diffusers_animatediff_with_controlnet_and_ip_adapter(files, unet, adapter, features):
    config = tiny(LAYOUTS["animatediff"]).config
    mixed = replace(config, animate_net=replace(config.animate_net, norm_per_frame=False))  # as diffusers has it
    layout = replace(tiny(LAYOUTS["animatediff"]), config=mixed)
    model = assembled(layout, files, Path())
    motion_adapter = MotionAdapter(
        block_out_channels=(16, 32, 64, 64), motion_num_attention_heads=4, motion_norm_num_groups=8
    )
    left = motion_adapter.load_state_dict(
        convert_animatediff_checkpoint_to_diffusers(files["motion_module"]), strict=False
    )
    assert not left.unexpected_keys and all(key.endswith("pos_embed.pe") for key in left.missing_keys)
    control = ControlNetModel(**WIDTHS, cross_attention_dim=32, attention_head_dim=4)
    prepare(control, files["controlnet"])
    plain = UNet2DConditionModel.from_config(unet.config, encoder_hid_dim_type=None)
    plain.load_state_dict({key: unet.state_dict()[key] for key in plain.state_dict()})
    motion = UNetMotionModel.from_unet2d(plain, motion_adapter)
    motion._load_ip_adapter_weights([adapter])
    for processor in motion.eval().attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.8]
    frames, sample, text = 3, draw(1, 4, 3, 8, 8), draw(1, 7, 32, seed=1)
    maps, step, person = torch.rand(1, frames, 3, 64, 64), torch.tensor(321), features[0][:1]
    scales = Scales(identity=0.8, structure=0.6)
    with torch.no_grad():
        each = text.expand(frames, -1, -1)
        down, middle = control(sample[0].transpose(0, 1), step, each, maps[0], 0.6, return_dict=False)
        expected = motion(
            sample, step, each, added_cond_kwargs={"image_embeds": [person[None]]},
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        tokens = model.identity_net.tokens(person).flatten(0, 1)[None]
        cond = Conditions(text=text, identity=tokens, map=maps)
        torch.testing.assert_close(model.animate_net(sample, step, cond, scales), expected, **CLOSE)
        alone = model.animate_net(sample, step, replace(cond, map=None), scales)
        assert (alone - expected).abs().max() > 0.01
        per_frame = AnimateNet(config).eval()
        per_frame.load_state_dict(model.animate_net.state_dict())
        assert (per_frame(sample, step, cond, scales) - expected).abs().max() > 1e-3
