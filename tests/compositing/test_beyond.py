import pytest
import torch

from portraittalk.compositing.beyond import beyond_border

SIZE, BOX, MARGIN = (40, 60), (10, 8, 50, 30), 16


def person(shape):
    """Return the layers (4, H, W) of a grey person with this outline (H, W), 0 or 1."""
    return torch.cat((0.5 * shape.expand(3, -1, -1), 1 - shape[None]))


def ball(centre, radius, size=SIZE):
    rows, columns = (torch.arange(n) + 0.5 for n in size)
    return ((rows[:, None] - centre[0]).square() + (columns - centre[1]).square() < radius**2).float()


def test_within_the_picture_nothing_is_changed():
    pixels = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(0))
    shown = beyond_border(pixels, (0, 0), SIZE, BOX, MARGIN)
    assert shown.shape == (1, 4, 22 + 2 * MARGIN, 40 + 2 * MARGIN)
    assert torch.equal(shown[0, :, 8:48, 6:66], pixels)
    part = beyond_border(pixels[:, 2:], (0, 2), SIZE, (10, 20, 50, 24), MARGIN)
    assert torch.equal(part[0, :, :36, 6:66], pixels[:, 4:])


def test_a_picture_without_a_matte_is_mirrored():
    pixels = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    shown = beyond_border(pixels, (0, 0), SIZE, BOX, MARGIN)[0]
    assert torch.equal(shown[:, :8, 6:66], pixels[:, :8].flip(1))
    assert torch.equal(shown[:, 48:, 6:66], pixels[:, -6:].flip(1))
    assert torch.equal(shown[:, 8:48, :6], pixels[:, :, :6].flip(2))
    assert torch.equal(shown[:, 8:48, 66:], pixels[:, :, -6:].flip(2))


@pytest.mark.parametrize("cut", [1, 4, 10])
def test_the_outline_of_a_head_that_touches_the_upper_border_closes_above_it(cut):
    radius, size = 50, (160, 200)
    whole = person(ball((radius, 100), radius, size))
    shown = beyond_border(whole[:, cut:], (0, 0), (160 - cut, 200), (0, 0, 200, 160 - cut), 20)[0, :, :, 20:-20]
    closed, truth = 1 - shown[3, :20], torch.nn.functional.pad(1 - whole[3, :cut], (0, 0, 20 - cut, 0))
    assert (closed - truth).abs().sum() < 0.25 * max(truth.sum(), 100)
    assert closed.sum(1).diff().min() > -0.5  # ever narrower upwards
    assert torch.allclose(shown[:3, :20], 0.5 * closed.expand(3, -1, -1), atol=1e-5)


def test_no_second_head_is_above_one_that_nearly_touches_the_border():
    shape = ball((24, 30), 20)
    shown = beyond_border(person(shape), (0, 0), SIZE, (10, 0, 50, 40), MARGIN)
    assert (shown[0, 3, :MARGIN] == 1).all() and not shown[0, :3, :MARGIN].any()


def test_a_head_that_becomes_narrower_downwards_is_mirrored():
    """Such as one with a hat."""
    shape = torch.zeros(SIZE)
    for row in range(40):
        shape[row, row : 60 - row] = 1
    shown = beyond_border(person(shape), (0, 0), SIZE, (10, 0, 50, 40), MARGIN)[0, 3]
    assert torch.allclose(shown[:MARGIN], shown[MARGIN : 2 * MARGIN].flip(0), atol=1e-5)


def test_a_person_who_leans_goes_on_leaning():
    shape = torch.zeros(SIZE)
    for row in range(40):
        shape[row, 10 + row // 2 : 40 + row // 2] = 1
    shown = 1 - beyond_border(person(shape), (0, 0), SIZE, (10, 0, 50, 40), 8)[0, 3]
    at = torch.arange(shown.shape[1]) + 2.5  # in the picture
    middle = (shown * at).sum(1) / shown.sum(1)
    assert middle[0].item() == pytest.approx(25 - 4, abs=1)
