"""Which teeth hang and which stand, in drawn mouths that are straightened to the row of teeth."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lent_rows import dark_above_standing, rows_beside

X, Y = (torch.arange(160) - 79.5) / 200, (torch.arange(120) - 20) / 200  # eye distances
TOP, BOTTOM = 0.0, 0.12
SEEN = (X.abs() < 0.15).float()


def mouth(*teeth: tuple[float, float], dark: float = 0.3) -> Tensor:
    """The brightness of a mouth with rows of teeth between these heights, in eye distances below the lips' line."""
    light = torch.full((len(Y), len(X)), dark)
    for begin, end in teeth:
        light[(begin < Y) & (end > Y)] = 0.8
    return light


def line(height: float) -> Tensor:
    return torch.full_like(X, height)


def dark_above(light: Tensor) -> Tensor | None:
    return dark_above_standing(light, X, Y, line(TOP), line(BOTTOM), SEEN)


def test_teeth_below_the_reach_of_the_upper_ones_stand():
    found = dark_above(mouth((0.06, 0.12)))
    assert found is not None and found.min() >= 0 and found.max() < 0.06


def test_teeth_below_the_upper_lip_hang():
    assert dark_above(mouth((0.0, 0.05))) is None


def test_teeth_from_the_upper_lip_to_far_below_are_two_rows():
    light = mouth((0.0, 0.12))
    light[(Y > 0.03) & (Y < 0.04)] = 0.72
    found = dark_above(light)
    assert found is not None and (found - 0.035).abs().max() < 0.008
    assert dark_above(mouth((0.0, 0.12))) is None  # nothing parts them


@pytest.mark.parametrize("spoilt", [False, True])
def test_the_dark_ends_at_teeth_on_both_sides(spoilt):
    light = mouth((0.0, 0.03), (0.08, 0.12))
    if spoilt:  # a gap between two teeth, and a highlight in the dark
        light[:, 70:73], light[:, 100:103] = 0.3, 0.8
    hanging, standing = rows_beside(light, X, Y, line(TOP), line(0.05), line(BOTTOM), SEEN)
    middle = SEEN > 0
    assert (hanging - 0.03)[middle].abs().max() < 0.006
    assert (standing - 0.08)[middle].abs().max() < 0.006
