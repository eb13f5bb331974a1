"""The edges of mouth and eyes: what lies above, below and behind them."""

import pytest
import torch

from portraittalk.compositing.openings import (
    LEFT,
    MOUTH,
    RIGHT,
    above_lashes,
    behind_openings,
    nearness,
    one_sided,
    sides,
    tucked_lips,
)
from portraittalk.face import topology as mesh
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import rotation_matrix

CENTRES = (torch.arange(128) + 0.5) / 128
UPPER_LIP, LOWER_LIP = list(mesh.LIPS_INNER_UPPER), list(mesh.LIPS_INNER_LOWER)


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    """The average face in the canonical crop, as fractions of its side: (478, 2)."""
    return load_basis().mean[:, :2] * 0.4 + torch.tensor([0.5, 0.34])


@pytest.fixture(scope="module")
def opened(points) -> torch.Tensor:
    moved = points.clone()
    moved[[*LOWER_LIP[1:-1], *mesh.LIPS_OUTER_LOWER[1:-1]], 1] += 0.06
    return moved


def at(field, point):
    """Channels of a field (1, C, g, g) in the cell of a point (2,)."""
    column, row = (point * len(CENTRES)).long().tolist()
    return field[0, :, row, column]


def test_lips_and_lids_lie_on_their_side(points, opened):
    field = sides(opened[None], CENTRES)
    middle = (opened[13] + opened[14]) / 2
    assert (at(field, middle) < -0.02).all()
    for above in (opened[0], opened[10], opened[27]):  # upper lip, forehead, the fold of the lid
        assert at(field, above)[0] > 0 > at(field, above)[1]
    for below in (opened[17], opened[152], opened[23]):  # lower lip, chin, below the eye
        assert at(field, below)[1] > 0 > at(field, below)[0]


def test_nothing_lies_inside_where_two_openings_meet(opened):
    """Between eyes and mouth a cell is below the ones and above the other, and nowhere inside of either."""
    fine = torch.nn.functional.interpolate(sides(opened[None], CENTRES), scale_factor=8, mode="bilinear")
    inside = fine.amax(1)[0] < 0
    rows = slice(int(0.45 * len(inside)), int(0.6 * len(inside)))
    assert inside.any()
    assert not inside[rows].any()


def test_an_opening_ends_at_its_corners_between_cells_too(opened):
    """What is behind a mouth is not seen beside it, however coarse the cells are."""
    coarse = (torch.arange(64) + 0.5) / 64
    fine = torch.nn.functional.interpolate(sides(opened[None], coarse), scale_factor=16, mode="bilinear")
    columns = (fine.amax(1)[0][640:] < 0).any(0).nonzero()[:, 0] / fine.shape[-1]  # below the nose
    left, right = sorted(float(opened[corner, 0]) for corner in (78, 308))
    assert left - 0.001 < columns.min() < left + 0.008
    assert right - 0.008 < columns.max() < right + 0.001


def test_edges_that_cross_leave_no_opening(points):
    crossed = points.clone()
    crossed[LOWER_LIP[1:-1]] = points[UPPER_LIP[1:-1]] - torch.tensor([0.0, 0.01])
    field = sides(crossed[None], CENTRES)
    mouth = slice(int(0.6 * len(CENTRES)), None)
    assert field[0, :, mouth].amax(0).min() > -1e-6


def test_sheets_are_apart_at_the_edges_alone(opened):
    near = nearness(opened[None], CENTRES)
    assert at(near, (opened[13] + opened[14]) / 2) == 1
    assert at(near, opened[159]) == 1  # a lid
    for far in (opened[5], opened[10], opened[152], opened[234]):  # nose, forehead, chin, beside the face
        assert at(near, far) == 0


def test_what_is_far_from_an_opening_moves_with_both_sheets(points):
    above, below = one_sided(points).bool().unbind(1)
    assert above[UPPER_LIP].all() and not above[LOWER_LIP[1:-1]].any()
    assert below[LOWER_LIP].all() and not below[UPPER_LIP[1:-1]].any()
    assert above[[0, 37, 267]].all() and not below[[0, 37, 267]].any()  # the upper lip's outer edge
    assert (above & below)[[10, 152, 5, 234, 454]].all()
    assert (above & below).sum() > 250


def test_behind_an_opening_nothing_moves_but_with_the_skull(points, opened):
    """Closing half way shows half of what was there, and the whole head shifting takes it along."""
    shift = torch.tensor([0.02, -0.01])
    half = opened.clone()
    half[LOWER_LIP[1:-1]] = (opened[LOWER_LIP[1:-1]] + opened[UPPER_LIP[1:-1]]) / 2
    seen, shown = behind_openings(opened[None], torch.stack((half, half + shift)))
    torch.testing.assert_close(shown[0], seen[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(shown[1], seen[1] - shift, atol=1e-4, rtol=0)


@pytest.mark.parametrize("yaw", [-0.8, 0.8])
def test_behind_the_far_eye_of_a_head_seen_from_the_side_nothing_moves(yaw):
    """Its edges run beyond the corner and back."""
    mean = load_basis().mean
    turned = mean @ rotation_matrix(torch.tensor([0.1, yaw, 0.05])).T
    aside = turned[:, :2] * 0.4 + torch.tensor([0.5, 0.34])
    backwards = [(aside[list(eye.upper)].diff(dim=0)[:, 0] < 0).any() for eye in (RIGHT, LEFT)]
    assert any(backwards)
    seen, shown = behind_openings(aside[None], aside[None])
    torch.testing.assert_close(shown, seen, atol=1e-5, rtol=0)


def test_an_opening_wider_than_the_references_is_stretched_to_its_edges(points, opened):
    _, shown = behind_openings(points[None], opened[None])
    lips = points[UPPER_LIP + LOWER_LIP, 1]
    mouth = shown[0, 10 : 10 + 5 * len(UPPER_LIP), 1]
    assert mouth.min() > lips.min() - 1e-4
    assert mouth.max() < lips.max() + 1e-4


def test_the_eye_looks_where_its_iris_goes(points):
    """What is seen near the iris shifts by all of its way; at the corners of the eye nothing does."""
    looking, way = points.clone(), torch.tensor([0.008, 0.0])
    looking[list(RIGHT.iris)] += way
    seen, still = behind_openings(points[None], points[None])
    at, shown = behind_openings(points[None], looking[None])
    lids = slice(10 + 5 * len(MOUTH.upper), 10 + 5 * (len(MOUTH.upper) + len(RIGHT.upper)))
    from_iris = (at[0, lids] - looking[RIGHT.iris[0]]).norm(dim=-1)
    moved = (still - shown)[0, lids]
    nearest = from_iris.argsort()[:5]
    torch.testing.assert_close(moved[nearest], way.expand(5, 2), atol=2e-3, rtol=0)
    corners = ((seen[0, lids] - points[133]).norm(dim=-1) < 1e-5) | ((seen[0, lids] - points[33]).norm(dim=-1) < 1e-5)
    assert corners.any() and moved[corners].abs().max() < 1e-4


def test_lips_that_close_hide_their_edges_and_others_do_not(opened):
    shut = opened.clone()
    middle = (opened[UPPER_LIP] + opened[LOWER_LIP]) / 2
    shut[UPPER_LIP], shut[LOWER_LIP] = middle, middle
    tucked = tucked_lips(opened[None], torch.stack((opened, shut)))
    assert torch.equal(tucked[0], opened)
    moved = (tucked[1] - opened)[:, 1]
    assert moved[13] < -0.003
    assert moved[14] > 0.003
    assert moved[[78, 308, 0, 17]].abs().max() == 0
    assert torch.equal(tucked_lips(shut[None], opened[None])[0], shut)  # lips that are closed have nothing to hide


@pytest.fixture(scope="module")
def widened(points) -> torch.Tensor:
    """Eyes that are open by half as much again."""
    moved = points.clone()
    for eye in (RIGHT, LEFT):
        upper, lower = list(eye.upper[1:-1]), list(eye.lower[1:-1])
        moved[upper, 1] -= 0.5 * (points[lower, 1] - points[upper, 1])
    return moved


def test_the_iris_of_a_widened_eye_shows_nothing_of_the_lid(points, widened):
    """Its upper edge, which the lid hid, is uncovered: what fills it was seen below the lid."""
    top = RIGHT.iris.index(min(RIGHT.iris, key=lambda point: float(points[point, 1])))
    lid = points[list(RIGHT.upper[2:-2]), 1].min()
    assert points[RIGHT.iris[top], 1] < lid + 0.002
    _, shown = behind_openings(points[None], torch.stack((points, widened)))
    torch.testing.assert_close(shown[0, :5], points[list(RIGHT.iris)], atol=1e-4, rtol=0)
    assert shown[1, top, 1] > lid
    assert (shown[1, :5, 0] - shown[0, :5, 0]).abs().max() < 1e-4


def test_lashes_go_with_the_lid_of_an_eye_that_widens_and_of_no_other(points, widened, opened):
    narrowed = 2 * points - widened
    ends = torch.stack((points, opened, narrowed, widened))
    start, end = above_lashes(points[None], ends)
    assert torch.equal(start[:3], points.expand(3, -1, -1)) and torch.equal(end[:3], ends[:3])
    lids = [point for eye in (RIGHT, LEFT) for point in eye.upper[1:-1]]
    assert (start[3] - points)[lids, 1].min() > 0
    torch.testing.assert_close(end[3] - start[3], widened - points, atol=1e-5, rtol=0)
    for eye in (RIGHT, LEFT):
        assert (start[3, list(eye.upper[1:-1]), 1] < start[3, list(eye.lower[1:-1]), 1]).all()
    others = torch.ones(len(points), dtype=torch.bool)
    others[lids] = False
    assert torch.equal(start[3, others], points[others])
