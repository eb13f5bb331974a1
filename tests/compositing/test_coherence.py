"""Lines are continued straight behind a person, and told from texture."""

import pytest
import torch
from hidden_background import places
from torch import Tensor

from portraittalk.compositing.coherence import straightened, structure
from portraittalk.compositing.filling import filled

EYE, SIZE = 60.0, 160


def beside_a_head() -> Tensor:
    """Return a mask (1, S, S), 0 in a disc whose border the lines meet."""
    y, x = places(SIZE)
    return ((y - 80).square() + (x - 150).square() > 90**2).float()[None]


def panel(slope: float) -> Tensor:
    """Return a picture (3, S, S) of a dark panel under a bright wall, whose edge passes (60, 80)."""
    y, x = places(SIZE)
    share = (y - 80 - slope * (x - 60) + 0.5).clamp(0, 1)
    return torch.stack((0.85 - 0.5 * share, 0.8 - 0.35 * share, 0.75 - 0.3 * share))


@pytest.mark.parametrize("slope", [0.0, 0.15, -0.4])
def test_the_edge_of_a_panel_runs_on_straight(slope: float):
    known, true = beside_a_head(), panel(slope)
    result = straightened(true * known, known, torch.ones_like(known), EYE)
    assert torch.equal(result * known, true * known)
    columns = torch.arange(62, 82)  # up to a third of an eye distance behind the head

    def edge(picture: Tensor) -> Tensor:  # rows of the wall, from the share of the wall's colour
        return ((picture[0, 50:110] - 0.35) / 0.5).sum(0)[columns]

    def wrong(picture: Tensor) -> float:  # pixels of a column: an edge that is blurred or in steps has many
        return float(((picture - true).abs()[:, 50:110, 62:82].amax(0) > 0.1).float().sum(0).max())

    assert (edge(result) - edge(true)).abs().max() < 1.5
    assert wrong(result) <= 4 < 8 < wrong(filled(true * known, known))


def test_the_filling_is_calm_and_always_the_same():
    noise = 0.5 + 0.05 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    known = beside_a_head()
    result = straightened(noise * known, known, torch.ones_like(known), EYE)
    assert torch.equal(result, straightened(noise * known, known, torch.ones_like(known), EYE))
    assert (result - 0.5)[:, known[0] == 0].abs().max() < 0.1


def test_lines_are_no_texture_but_leaves_and_the_grain_of_a_wall_are():
    known, inside = beside_a_head(), beside_a_head()[0] == 0
    assert structure(panel(0.15), known, EYE)[1][0, inside].max() < 0.05
    ramp = 0.2 + 0.6 * places(SIZE)[0] / SIZE
    assert structure(ramp.expand(3, -1, -1), known, EYE)[1][0, inside].max() < 0.05
    assert structure(ramp.expand(3, -1, -1), known, EYE)[0][0, inside].min() > 0.95
    assert structure(panel(0.15), known, EYE)[0][0, 78:88, 62:80].max() < 0.1
    grain = 0.5 + 0.02 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    assert structure(grain, known, EYE)[1][0, inside].min() > 0.9
    leaves = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    assert structure(leaves, known, EYE)[1][0, inside].min() > 0.95


@pytest.mark.parametrize("known", [torch.zeros(1, 20, 30), torch.ones(1, 20, 30)], ids=["nothing", "all"])
@pytest.mark.parametrize("eye", [4.0, 60.0])
def test_small_pictures_and_those_without_a_border_stay_finite(known: Tensor, eye: float):
    picture = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(3))
    assert straightened(picture, known, torch.ones_like(known), eye).isfinite().all()
    assert all(planes.isfinite().all() for planes in structure(picture, known, eye))
