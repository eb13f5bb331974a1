"""The light that closed lips get back as they part."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.mouth_window import close_up_of
from portraittalk.compositing.seam_light import SeamLight, light_beside_seam
from portraittalk.compositing.warp import flow_between
from portraittalk.face import topology as mesh
from portraittalk.models.face_basis import load_basis
from portraittalk.types import MouthWindow

SIZE, EYE = 256, 170.0  # pixels
WHOLE = MouthWindow(torch.zeros(2), 1.0)
LOWER = [*mesh.LIPS_INNER_LOWER[1:-1], *mesh.LIPS_OUTER_LOWER[1:-1]]
UPPER_LIP, LOWER_LIP, DEPTH = 0.4, 0.6, 0.5  # brightness of lips, and share that the line between them takes
WIDTH = 1.5  # pixels, standard deviation of that line


@pytest.fixture(scope="module")
def shut() -> Tensor:
    """The average face with the middle of its shut lips in the middle of a picture: (478, 3) in pixels."""
    points = load_basis().mean * EYE
    points[list(mesh.LIPS_INNER_LOWER), 1] = points[list(mesh.LIPS_INNER_UPPER), 1] = SIZE / 2
    points[:, :2] += SIZE / 2 - points[[13, 14], :2].mean(0)
    return points


@pytest.fixture(scope="module")
def lips() -> Tensor:
    """A darker lip above a brighter one, with a dark line where they meet: (3, SIZE, SIZE)."""
    down = torch.arange(SIZE) + 0.5 - SIZE / 2
    lit = torch.where(down < 0, UPPER_LIP, LOWER_LIP)
    column = lit * (1 - DEPTH * torch.exp(-0.5 * (down / WIDTH).square()))
    return column[:, None].expand(3, SIZE, SIZE).contiguous()


def parted(points: Tensor, gap: float) -> Tensor:
    """Return a face whose lower lip is a gap, in eye distances, below the upper one."""
    moved = points.clone()
    moved[LOWER, 1] += gap * EYE
    return moved


def test_each_lip_gets_back_most_of_what_the_line_takes_from_it(lips, shut):
    light = light_beside_seam(lips, shut)
    column, seam = (lips + light)[1, :, SIZE // 2], SIZE // 2
    taken = lips[1, :, SIZE // 2]
    above, below = seam - 1, seam
    assert (column[above] - taken[above]) / (UPPER_LIP - taken[above]) == pytest.approx(0.6, abs=0.1)
    assert (column[below] - taken[below]) / (LOWER_LIP - taken[below]) == pytest.approx(0.9, abs=0.1)
    assert column[: seam - 12].sub(UPPER_LIP).abs().max() < 0.01 and column[seam + 12 :].max() < LOWER_LIP + 0.01


def test_the_corners_of_the_mouth_stay_dark(lips, shut):
    light = light_beside_seam(lips, shut)
    left, right = (int(shut[corner, 0]) for corner in (78, 308))
    assert light[..., : left + 1].max() == 0 and light[..., right:].max() == 0
    assert light[1, SIZE // 2, left + 4] < 0.2 * light[1, SIZE // 2, SIZE // 2]


def test_lips_without_a_line_and_parted_lips_get_nothing(lips, shut):
    flat = torch.full_like(lips, 0.5)
    assert light_beside_seam(flat, shut).abs().max() < 1e-6
    assert light_beside_seam(lips, parted(shut, 0.1)).max() < 0.01


@pytest.mark.parametrize("gap", [0.0, 0.015, 0.025, 0.1])
def test_a_mouth_at_rest_does_not_change(lips, shut, gap):
    rest = parted(shut, gap)
    light = SeamLight(close_up_of(lips, rest, WHOLE, SIZE), SIZE)
    assert light(rest[None], flow_between(rest, rest[None], SIZE), WHOLE, SIZE).abs().max() < 1e-6


def test_the_light_comes_as_lips_part_and_moves_with_them(lips, shut):
    light = SeamLight(close_up_of(lips, shut, WHOLE, SIZE), SIZE)
    gaps = (0.0, 0.01, 0.02, 0.06)
    frames = torch.stack([parted(shut, gap) for gap in gaps])
    shown = light(frames, flow_between(shut, frames, SIZE), WHOLE, SIZE)
    assert light.shows and shown.shape == (4, 3, SIZE, SIZE)
    column = shown[:, 1, :, SIZE // 2]
    assert column[0].max() == 0 and (column.amax(1).diff() > 0.01).all()
    lip = round(SIZE / 2 + gaps[-1] * EYE)
    assert abs(int(column[-1].argmax()) - lip) <= 2  # the brighter lip takes most, and has moved
    assert column[-1, SIZE // 2 - 2] > 0.02  # the upper one has not


def test_lip_takes_the_place_of_a_strip_of_teeth(shut):
    """It would go with the upper lip, as a ragged rim."""
    seam, strip, lip = SIZE // 2, 5, torch.tensor((0.7, 0.4, 0.4))
    picture = lip[:, None, None].repeat(1, SIZE, SIZE)
    teeth = picture[:, seam - strip : seam, 104:152]
    teeth[:] = torch.tensor((0.8, 0.76, 0.7))[:, None, None]
    teeth[..., ::6] *= 0.2
    mended = picture + light_beside_seam(picture, shut)
    assert (mended[:, seam - strip : seam - 1, 110:146] - lip[:, None, None]).abs().max() < 0.05
    assert torch.equal(mended[:, : seam - 20], picture[:, : seam - 20])
