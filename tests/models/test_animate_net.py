from dataclasses import replace

import pytest
import torch

from portraittalk.config import SD15, SMALL, AutoencoderConfig, PortraitTalkConfig
from portraittalk.models.animate_net import AnimateNet, Conditions
from portraittalk.types import Scales

TINY = replace(
    SMALL,
    crop_size=64,
    autoencoder=replace(SMALL.autoencoder, latent_channels=4),
    structure=replace(SMALL.structure, map_size=16),
    animate_net=replace(SMALL.animate_net, block_out_channels=(32, 32, 32), token_dim=32, text_dim=24),
)
# The Stable Diffusion 1.5 size in everything but its widths.
NARROW_SD15 = replace(
    SD15,
    crop_size=128,
    structure=replace(SD15.structure, map_size=128),
    animate_net=replace(SD15.animate_net, block_out_channels=(32, 64, 64, 64), token_dim=64, text_dim=64),
)


def conditions(config: PortraitTalkConfig, frames: int = 3, batch: int = 1, text: bool = False) -> Conditions:
    generator = torch.Generator().manual_seed(1)
    side, latent, net = config.latent_size, config.autoencoder.latent_channels, config.animate_net

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return Conditions(
        warped=draw(batch, latent, frames, side, side),
        mask=torch.ones(batch, 1, frames, side, side),
        map=draw(batch, frames, config.structure.map_channels, config.structure.map_size, config.structure.map_size),
        identity=draw(batch, 6, net.token_dim),
        speech=draw(batch, frames, config.speech.steps, config.speech.dim),
        structure=draw(batch, frames, config.structure.coefficients),
        text=draw(batch, 7, net.text_dim) if text else None,
    )


@pytest.fixture(scope="module")
def net() -> AnimateNet:
    torch.manual_seed(0)
    return AnimateNet(TINY).eval()


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, NARROW_SD15], ids=["mini", "sd15"])
def test_the_velocity_has_the_shape_of_the_latents(config):
    torch.manual_seed(0)
    net = AnimateNet(config).eval()
    found = conditions(config, frames=4, batch=2, text=True)
    velocity = net(torch.randn_like(found.warped), torch.tensor([10, 900]), found)
    assert velocity.shape == found.warped.shape
    assert velocity.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("branch", ["identity", "text", "speech", "structure"])
def test_every_branch_reaches_the_output_and_scale_zero_ignores_its_tokens(net, branch):
    found = conditions(TINY, text=True)
    sample = torch.randn_like(found.warped)
    other = replace(found, **{branch: getattr(found, branch).flip(-1) + 1})
    step = torch.tensor(500)
    assert not torch.allclose(net(sample, step, found), net(sample, step, other), atol=1e-6)
    off = Scales(**{branch: 0.0})
    assert torch.equal(net(sample, step, found, off), net(sample, step, other, off))


@torch.no_grad()
def test_text_of_scale_zero_is_no_text(net):
    found = conditions(TINY, text=True)
    sample, step = torch.randn_like(found.warped), torch.tensor(500)
    without = net(sample, step, replace(found, text=None))
    assert torch.equal(net(sample, step, found, Scales(text=0.0)), without)


@torch.no_grad()
def test_frames_see_one_another_and_samples_do_not(net):
    found = conditions(TINY, frames=4, batch=2)
    sample, step = torch.randn_like(found.warped), torch.tensor(500)
    changed = sample.clone()
    changed[0, :, 0] += 1
    difference = (net(changed, step, found) - net(sample, step, found)).abs().amax((1, 3, 4))
    assert (difference[0] > 1e-5).all()  # the change in frame 0 reaches all frames of its own sample
    assert difference[1].max() < 1e-5


def test_the_sd15_size_builds_and_has_its_backbone():
    with torch.device("meta"):
        net = AnimateNet(SD15)
    parameters = {name: tuple(value.shape) for name, value in net.named_parameters()}
    assert parameters["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"] == (320, 768)
    assert 1.2e9 < sum(p.numel() for p in net.parameters()) < 1.5e9


def test_shipped_configurations_survive_json():
    import json

    for config in (SMALL, SD15, replace(SMALL, autoencoder=AutoencoderConfig(patch_size=8))):
        assert PortraitTalkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
