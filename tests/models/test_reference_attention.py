"""What a configuration for public weights switches on in AnimateNet, with random weights."""

from dataclasses import replace

import pytest
import torch

from portraittalk.models.animate_net import AnimateNet, Conditions, GuidedConv, PerFrameGroupNorm
from portraittalk.models.reference_net import ReferenceNet
from portraittalk.weights.hallo import CONFIG as HALLO
from portraittalk.weights.layouts import ANIPORTRAIT, ECHOMIMIC

FRAMES = 3


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope="module")
def networks(tiny_echomimic):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pair = AnimateNet(tiny_echomimic), ReferenceNet(tiny_echomimic.animate_net, 4)
        torch.nn.init.normal_(pair[0].structure_encoder.conv_out.weight)  # of zeros, where training begins
    return tuple(net.eval().requires_grad_(False) for net in pair)


@pytest.fixture(scope="module")
def conditions(networks):
    reference = networks[1](draw(1, 4, 8, 8))
    return Conditions(map=draw(1, 1, 1, 64, 64), speech=draw(1, FRAMES, 50, 384), reference=reference)


@pytest.mark.parametrize("change", [{"reference": {}}, {"map": None}, {"speech": draw(1, FRAMES, 50, 384) + 1}])
def test_each_condition_reaches_the_output(networks, conditions, change):
    sample, step = draw(1, 4, FRAMES, 8, 8), torch.tensor(500)
    found = networks[0](sample, step, conditions)
    assert found.shape == sample.shape
    assert not torch.allclose(found, networks[0](sample, step, replace(conditions, **change)), atol=1e-5)


def test_several_references_give_the_tokens_of_each(networks):
    latents = draw(2, 4, 8, 8)
    together = networks[1](latents)
    for block, features in together.items():
        apart = torch.cat([networks[1](one[None])[block] for one in latents], 1)
        torch.testing.assert_close(features, apart, atol=5e-4, rtol=0)


def test_samples_of_a_batch_see_their_own_reference(networks, conditions):
    other = {block: features.flip(-1) for block, features in conditions.reference.items()}
    both = {block: torch.cat((features, other[block])) for block, features in conditions.reference.items()}
    sample, step = draw(1, 4, FRAMES, 8, 8), torch.tensor(500)
    pair = replace(conditions, map=None, speech=conditions.speech.expand(2, -1, -1, -1), reference=both)
    found = networks[0](sample.expand(2, -1, -1, -1, -1), step, pair)
    for row, reference in enumerate((conditions.reference, other)):
        alone = networks[0](sample, step, replace(conditions, map=None, reference=reference))
        torch.testing.assert_close(found[row : row + 1], alone, atol=5e-4, rtol=0)


def test_the_norm_per_frame_does_not_see_other_frames():
    norm, clip = PerFrameGroupNorm(4, 8), draw(2, 8, FRAMES, 5, 6)
    frame = torch.nn.GroupNorm(4, 8)(clip[:, :, 1])
    torch.testing.assert_close(norm(clip)[:, :, 1], frame)


def test_the_guide_is_added_to_the_convolution():
    conv, latents, guide = GuidedConv(4, 6, 3, padding=1), draw(2, 4, 5, 5), draw(2, 6, 5, 5)
    torch.testing.assert_close(conv(torch.cat((latents, guide), 1)), torch.nn.Conv2d.forward(conv, latents) + guide)


@torch.no_grad()
def test_a_pose_guider_reaches_the_output_at_all_five_places():
    config = replace(
        ANIPORTRAIT,
        crop_size=64,
        animate_net=replace(ANIPORTRAIT.animate_net, block_out_channels=(32, 64, 128, 128)),
    )
    torch.manual_seed(0)
    net = AnimateNet(config).eval()
    reference = ReferenceNet(config.animate_net, 4).eval()(draw(1, 4, 8, 8), draw(1, 1, 768))
    given = Conditions(map=draw(1, FRAMES, 3, 64, 64), identity=draw(1, 1, 768), reference=reference)
    sample, step = draw(1, 4, FRAMES, 8, 8), torch.tensor(500)
    features = net.guides(given.map)
    found = net(sample, step, given)
    for place in range(5):
        changed = [one + (number == place) for number, one in enumerate(features)]
        net.guides = lambda maps, changed=changed: changed
        assert not torch.allclose(net(sample, step, given), found, atol=1e-6), place


@torch.no_grad()
@pytest.mark.parametrize("config", [ECHOMIMIC, ANIPORTRAIT, HALLO], ids=lambda config: config.name)
def test_the_shapes_fit_at_full_size(config):
    with torch.device("meta"):
        net, latents = AnimateNet(config), torch.empty(1, 4, FRAMES, 64, 64)
        tokens = torch.empty(1, 1, 768) if config.animate_net.reference_token_dim else None
        reference = ReferenceNet(config.animate_net, 4)(latents[:, :, 0], tokens)
        drawn = torch.empty(1, FRAMES, config.structure.map_channels, 512, 512)
        hears = config.animate_net.audio_modules or "speech" in config.animate_net.branches
        speech = torch.empty(1, FRAMES, config.speech.steps, config.speech.dim) if hears else None
        given = Conditions(map=drawn, speech=speech, identity=tokens, reference=reference)
        velocity = net(latents, torch.tensor(500), given)
    assert velocity.shape == latents.shape
    assert len(reference) == 16
