"""The motion network: shapes, its field of view, and the coefficients it may move."""

import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.config import MotionNetConfig, PortraitTalkConfig
from portraittalk.models.face_basis import load_basis
from portraittalk.models.motion_net import (
    ALVEOLARS,
    BILABIALS,
    BOTH_SIDES,
    DENTALS,
    LABIODENTALS,
    SPOKEN_NAMES,
    VOWELS,
    MotionNet,
    bite,
    full_amplitude,
    meet,
    tongue_tip,
)
from portraittalk.speech.features import balance
from portraittalk.speech.phones import PHONES

TINY = PortraitTalkConfig(motion_net=MotionNetConfig(width=16, layers=4))


@pytest.fixture(scope="module")
def net() -> MotionNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MotionNet(TINY).eval().requires_grad_(False)


def test_shapes_and_size(net):
    motion, phones = net(torch.randn(2, 7, 20, 80))
    assert motion.shape == (2, 7, len(SPOKEN_NAMES))
    assert phones.shape == (2, 7, 40)
    assert sum(p.numel() for p in MotionNet(PortraitTalkConfig()).parameters()) < 2.5e6


def test_a_frame_depends_on_its_reach_and_no_more(net):
    features = torch.randn(1, 41, 20, 80).requires_grad_()
    net(features, net.levels(features.detach()))[0][0, 20].sum().backward()
    touched = features.grad.abs().sum((0, 2, 3)).nonzero().flatten().tolist()
    assert (min(touched), max(touched)) == (20 - net.reach, 20 + net.reach)


def test_pieces_give_what_the_whole_gives(net):
    features = torch.randn(60, 20, 80)
    whole, piece = net.expression(features), net.expression(features[: 30 + net.reach], net.levels(features))
    for of_whole, of_piece in zip(whole, piece, strict=True):
        assert torch.allclose(of_piece[:30], of_whole[:30], atol=1e-6)


def test_voices_that_differ_by_their_bands_alone_sound_alike(net):
    features = 0.3 * torch.randn(1, 400, 20, 80, generator=torch.Generator().manual_seed(0))
    darker = balance(features, torch.linspace(0.4, -0.4, 80)[None])
    plain, changed = net(features)[0], net(darker)[0]
    without = net(darker, net.levels(features))[0]
    assert (changed - plain).abs().max() < 0.35 * (without - plain).abs().max()


def test_expression_moves_BOTH_SIDES_alike_and_leaves_the_eyes_alone(net):
    expression, silence, tip = net.expression(torch.randn(5, 20, 80))
    assert silence.shape == (5,) and silence.min() >= 0 and silence.max() <= 1
    assert tip.shape == (5, 2) and tip.min() >= 0 and tip.max() <= 1
    assert expression.shape == (5, 52) and not expression[:, ARKIT_NAMES.index("tongueOut")].any()
    assert expression.min() >= 0 and expression.max() <= 1
    for index, name in enumerate(ARKIT_NAMES):
        if name.startswith(("eye", "cheek", "nose")):
            assert not expression[:, index].any()
        if name.endswith("Left") and name.removesuffix("Left") in SPOKEN_NAMES:
            assert torch.equal(expression[:, index], expression[:, ARKIT_NAMES.index(name.replace("Left", "Right"))])


def test_each_spoken_name_stands_for_arkit_names():
    assert BOTH_SIDES.shape == (52, len(SPOKEN_NAMES))
    assert BOTH_SIDES.sum(0).min() >= 1
    assert BOTH_SIDES.sum(1).max() == 1


def test_the_lower_lip_meets_the_upper_teeth_on_f_and_v():
    wide = torch.full((3, len(SPOKEN_NAMES)), 0.4)
    phones = torch.zeros(3, len(PHONES))
    phones[1, LABIODENTALS[0]], phones[2, LABIODENTALS[1]] = 0.5, 0.2
    bitten = bite(wide, phones)
    jaw, lower, upper = (SPOKEN_NAMES.index(name) for name in ("jawOpen", "mouthLowerDown", "mouthUpperUp"))
    assert torch.equal(bitten[0], wide[0])
    assert bitten[1, jaw] < 0.1
    assert bitten[1, lower] == 0
    assert bitten[1, upper] == wide[1, upper]
    assert bitten[1, jaw] < bitten[2, jaw] < wide[2, jaw]
    assert bite(torch.zeros_like(wide), phones)[1, upper] > 0.1


def test_mouths_rest_at_zero_and_go_as_far_as_real_ones_while_they_speak():
    values = torch.linspace(-0.2, 1.2, 141)[:, None].expand(-1, len(SPOKEN_NAMES))
    quiet, spoken = (full_amplitude(values, torch.full((141, 1), amount)) for amount in (0.0, 1.0))
    assert torch.equal(quiet, values.clamp(0, 1))
    assert spoken.min() == 0 and spoken.max() <= 1
    assert (spoken.diff(dim=0) >= 0).all()  # the order of the values stays
    pucker = spoken[:, SPOKEN_NAMES.index("mouthPucker")]
    assert pucker[21] == 0 and 0.5 < pucker[41] < 0.6  # of 0.01 and 0.21
    assert torch.equal(spoken[:, SPOKEN_NAMES.index("browInnerUp")], values[:, 0].clamp(0, 1))


def test_lips_meet_for_p_b_and_m_and_the_jaw_does_not_shut():
    basis = load_basis()
    phones = torch.zeros(4, len(PHONES))
    phones[0, PHONES.index("AA")] = 1
    phones[1, BILABIALS[0]] = 0.05
    phones[2, BILABIALS] = 0.3
    phones[3, PHONES.index("F")] = 1
    spoken = torch.zeros(4, len(SPOKEN_NAMES))
    for name, value in (("jawOpen", 0.4), ("mouthLowerDown", 0.2), ("mouthUpperUp", 0.1), ("mouthFunnel", 0.1)):
        spoken[:, SPOKEN_NAMES.index(name)] = value
    met = meet(spoken, phones)
    aperture = basis.asked_aperture(met @ BOTH_SIDES.T)
    assert torch.equal(met[[0, 3]], spoken[[0, 3]])
    assert aperture[0] > 0.2
    assert 0 < aperture[1] < 0.7 * aperture[0]
    assert aperture[2] == 0
    assert met[2, SPOKEN_NAMES.index("jawOpen")] == 0.2


def test_the_tongue_touches_on_l_n_d_and_t_and_comes_out_on_th():
    sounds = [PHONES[index] for index in (*ALVEOLARS, *DENTALS)]
    assert sorted(sounds) == ["D", "DH", "L", "N", "T", "TH"]
    raised, out = tongue_tip(torch.eye(len(PHONES))).unbind(1)
    assert {PHONES[index] for index in raised.nonzero().flatten()} == set("LNDT") and raised.max() == 1
    assert {PHONES[index] for index in out.nonzero().flatten()} == {"TH", "DH"} and out.max() == 1


def test_a_tongue_that_vowels_speak_against_stays_down():
    phones = torch.zeros(4, len(PHONES))
    phones[:, ALVEOLARS[0]] = torch.tensor([0.3, 0.3, 0.3, 0.01])
    phones[1:3, VOWELS[0]] = torch.tensor([0.3, 0.65])
    phones[3, PHONES.index("SIL")] = 0.99
    raised = tongue_tip(phones)[:, 0]
    assert raised[0] == 1 and 0 < raised[1] < 1 and raised[2] == raised[3] == 0
