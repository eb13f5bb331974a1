"""EchoMimic's networks against what its own code computed: the same weights and inputs, each branch by itself."""

import hashlib
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from golden_tensors import golden, recipes

from portraittalk.models.animate_net import AnimateNet, Conditions
from portraittalk.models.attention import DecoupledCrossAttention
from portraittalk.models.pose_guider import PoseGuider

CLOSE = {"atol": 1e-4, "rtol": 0.0}
"""Measured: 4e-6 in the denoiser, 0 in the reference network and the face locator."""
ROUNDED = {"atol": 1.1e-4, "rtol": 0.0}
"""The pose guider's golden is itself float32 rounding away from what exact arithmetic gives: by 1.02e-4 at the last
feature with batch statistics of three frames, by 3e-5 with running ones. In float64 no machine's adds to that."""


@pytest.fixture(scope="module")
def step():
    return golden("echomimic_step")


@pytest.fixture(scope="module")
def net(golden_echomimic) -> AnimateNet:
    return golden_echomimic.animate_net


@pytest.fixture(scope="module")
def conditions(step, golden_echomimic) -> Conditions:
    reference = golden_echomimic.reference_net(step["in.reference_latents"])
    return Conditions(map=step["in.mask"].float(), speech=step["in.audio_features"].float(), reference=reference)


@pytest.fixture(scope="module")
def velocity(net, step):
    return lambda conditions: net(step["in.noisy_latents"], step["in.timestep"], conditions)


@pytest.mark.parametrize("name", recipes())
def test_tensors_drawn_again_are_those_that_upstream_computed_with(name):
    tensors, recipe = golden(name), recipes()[name]
    numbers = torch.cat([tensors[key].flatten() for key, _, _, _ in recipe["tensors"]])
    assert hashlib.sha256(numbers.numpy().tobytes()).hexdigest() == recipe["sha256"]


def test_the_reference_network_leaves_what_upstream_keeps(step, conditions):
    banks = {key.split(".", 2)[2]: value for key, value in step.items() if key.startswith("bank.")}
    assert banks.keys() == conditions.reference.keys()
    for block, features in banks.items():
        torch.testing.assert_close(conditions.reference[block], features, **CLOSE)


def test_the_face_locator_reads_the_mask(net, step):
    (features,) = net.guides(step["in.mask"].float())
    torch.testing.assert_close(features, step["out.face_locator"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("denoiser", {}),
        ("denoiser_reference_absent", {"reference": {}}),
        ("denoiser_mask_feature_zero", {"map": None}),
        ("denoiser_audio_features_zero", {"speech": torch.zeros(1, 7, 50, 384)}),
    ],
)
def test_the_velocity_is_upstreams(velocity, conditions, step, name, change):
    torch.testing.assert_close(velocity(replace(conditions, **change)), step[f"out.{name}"], **CLOSE)


def test_with_a_reference_rounded_to_half_precision(velocity, conditions, step):
    rounded = {block: features.half().float() for block, features in conditions.reference.items()}
    found = velocity(replace(conditions, reference=rounded))
    torch.testing.assert_close(found, step["out.denoiser_reference_bank_rounded_half"], **CLOSE)


def test_without_the_audio_branch(net, velocity, conditions, step, monkeypatch):
    for module in net.modules():
        if isinstance(module, DecoupledCrossAttention):
            monkeypatch.setattr(module, "gain", 0.0)
    torch.testing.assert_close(velocity(conditions), step["out.denoiser_audio_branch_off"], **CLOSE)


def test_without_motion_modules(net, conditions, step):
    still = deepcopy(net)
    for name, module in still.named_modules():
        if name.endswith("proj_out") and "motion_modules" in name:
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    found = still(step["in.noisy_latents"], step["in.timestep"], conditions)
    torch.testing.assert_close(found, step["out.denoiser_temporal_off"], **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize(("name", "batch_statistics"), [("batch_stats", True), ("running_stats", False)])
def test_aniportraits_pose_guider_in_both_ways_of_batch_norm(name, batch_statistics):
    tensors = golden("aniportrait_pose_guider")
    guider = PoseGuider(32, batch_statistics, heads=16, head_dim=4).eval()
    weights = {key.removeprefix("w."): value for key, value in tensors.items() if key.startswith("w.")}
    guider.load_state_dict(weights)
    for place, features in enumerate(guider.double()(tensors["in.pose"][0].transpose(0, 1).double())):
        wanted = tensors[f"out.batchnorm_{name}.{place}"].double()
        torch.testing.assert_close(features.transpose(0, 1)[None], wanted, **ROUNDED)
