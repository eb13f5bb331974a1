"""Territories of several people in one picture."""

import pytest
import torch

from portraittalk.face.manual import face_in_box
from portraittalk.face.territory import distance_from, foreign_colours, heads_before, inside, territory

LEFT, RIGHT = face_in_box((20, 60, 60, 110)).landmarks, face_in_box((140, 60, 180, 110)).landmarks
WHOLE = (0, 0, 200, 160)


@pytest.fixture
def plain() -> torch.Tensor:
    return torch.full((3, 160, 200), 0.5)


def test_everything_is_a_single_persons(plain):
    assert (territory(plain, LEFT, LEFT[:0][None].new_zeros(0, 478, 3), WHOLE) == 1).all()
    far = RIGHT + RIGHT.new_tensor((2000, 0, 0))
    assert (territory(plain, LEFT, far[None], WHOLE) == 1).all()


def test_on_a_plain_ground_the_border_is_half_way(plain):
    share = territory(plain, LEFT, RIGHT[None], WHOLE)
    assert share.shape == (1, 160, 200)
    assert share[:, 40:130, :94].min() > 0.95 and share[:, 40:130, 106:].max() < 0.05


def test_the_two_shares_are_one_together(plain):
    shares = territory(plain, LEFT, RIGHT[None], WHOLE) + territory(plain, RIGHT, LEFT[None], WHOLE)
    torch.testing.assert_close(shares, torch.ones_like(shares), atol=0.05, rtol=0)


def test_the_border_lies_where_the_colours_change(plain):
    plain[:, :, 115:] = torch.tensor((0.1, 0.2, 0.7))[:, None, None]
    share = territory(plain, LEFT, RIGHT[None], WHOLE)
    assert share[:, 60:110, :109].min() > 0.95 and share[:, 60:110, 121:].max() < 0.05


def test_a_part_of_the_picture_is_cut_from_the_whole(plain):
    share = territory(plain, LEFT, RIGHT[None], WHOLE)
    part = territory(plain, LEFT, RIGHT[None], (80, 40, 120, 100))
    assert part.shape == (1, 60, 40)
    assert (part - share[:, 40:100, 80:120]).abs().mean() < 0.06


def test_a_shortest_path_goes_around_what_is_unlike():
    colours = torch.zeros(3, 7, 7)
    colours[:, :6, 3] = 1  # a wall with a gap below
    seeds = torch.zeros(7, 7, dtype=torch.bool)
    seeds[0, 0] = True
    distance = distance_from(seeds, 1.0, colours)
    around = 4 * 2**0.5 + 2 + 2 * 2**0.5  # down to the gap and through it
    assert distance[0, 2] == 2 and around - 1 < distance[3, 5] < 3 * 3**0.5 + 8


def test_the_way_through_colours_of_others_is_long():
    seeds = torch.zeros(1, 9, dtype=torch.bool)
    seeds[0, 0] = True
    colours, foreign = torch.zeros(3, 1, 9), torch.zeros(1, 9)
    foreign[0, 4:] = 1
    distance = distance_from(seeds, 1.0, colours, foreign)
    assert distance[0, 3] == 3 and distance[0, 6] - distance[0, 5] > 5


def test_colours_that_only_one_person_has_are_foreign_to_the_others():
    distances = torch.stack((torch.linspace(0, 4, 40), torch.linspace(4, 0, 40)))[:, None]
    colours = torch.zeros(3, 1, 40)
    colours[0, :, :24], colours[2, :, 24:] = 0.8, 0.8  # red reaches beyond the middle
    first, second = foreign_colours(distances, colours)
    assert first[0, :24].max() < 0.05 and first[0, 24:].min() > 0.9
    assert second[0, :24].min() > 0.9 and second[0, 24:].max() < 0.05


def test_hair_next_to_another_face_is_that_of_its_colour(plain):
    """As far from both faces, with the same change of colour to each, but seen on one side of a head alone before."""
    hair = torch.tensor((0.1, 0.2, 0.7))[:, None, None]
    plain[:, 30:150, :16] = hair
    plain[:, 30:150, 62:136] = hair
    share = territory(plain, LEFT, RIGHT[None], WHOLE)
    assert share[:, 60:110, 66:120].mean() > 0.9


def test_cells_inside_an_outline():
    square = torch.tensor([(2.0, 1.0), (6.0, 1.0), (6.0, 4.0), (2.0, 4.0)])
    cells = inside(square, 8, 8)
    assert cells[1:4, 2:6].all() and cells.sum() == 12
    assert inside(square / 100, 8, 8).sum() == 1  # a face smaller than a cell


def test_the_head_of_a_much_larger_face_is_in_front():
    large, small = (
        torch.tensor([(x - r, 50.0), (x, 50 - r), (x + r, 50.0), (x, 50 + r)]) for x, r in ((40, 20), (75, 8))
    )
    before = heads_before([large, small], [30.0, 12.0], 100, 100)
    assert before[0, 50, 65] == 0 and before[1, 50, 65] == 1  # between the two ovals
    assert (before[:, 50, 80] == -1).all()
    assert (heads_before([large, small], [30.0, 28.0], 100, 100) == -1).all()
