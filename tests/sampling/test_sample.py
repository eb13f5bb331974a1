from dataclasses import replace

import pytest
import torch

from portraittalk.config import AnimateNetConfig, AutoencoderConfig, PortraitTalkConfig
from portraittalk.models.animate_net import AnimateNet, Conditions
from portraittalk.pipelines.crop import sample_window
from portraittalk.sampling.windows import arrival_weights, frame_noise
from portraittalk.types import SamplingSettings, Scales

FRAMES = 6
CONFIG = PortraitTalkConfig(
    name="tiny",
    crop_size=64,
    autoencoder=AutoencoderConfig(latent_channels=4, block_out_channels=(16, 32)),
    animate_net=AnimateNetConfig(
        block_out_channels=(16, 32), attention_head_dim=2, norm_num_groups=8, token_dim=32, text_dim=24
    ),
)


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AnimateNet(CONFIG).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def conditions():
    size, generator = CONFIG.latent_size, torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    return Conditions(
        warped=random(1, 4, FRAMES, size, size),
        mask=torch.ones(1, 1, FRAMES, size, size),
        map=random(1, FRAMES, 8, 64, 64),
        identity=random(1, 8, 32),
        speech=random(1, FRAMES, 20, 80),
        structure=random(1, FRAMES, 64),
        text=random(1, 5, 24),
    )


def noise(frames=FRAMES):
    return frame_noise(0, 0, frames, (4, CONFIG.latent_size, CONFIG.latent_size)).transpose(0, 1)[None]


def test_every_step_is_announced_and_an_exception_ends_the_loop(net, conditions):
    done = []
    sample_window(net, conditions, noise(), SamplingSettings(steps=3), on_step=lambda: done.append(1))
    assert len(done) == 3

    def stop():
        done.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_window(net, conditions, noise(), SamplingSettings(steps=3), on_step=stop)
    assert len(done) == 4


def test_the_last_step_leaves_a_cross_fade_from_the_anchor(net, conditions):
    settings = SamplingSettings(steps=1)
    anchor = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    free = sample_window(net, conditions, noise(), settings)
    held = sample_window(net, conditions, noise(), settings, anchor=anchor)
    weight = arrival_weights(2)[:, None, None]
    assert torch.allclose(held[:, :, :2], anchor * (1 - weight) + free[:, :, :2] * weight, atol=1e-6)
    assert torch.equal(held[:, :, 2:], free[:, :, 2:])


def test_frames_after_the_overlap_hear_of_the_anchor_from_the_second_step_on(net, conditions):
    anchor = torch.full((1, 4, 2, 8, 8), 3.0)
    settings = SamplingSettings(steps=2)
    free = sample_window(net, conditions, noise(), settings)
    held = sample_window(net, conditions, noise(), settings, anchor=anchor)
    assert not torch.allclose(held[:, :, 2:], free[:, :, 2:])


def test_guidance_of_one_needs_no_negative_text_and_any_other_uses_it(net, conditions):
    plain = sample_window(net, conditions, noise(), SamplingSettings(steps=1))
    ignored = sample_window(net, conditions, noise(), SamplingSettings(steps=1), negative_text=-conditions.text)
    guided = sample_window(
        net, conditions, noise(), SamplingSettings(steps=1, guidance_scale=3), negative_text=-conditions.text
    )
    assert torch.equal(plain, ignored) and not torch.allclose(plain, guided)


@pytest.mark.parametrize("branch", ["identity", "speech", "structure", "text"])
def test_a_branch_of_scale_zero_does_not_see_its_tokens(net, conditions, branch):
    other = replace(conditions, **{branch: getattr(conditions, branch).flip(1) + 1})
    off = SamplingSettings(steps=1, scales=replace(Scales(), **{branch: 0.0}))
    assert torch.equal(sample_window(net, conditions, noise(), off), sample_window(net, other, noise(), off))
    on = SamplingSettings(steps=1)
    assert not torch.equal(sample_window(net, conditions, noise(), on), sample_window(net, other, noise(), on))


def test_text_of_scale_zero_equals_no_text(net, conditions):
    off = SamplingSettings(steps=1, scales=Scales(text=0))
    absent = replace(conditions, text=None)
    on = SamplingSettings(steps=1)
    assert torch.equal(sample_window(net, conditions, noise(), off), sample_window(net, absent, noise(), on))
