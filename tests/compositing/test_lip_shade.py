"""The dark line between lips that stand apart in the portrait and meet in a frame."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lip_shade import LipShade
from portraittalk.face import topology as mesh
from portraittalk.models.face_basis import load_basis

SIZE, EYE = 128, 170.0  # pixels
LOWER = [*mesh.LIPS_INNER_LOWER[1:-1], *mesh.LIPS_OUTER_LOWER[1:-1]]
LEFT, RIGHT = 78, 308  # corners between the lips


@pytest.fixture(scope="module")
def shut() -> Tensor:
    """The average face with the middle of its shut lips in the middle of a window: (478, 3) in pixels."""
    points = load_basis().mean * EYE
    upper, lower = list(mesh.LIPS_INNER_UPPER), list(mesh.LIPS_INNER_LOWER)
    points[lower, 1] = points[upper, 1]
    points[:, :2] += SIZE / 2 - points[[13, 14], :2].mean(0)
    return points


def parted(points: Tensor, gap: float) -> Tensor:
    """Return a face whose lower lip is a gap, in eye distances, below the upper one."""
    moved = points.clone()
    moved[LOWER, 1] += gap * EYE
    return moved


def test_lips_that_are_shut_in_the_portrait_have_a_line_of_their_own(shut):
    assert not LipShade(shut, SIZE).shows and LipShade(parted(shut, 0.1), SIZE).shows
    assert (LipShade(shut, SIZE)(torch.stack((shut, parted(shut, 0.1)))) == 1).all()


@pytest.mark.parametrize("gap", [0.015, 0.025, 0.04, 0.2])
def test_a_mouth_at_rest_is_not_darkened(shut, gap):
    rest = parted(shut, gap)
    assert (LipShade(rest, SIZE)(rest[None]) == 1).all()


def test_lips_that_meet_darken_along_their_line_alone(shut):
    shade = LipShade(parted(shut, 0.1), SIZE)(shut[None])
    assert shade.shape == (1, 3, SIZE, SIZE) and shade.min() > 0.2 and shade.max() <= 1
    column = shade[0, 1, :, SIZE // 2]
    assert abs(int(column.argmin()) - SIZE // 2) <= 1 and column.min() < 0.5
    assert column[: SIZE // 2 - 20].min() > 0.97 and column[SIZE // 2 + 10 :].min() > 0.97
    assert (
        column[SIZE // 2 + 1] < column[SIZE // 2 - 2]
    )  # as far below as above: the lower lip lies in the shade of the upper one
    left, right = (int(shut[corner, 0]) for corner in (LEFT, RIGHT))
    assert shade[0, :, :, : left - 2].min() == 1 and shade[0, :, :, right + 2 :].min() == 1


def test_the_line_comes_as_the_gap_closes(shut):
    gaps = (0.0, 0.01, 0.02, 0.03, 0.1, 0.15)
    frames = torch.stack([parted(shut, gap) for gap in gaps])
    shade = LipShade(parted(shut, 0.1), SIZE)(frames)
    darkest = shade.amin((1, 2, 3))
    assert (darkest[:3].diff() > 0.05).all() and (darkest[3:] > 0.99).all()


def test_the_line_is_as_soft_as_the_photograph(shut):
    rest = parted(shut, 0.1)
    sharp, soft = (LipShade(rest, SIZE, blur)(shut[None]) for blur in (0.0, 3.0))
    column = SIZE // 2
    assert soft[..., column].min() > sharp[..., column].min() + 0.1
    away = SIZE // 2 - 5  # pixels; on the upper lip
    assert soft[0, 1, away, column] < sharp[0, 1, away, column]
    assert float((1 - soft).sum()) == pytest.approx(float((1 - sharp).sum()), rel=0.1)  # no less dark in the whole
