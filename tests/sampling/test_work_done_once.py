"""How often the networks are called: nothing that is the same at every step, or for every window, is computed twice."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from random_pipeline import random_pipeline
from tiny_public import shallow
from torch.utils._python_dispatch import TorchDispatchMode

from portraittalk.models.animate_net import Conditions
from portraittalk.models.attention import DecoupledCrossAttention, spatial_blocks
from portraittalk.pipelines.crop import sample_window
from portraittalk.pipelines.reference import sample_clip
from portraittalk.sampling import conditioning
from portraittalk.types import SamplingSettings, Speech

pytest.importorskip("transformers")

FRAMES, STEPS = 7, 2
SETTINGS = SamplingSettings(steps=STEPS, window=4, overlap=1)
WINDOWS = 3  # of 4 frames, one beginning every 3


@pytest.fixture(scope="module")
def model(tiny_echomimic):
    return random_pipeline(shallow(tiny_echomimic))


@pytest.fixture(scope="module")
def identity(model, small_portrait, small_face):
    return model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture(scope="module")
def conditions(identity):
    drawn = torch.Generator().manual_seed(0)
    return Conditions(
        map=torch.rand(1, 1, 1, 128, 128, generator=drawn),
        speech=torch.randn(1, FRAMES, 50, 384, generator=drawn),
        reference=identity.reference,
    )


@contextmanager
def counted(**modules):
    """Counts the calls of modules and the rows that are given to them: (calls, rows), each by name."""
    calls, rows = Counter(), Counter()

    def hook(name):
        def count(module, inputs):
            calls[name] += 1
            rows[name] += len(inputs[0]) if inputs else 0

        return count

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield calls, rows
    finally:
        for handle in handles:
            handle.remove()


def noise():
    return torch.randn(1, 4, FRAMES, 16, 16, generator=torch.Generator().manual_seed(1))


def layers(net):
    block = dict(spatial_blocks(net.unet))["down_blocks.0.attentions.0.transformer_blocks.0"]
    return {"speech": block.attn2.to_k, "own": block.attn1.to_v, "locator": net.structure_encoder}


def test_the_reference_network_runs_once_for_an_identity_and_never_for_a_video(model, small_portrait, small_face):
    with counted(reference=model.reference_net, encoder=model.autoencoder.kl.encoder) as (calls, _):
        identity = model.encode_identity([small_portrait], faces=[[small_face]])
        assert calls == {"reference": 1, "encoder": 1}
        speech = Speech(torch.randn(2, 50, 384), 25.0, 0.08)
        for seed in range(2):
            list(model.animate(identity, speech, settings=replace(SETTINGS, seed=seed), output="crop"))
    assert calls == {"reference": 1, "encoder": 1}


def test_keys_values_and_features_of_the_map_are_computed_once_for_all_steps(model, conditions):
    net = model.animate_net
    with counted(**layers(net)) as (calls, rows):
        sample_clip(net, conditions, noise(), SETTINGS)
    assert (calls["speech"], rows["speech"]) == (1, FRAMES)
    assert (calls["locator"], rows["locator"]) == (1, 1)
    # The reference's once, one row, then each window's own pixels.
    assert rows["own"] == 1 + STEPS * WINDOWS * 4 and calls["own"] == 1 + STEPS * WINDOWS


def test_of_a_long_clip_those_of_frames_are_computed_window_by_window_and_the_result_is_the_same(
    model, conditions, monkeypatch
):
    net = model.animate_net
    held = sample_clip(net, conditions, noise(), SETTINGS)
    monkeypatch.setattr(conditioning, "CACHED_FRAMES", 3)
    with counted(**layers(net)) as (calls, rows):
        found = sample_clip(net, conditions, noise(), SETTINGS)
    torch.testing.assert_close(found, held, atol=2e-5, rtol=0)
    assert rows["speech"] == STEPS * WINDOWS * 4
    assert rows["locator"] == 1 and calls["own"] == 1 + STEPS * WINDOWS


@pytest.mark.parametrize(("scale", "passes"), [(1.0, 1), (2.5, 2)])
def test_without_guidance_there_is_no_second_pass(model, conditions, scale, passes):
    with counted(unet=model.animate_net.unet) as (calls, _):
        sample_clip(model.animate_net, conditions, noise(), replace(SETTINGS, guidance_scale=scale))
    assert calls["unet"] == passes * STEPS * WINDOWS


def test_a_guided_pass_projects_silence_once_for_all_frames(model, conditions):
    net = model.animate_net
    with counted(**layers(net)) as (calls, rows):
        sample_clip(net, conditions, noise(), replace(SETTINGS, guidance_scale=2.0))
    assert (calls["speech"], rows["speech"]) == (2, FRAMES + 1)


@torch.no_grad()
def test_a_window_of_minis_projects_each_branch_once(tiny_model):
    config, net = tiny_model.config, tiny_model.animate_net
    side, frames = config.latent_size, 3
    given = Conditions(
        warped=torch.randn(1, 4, frames, side, side),
        mask=torch.ones(1, 1, frames, side, side),
        map=torch.rand(1, frames, 8, 64, 64),
        identity=torch.randn(1, 4, 32),
        speech=torch.randn(1, frames, config.speech.steps, config.speech.dim),
        structure=torch.randn(1, frames, config.structure.coefficients),
        text=torch.randn(1, 5, 24),
    )
    processor = next(module for module in net.modules() if isinstance(module, DecoupledCrossAttention))
    watched = {"text": net.text_tokens, "map": net.structure_encoder, **processor.to_k}
    for scale, passes in ((1.0, 1), (2.0, 2)):
        with counted(unet=net.unet, **watched) as (calls, rows):
            sample_window(
                net,
                given,
                torch.randn_like(given.warped),
                SamplingSettings(steps=4, guidance_scale=scale),
                negative_text=torch.randn(1, 5, 24),
            )
        assert calls["unet"] == 4 * passes
        assert {calls[name] for name in watched} == {passes}
        assert rows["identity"] == rows["text"] == passes and rows["speech"] == frames * passes


class Operations(TorchDispatchMode):
    """Collects the names of what torch runs."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_no_attention_makes_a_matrix_of_scores(model, identity):
    speech = Speech(torch.randn(4, 50, 384), 25.0, 0.16)
    with torch.no_grad(), Operations() as seen:
        model.reference_net(model.autoencoder.encode(identity.references))
        model.speech_encoder(torch.randn(1, 80, 3000))
        list(model.animate(identity, speech, settings=replace(SETTINGS, steps=1), output="crop"))
    fused = [name for name in seen.names if "scaled_dot_product" in name]
    assert sum(seen.names[name] for name in fused) > 20
    assert not [name for name in seen.names if "softmax" in name]
