"""The painted tongue: between the teeth that it is raised to, and hidden where it rests."""

import pytest
import torch

from portraittalk.compositing.tongue import behind_teeth, raised_tongue
from portraittalk.motion.geometry import rotation_matrix
from portraittalk.types import Tongue

UPPER, LOWER = 0.03, torch.full((1, 1, 1), 0.18)  # of the edges of the teeth, in eye distances
Y, X = (t[None] for t in torch.meshgrid(torch.linspace(-0.1, 0.3, 401), torch.linspace(-0.3, 0.3, 301), indexing="ij"))


def tip(raised=0.0, out=0.0):
    return raised_tongue(X, Y, UPPER, LOWER, Tongue(torch.tensor([raised]), torch.tensor([out])))


def top(found):
    """y of the highest point of a tip."""
    return float(Y[0, :, 0][found.alpha[0, 0].amax(1) > 0.5].amin())


def test_a_tongue_at_rest_is_hidden_behind_the_lower_teeth():
    assert tip().alpha.max() == 0
    assert tip().over_teeth.max() == 0


def test_a_tip_rises_to_the_upper_teeth():
    tops = [top(tip(raised)) for raised in (0.2, 0.5, 0.8, 1.0)]
    assert tops == sorted(tops, reverse=True)
    assert tops[0] > UPPER + 0.05
    assert tops[-1] < UPPER


def test_only_a_tongue_that_is_out_covers_lower_teeth():
    below = Y[0] > float(LOWER) + 0.005
    assert tip(raised=1.0).over_teeth.max() == 0
    assert tip(out=0.5).over_teeth[0, 0][below].max() > 0.9
    assert tip(out=0.5).over_teeth[0, 0][Y[0] > float(LOWER) + 0.03].max() == 0


def test_teeth_that_overlap_leave_no_room_for_a_tip():
    closed = raised_tongue(X, Y, UPPER, torch.zeros(1, 1, 1), Tongue(torch.ones(1), torch.zeros(1)))
    assert top(closed) >= -0.01  # behind them


def test_light_and_visibility_are_shares():
    found = tip(0.7, 0.3)
    for values in (found.alpha, found.over_teeth, found.light):
        assert values.min() >= 0
        assert values.max() <= 1


def test_a_tongue_lies_behind_the_teeth_of_heads_that_look_to_the_side():
    """Its middle is seen nearer to the near corner of the mouth, on either side alike, and at 0 from the front."""
    x = torch.linspace(-0.3, 0.3, 301).expand(4, 1, -1)
    yaws = torch.tensor([0.0, 12.0, 32.0, -32.0]).deg2rad()
    facing = torch.stack([rotation_matrix(torch.tensor([0.0, float(yaw), 0.0])) for yaw in yaws])
    found = behind_teeth(x, facing)
    assert found[:2].equal(x[:2])
    middle = [float(x[0, 0, row[0].abs().argmin()]) for row in found]
    assert middle[2] == pytest.approx(-middle[3], abs=0.003)
    assert abs(middle[2]) == pytest.approx(0.053, abs=0.004)
    behind = facing[2, 0, 2]  # to where what lies deeper is seen
    assert middle[2] * behind > 0
