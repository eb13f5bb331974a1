"""Hallo's audio modules: against what its own code computed, and inside of a denoiser."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from golden_tensors import golden

from portraittalk.models.animate_net import AnimateNet, Conditions
from portraittalk.models.audio_modules import AudioModule, FaceProjection
from portraittalk.pipelines.reference import sample_clip
from portraittalk.sampling import conditioning
from portraittalk.types import SamplingSettings, Scales
from portraittalk.weights.hallo import CONFIG

FRAMES = 3
CLOSE = {"atol": 2e-5, "rtol": 0.0}  # measured: 2e-6
CASES = {
    "motion_scale_none": (1.0, 1.0, 1.0),
    "motion_scale_1_0p5_1p5": (1.0, 0.5, 1.5),
    "only_full": (1.0, 0.0, 0.0),
    "only_face": (0.0, 1.0, 0.0),
    "only_lip": (0.0, 0.0, 1.0),
    "masks_zero": (1.0, 1.0, 1.0),
    "audio_zero": (1.0, 1.0, 1.0),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_module_computes_what_upstreams_does(name):
    tensors = golden("hallo_block")
    module = AudioModule("", 64, 64, 8, 768).eval()
    module.load_state_dict({key.removeprefix("w."): value.float() for key, value in tensors.items() if key[:2] == "w."})
    masks = [tensors[f"in.{region}_mask.1"].unflatten(-1, (8, 8)) for region in ("full", "face", "lip")]
    regions = torch.stack(masks, 1) * (name != "masks_zero")
    heard = () if name == "audio_zero" else module.keys_values(tensors["in.audio"][0].float())
    frames = tensors["in.hidden_states"][0].transpose(0, 1)
    found = module(frames, heard, regions, CASES[name])
    torch.testing.assert_close(found.transpose(0, 1)[None], tensors[f"out.{name}"], **CLOSE)


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope="module")
def net():
    config = replace(
        CONFIG,
        crop_size=64,
        speech=replace(CONFIG.speech, steps=4, dim=8),
        animate_net=replace(CONFIG.animate_net, block_out_channels=(32, 64), layers_per_block=1),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AnimateNet(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def conditions():
    regions = torch.zeros(1, 3, 16, 16)
    regions[:, :, :8] = 1
    return Conditions(speech=draw(1, FRAMES, 4, 8), identity=draw(1, 4, 768), regions=regions)


@pytest.fixture(scope="module")
def velocity(net):
    return lambda given, scales=None: net(draw(1, 4, FRAMES, 8, 8), torch.tensor(500), given, scales)


def test_speech_and_regions_reach_the_output_and_silence_is_speech_of_strength_zero(velocity, conditions):
    found = velocity(conditions)
    assert not torch.allclose(found, velocity(replace(conditions, speech=-conditions.speech)), atol=1e-5)
    assert not torch.allclose(found, velocity(replace(conditions, regions=None)), atol=1e-5)
    off = velocity(conditions, Scales(speech=0.0))
    assert torch.equal(off, velocity(replace(conditions, speech=-conditions.speech), Scales(speech=0.0)))


def test_a_frame_hears_its_own_speech(net, conditions):
    prepared = net.prepare(conditions)
    assert len(prepared.audio) == 4  # one block down and one up, of one and two transformers, and the middle
    keys = next(iter(prepared.audio.values()))[0][0]
    assert len(keys) == FRAMES
    some = torch.tensor([2, 0])
    assert torch.equal(next(iter(prepared.at(some).audio.values()))[0][0], keys[some])
    assert not net.prepare(replace(conditions, speech=None)).audio


def test_a_copy_of_the_network_listens_with_its_own_modules(net, conditions):
    copy = deepcopy(net)
    for module in copy.modules():
        if isinstance(module, AudioModule):
            torch.nn.init.zeros_(module.proj_out.weight)
            torch.nn.init.zeros_(module.proj_out.bias)
    sample, step = draw(1, 4, FRAMES, 8, 8), torch.tensor(500)
    other = replace(conditions, speech=-conditions.speech)
    assert torch.equal(copy(sample, step, conditions), copy(sample, step, other))
    assert not torch.equal(net(sample, step, conditions), net(sample, step, other))


def test_an_embedding_gives_tokens_of_unit_size():
    tokens = FaceProjection(512, 768)(draw(2, 512))
    assert tokens.shape == (2, 4, 768)
    torch.testing.assert_close(tokens.std(-1, correction=0), torch.ones(2, 4), atol=1e-3, rtol=0)


def test_windows_of_a_clip_hear_the_same_whether_what_is_heard_is_held_or_not(net, conditions, monkeypatch):
    settings = SamplingSettings(steps=2, guidance_scale=2.0, window=3, overlap=1)
    noise, speech = draw(1, 4, 5, 8, 8), draw(1, 5, 4, 8)
    given = replace(conditions, speech=speech)
    held = sample_clip(net, given, noise, settings)
    assert not torch.allclose(held, sample_clip(net, replace(given, speech=-speech), noise, settings), atol=1e-4)
    monkeypatch.setattr(conditioning, "CACHED_FRAMES", 2)
    torch.testing.assert_close(sample_clip(net, given, noise, settings), held, atol=2e-5, rtol=0)
