"""What shows nothing but background beside a person is found by its colours."""

import pytest
import torch
from hidden_background import places
from torch import Tensor

from portraittalk.compositing.bare_background import bare_background

SIZE, EYE, RIM = 240, 60.0, 2


def scene(boards: bool = True, fog: float = 20, thickest: float = 0.4) -> tuple[Tensor, Tensor, Tensor]:
    """Return a dark head (a disc) before a wall of boards, or a plain one, with a panel, a matte that is faint for some
    pixels around the head, and the head's true matte."""
    y, x = places(SIZE)
    dark = ((y % 24) < 12) & boards
    wall = torch.where(dark, *(torch.tensor(c)[:, None, None] for c in ((0.7, 0.62, 0.5), (0.85, 0.8, 0.7))))
    panel = torch.tensor([0.05, 0.15, 0.6])[:, None, None]
    background = torch.where((x > 170) & (y > 60), panel, wall) + 0.01 * torch.randn(
        3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)
    )
    away = ((y - 120).square() + (x - 110).square()).sqrt() - 50
    head = (away < 0).float()[None]
    matte = torch.maximum(head, (thickest * (1 - away / fog)).clamp(0, thickest)[None])
    return background.lerp(torch.tensor([0.25, 0.15, 0.1])[:, None, None].expand(3, SIZE, SIZE), head), matte, head


def test_boards_and_a_panel_in_a_faint_matte_are_background():
    picture, matte, head = scene()
    bare = bare_background(picture, matte, EYE, RIM)
    y, x = places(SIZE)
    away = ((y - 120).square() + (x - 110).square()).sqrt() - 50
    edge = ((x - 170).abs() < 2) & (y > 58)
    fog = (away > 4) & ~edge & (((y + 2) % 12) > 3)
    assert ((matte > 0.2)[0] & fog).sum() > 1000  # the matte takes these for a part of the person
    assert bare[0, fog].mean() > 0.99
    assert bare[head > 0].max() == 0
    assert torch.equal(bare, bare_background(picture, matte, EYE, RIM))


def test_locks_and_earrings_that_the_matte_hardly_sees_are_not():
    picture, matte, _ = scene()
    y, x = places(SIZE)
    lock = (x - 110).abs() < 5
    lock = lock & (y < 70) & (y > 57)
    earring = (y - 180).square() + (x - 140).square() < 5**2
    for thing, colour in ((lock, (0.25, 0.15, 0.1)), (earring, (0.05, 0.15, 0.6))):  # as the panel
        shown = torch.where(thing, torch.tensor(colour)[:, None, None], picture)
        middle = thing & (bare_background(picture, matte, EYE, RIM)[0] > 0.9)
        assert middle.sum() > 30
        assert bare_background(shown, matte, EYE, RIM)[0, middle].mean() < 0.1


def test_a_plain_wall_is_left_to_be_filled_in_where_there_may_be_hair():
    picture, matte, head = scene(boards=False)
    y, x = places(SIZE)
    bare = bare_background(picture, matte, EYE, RIM)
    assert bare[0, ((matte > 0) & (head == 0))[0] & (x < 120)].max() < 0.1
    assert bare[0, ((y - 120).square() + (x - 110).square()).sqrt() > 75].min() == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(3, 5), (40, 40)])
def test_mattes_without_a_border(share: float, size: tuple[int, int]):
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    bare = bare_background(picture, torch.full((1, *size), share), 8.0, 1)
    assert bare.isfinite().all() and bare.shape == (1, *size)
    assert bare.min() == 1 if share == 0 else bare.max() == 0
