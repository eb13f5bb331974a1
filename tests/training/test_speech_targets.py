"""Coefficients fitted to landmarks: what moved the landmarks is found again, whatever the head does."""

import pytest
import torch

from portraittalk.face.align import eye_distance
from portraittalk.models.face_basis import FaceBasis
from portraittalk.models.motion_net import BOTH_SIDES, SPOKEN_NAMES
from portraittalk.motion.geometry import lip_aperture, rotation_matrix
from portraittalk.training.motion.targets import at_rest, fit_coefficients

JAW = SPOKEN_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    """A made-up face whose jaw opens the lips by 0.4 eye distances."""
    generator = torch.Generator().manual_seed(0)
    basis = FaceBasis()
    basis.mean.copy_(torch.randn(478, 3, generator=generator))
    basis.mean.div_(eye_distance(basis.mean))
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        basis.mean[lower] = basis.mean[upper]
    basis.expression.copy_(0.1 * torch.randn(52, 478, 3, generator=generator))
    stable = [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 2, 98, 327, 10, 109, 338, 67, 297, 103, 332, 54, 284]
    basis.expression[:, [*stable, 21, 251, 162, 389, 127, 356, 234, 454]] = 0
    basis.expression[:, [82, 87, 13, 14, 312, 317]] = 0
    jaw = BOTH_SIDES[:, JAW].argmax()
    basis.expression[jaw, [87, 14, 317], 1] = 0.4
    basis.aperture[jaw] = 0.4
    return basis


def test_known_coefficients_are_found_under_head_motion(basis):
    generator = torch.Generator().manual_seed(1)
    asked = 0.8 * torch.rand(40, len(SPOKEN_NAMES), generator=generator)
    asked[:10] = 0
    expression = asked @ BOTH_SIDES.T
    face = basis.mean + basis.displacement(expression)
    turned = face @ rotation_matrix(0.2 * torch.randn(40, 3, generator=generator)).mT
    rest = torch.arange(40) < 10
    found = fit_coefficients(120 * turned + 300, expression, rest, basis)
    mouth = [index for index, name in enumerate(SPOKEN_NAMES) if not name.startswith("brow")]
    assert (found - asked)[:, mouth].abs().max() < 0.02
    wanted = lip_aperture(face) - lip_aperture(face)[:10].mean()
    assert torch.allclose(basis.asked_aperture(found @ BOTH_SIDES.T), wanted, atol=0.01)


def test_rest_is_silent_and_closed(basis):
    jaw = torch.tensor([0.0, 0.0, 0.5, 0.9, 0.0])
    expression = torch.zeros(5, 52)
    expression[:, BOTH_SIDES[:, JAW].argmax()] = jaw
    silent = torch.tensor([True, True, True, False, False])
    assert at_rest(basis.mean + basis.displacement(expression), silent).tolist() == [True, True, False, False, False]
