"""The map from coefficients to expression offsets, where the answer is known."""

import copy

import pytest
import torch
from liveportrait_networks import golden_networks, numbers

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.motion.keypoint_drive import mapped_change
from portraittalk.motion.keypoint_map import (
    MIXTURES,
    RETARGETED,
    best_map,
    fitted_map,
    hand_made_map,
    map_error,
    probes,
)


@pytest.fixture(scope="module")
def changes():
    return mapped_change(probes(), torch.zeros(52))


def test_every_coefficient_is_shown_but_those_that_are_retargeted(changes):
    shown = (changes[:-MIXTURES] != 0).any(0)
    assert {ARKIT_NAMES[i] for i in (~shown).nonzero().flatten()} == {ARKIT_NAMES[i] for i in RETARGETED}
    assert not changes[0].any()
    alone = (changes[:-MIXTURES] != 0).sum(1)
    assert alone.max() == 2  # gaze turns both eyes
    assert ((changes[-MIXTURES:] != 0).sum(1) > 4).all()


def test_a_linear_face_is_found_up_to_the_ridge(changes):
    true = 0.02 * torch.randn(52, 21, 3, generator=torch.Generator().manual_seed(1))
    offsets = (changes @ true.flatten(1)).view(-1, 21, 3)
    found = best_map(changes, offsets + 0.5)  # whatever the face is at rest
    assert map_error(found, changes, offsets) < 0.1
    assert map_error(hand_made_map(), changes, offsets) > 0.9


def test_what_the_pictures_do_not_tell_stays_as_made_by_hand():
    smile, brow = ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["browInnerUp"]
    changes = torch.zeros(1, 52)
    changes[0, smile] = 0.8
    prior = hand_made_map()
    found = fitted_map(changes, torch.full((1, 21, 3), 0.01), prior)
    assert torch.equal(found[brow], prior[brow]) and prior[brow].any()
    torch.testing.assert_close(found[smile], torch.full((21, 3), 0.01 / 0.8), atol=2e-3, rtol=0)


def test_a_face_that_cannot_be_read_keeps_the_hand_made_map(changes):
    noise = torch.randn(len(changes), 21, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(best_map(changes, noise), hand_made_map())


def test_the_map_of_a_network_is_its_derivative(changes):
    """Pictures that change in proportion to coefficients, faintly enough for a random network to be linear."""
    network = golden_networks()["motion_extractor"]
    patterns = 0.02 * torch.nn.functional.interpolate(numbers(7, 52, 3, 8, 8), (64, 64), mode="bilinear")
    still = (torch.nn.functional.interpolate(numbers(8, 1, 3, 16, 16), (64, 64), mode="bilinear") + 1) / 2
    pictures = still + torch.einsum("rc,cdhw->rdhw", changes, patterns)
    found = best_map(changes, network(pictures).expression)
    shown = [i for i in range(52) if i not in RETARGETED and not ARKIT_NAMES[i].startswith("eyeLook")]
    some = shown[::8]
    exact, step = copy.deepcopy(network).double(), 1e-3
    ahead, behind = (exact((still + sign * step * patterns[some]).double()).expression for sign in (1, -1))
    true = ((ahead - behind) / (2 * step)).float()
    assert (found[some] - true).norm() < 0.15 * true.norm()
    assert (hand_made_map()[some] - true).norm() > 0.9 * true.norm()


def test_the_hand_made_map_looks_and_smiles_as_asked():
    by_hand = hand_made_map()
    right = by_hand[ARKIT_INDEX["eyeLookOutLeft"]] + by_hand[ARKIT_INDEX["eyeLookInRight"]]
    left = by_hand[ARKIT_INDEX["eyeLookInLeft"]] + by_hand[ARKIT_INDEX["eyeLookOutRight"]]
    assert (right[[11, 15], 0] > 0).all() and (left[[11, 15], 0] < 0).all()
    up, down = by_hand[ARKIT_INDEX["eyeLookUpLeft"]], by_hand[ARKIT_INDEX["eyeLookDownLeft"]]
    assert torch.equal(up, -down) and (up[[11, 15], 1] < 0).all()  # y is down
    assert by_hand[ARKIT_INDEX["mouthSmileLeft"]][14, 1] == pytest.approx(-0.01)
    assert not by_hand[list(RETARGETED)].any()
