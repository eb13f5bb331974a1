"""Memory format and compilation of the networks that run for every frame."""

from dataclasses import replace

import pytest
import torch
from random_pipeline import random_pipeline

from portraittalk.memory.offload import speed_up
from portraittalk.models.animate_net import Conditions

SIDE = 16


@pytest.fixture
def model(tiny_echomimic):
    """A tiny EchoMimic with random weights."""
    narrow = replace(tiny_echomimic.animate_net, block_out_channels=(32, 64), layers_per_block=1)
    return random_pipeline(replace(tiny_echomimic, animate_net=narrow))


@pytest.fixture
def given(model):
    """The arguments of AnimateNet: noisy latents, timestep, and prepared conditions."""
    drawn = torch.Generator().manual_seed(0)
    conditions = Conditions(
        speech=torch.randn(1, 3, 50, 384, generator=drawn),
        reference=model.reference_net(torch.randn(1, 4, SIDE, SIDE, generator=drawn)),
    )
    sample = torch.randn(1, 4, 3, SIDE, SIDE, generator=drawn)
    return sample, torch.tensor(500), model.animate_net.prepare(conditions)


def test_channels_last_networks_draw_the_same(model, given):
    latents = given[0][:, :, 0]
    usual, picture = model.animate_net(*given), model.autoencoder.decode(latents)
    speed_up(model.modules(), channels_last=True)
    weight = model.animate_net.unet.down_blocks[0].resnets[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model.animate_net(*given), usual, atol=1e-4, rtol=0)
    torch.testing.assert_close(model.autoencoder.decode(latents), picture, atol=1e-4, rtol=0)


def test_networks_are_traced_as_one_graph_and_draw_the_same(model, given, monkeypatch):
    """Which is what makes compiling worth while; the backend that compiles needs a C++ compiler, and minutes."""
    usual = model.animate_net(*given)
    compile_ = torch.nn.Module.compile
    compiled = []

    def traced(module):
        compiled.append(module)
        compile_(module, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    speed_up(model.modules(), compiled=True)
    assert compiled == [model.animate_net.unet, model.autoencoder.kl.decoder]
    torch.testing.assert_close(model.animate_net(*given), usual, atol=1e-4, rtol=0)
