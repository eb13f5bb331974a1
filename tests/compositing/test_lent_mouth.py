"""The inside of a mouth that another picture lends: where it is shown, and which picture lends it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lender import lender, may_lend, relit
from portraittalk.compositing.lent_mouth import lent_interior, lent_mouth
from portraittalk.compositing.light import light_on
from portraittalk.compositing.mouth_window import close_up_of
from portraittalk.face.align import eye_distance
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from portraittalk.models.face_basis import load_basis
from portraittalk.types import MouthInside, MouthWindow, View

SIZE = 256
BASIS = load_basis()
CHIN = (152, 148, 377, 176, 400)
HANGS, DARK, STANDS, SKIN = (0.9, 0.9, 0.2), (0.05, 0.05, 0.05), (0.2, 0.9, 0.9), (0.7, 0.5, 0.4)
WHOLE = MouthWindow(torch.zeros(2), 1.0)


def face(opened: float = 0.0, jaw: float = 0.0) -> Tensor:
    """Landmarks (478, 3) of a face whose lower lip is ``opened`` pixels below the upper one, and the chin ``jaw``."""
    landmarks = face_in_box((40.0, 40.0, 216.0, 216.0)).landmarks.clone()
    middle = landmarks[list(LIPS_INNER_UPPER), 1].mean()
    landmarks[list(LIPS_INNER_UPPER + LIPS_INNER_LOWER), 1] = middle
    landmarks[list(LIPS_INNER_LOWER[1:-1]), 1] += opened
    landmarks[list(CHIN), 1] += jaw
    return landmarks


def upper_lip() -> int:
    return round(float(face()[13, 1]))


def picture(rows: tuple[int, int, int] = (6, 6, 12)) -> Tensor:
    """A face whose mouth shows so many rows of what hangs, of the dark and of what stands."""
    image, at = torch.tensor(SKIN)[:, None, None].repeat(1, SIZE, SIZE), upper_lip()
    for height, colour in zip(rows, (HANGS, DARK, STANDS), strict=True):
        image[:, at : at + height, 80:176] = torch.tensor(colour)[:, None, None]
        at += height
    return image


def inside(stands: bool = True) -> MouthInside:
    return MouthInside(torch.full((len(LIPS_INNER_UPPER),), 9 / 24), stands, True, None)


def shown(moved: Tensor, rest: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what a mouth that is open by 24 pixels lends to one frame, and how far that is known."""
    rest = face() if rest is None else rest
    lent = lent_mouth(View(picture(), face(24.0, 20.0), inside()), rest, BASIS.mean)
    pictures, known = lent_interior(lent, rest, moved[None], SIZE, BASIS.mean)
    return pictures[0], known[0, 0]


def column(values: Tensor) -> Tensor:
    """Return the middle column of the mouth, from the upper lip down."""
    return values[..., upper_lip() :, SIZE // 2]


def is_like(colours: Tensor, colour: tuple[float, float, float]) -> Tensor:
    return (colours - torch.tensor(colour)[:, None]).abs().amax(0) < 0.15


def test_the_same_opening_shows_the_same_mouth():
    colours, known = (column(v) for v in shown(face(24.0, 20.0)))
    assert is_like(colours[:, 3:5], HANGS).all() and is_like(colours[:, 8:10], DARK).all()
    assert is_like(colours[:, 15:20], STANDS).all() and known[3:20].min() > 0.9


def test_what_stands_rises_with_the_jaw_and_what_hangs_stays():
    """The dark between them goes first, whatever the lips leave open."""
    colours = column(shown(face(19.0, 15.0))[0])
    assert is_like(colours[:, 3:5], HANGS).all() and is_like(colours[:, 10:16], STANDS).all()


def test_a_wider_dark_is_left_to_the_painted_mouth():
    colours, known = (column(v) for v in shown(face(50.0, 52.0)))
    assert is_like(colours[:, 3:5], HANGS).all() and known[3:5].min() > 0.9
    assert known[16:26].max() < 0.1


def test_what_stands_follows_a_lip_that_opens_above_a_still_chin():
    """Whole crowns and gums would stand above the lip otherwise. The other picture shows 12 rows of what stands."""
    colours, known = (column(v) for v in shown(face(44.0, 20.0)))
    assert is_like(colours[:, 34:40], STANDS).all() and known[34:40].min() > 0.9
    assert not (is_like(colours[:, 10:28], STANDS) & (known[10:28] > 0.5)).any()


def test_nothing_is_lent_from_beyond_the_other_mouths_corners():
    wide, narrow = face(24.0, 20.0), face(24.0, 20.0)
    edges = list(LIPS_INNER_UPPER + LIPS_INNER_LOWER)
    middle = narrow[edges, 0].mean()
    narrow[edges, 0] = middle + (narrow[edges, 0] - middle) / 2
    lent = lent_mouth(View(picture(), narrow, inside()), face(), BASIS.mean)
    known = lent_interior(lent, face(), wide[None], SIZE, BASIS.mean)[1][0, 0, upper_lip() + 4]
    left, right = (narrow[corner, 0] for corner in (78, 308))
    across = torch.arange(SIZE) + 0.5
    assert known[(across < left) | (across > right)].max() < 0.05
    assert known[SIZE // 2] > 0.9


def test_no_lip_of_the_other_picture_is_lent():
    colours, known = shown(face(24.0, 20.0))
    is_skin = (colours - torch.tensor(SKIN)[:, None, None]).abs().amax(0) < 0.1
    assert (known * is_skin).max() < 0.05


def close_up(rows: tuple[int, int, int], density: float = 1.0, opened: float = 24.0):
    return close_up_of(
        picture(rows), face(opened, 20.0 if opened else 0.0), WHOLE, SIZE, density, light_on(SKIN_COLOUR)
    )


SKIN_COLOUR = torch.tensor(SKIN)[:, None, None]
PORTRAIT = close_up((0, 0, 0), opened=0.0)


@pytest.mark.parametrize("other", [close_up((3, 18, 3)), close_up((6, 6, 12), density=0.3)])
def test_the_picture_with_most_teeth_and_the_best_resolution_lends_its_mouth(other):
    number, chosen = lender({1: other, 2: close_up((6, 6, 12))}, PORTRAIT, SIZE, BASIS.mean)
    assert number == 2 and chosen.lent is not None and chosen.inside is not None


def test_a_mouth_must_be_open_further_than_the_portraits():
    assert may_lend(face(24.0), face()) and not may_lend(face(), face()) and not may_lend(face(24.0), face(24.0))
    slightly = 0.045 * float(eye_distance(face()))
    assert may_lend(face(slightly), face())  # a smile with closed teeth


def test_skin_gets_the_portraits_colour_and_equal_lights_change_nothing():
    colour = torch.tensor((0.5, 0.4, 0.35))[:, None, None]
    own, other = light_on(SKIN_COLOUR), light_on(colour)
    torch.testing.assert_close(relit(colour.expand(3, 2, 2), other, own), SKIN_COLOUR.expand(3, 2, 2))
    image = picture()
    torch.testing.assert_close(relit(image, own, own), image)


def test_a_clear_black_becomes_that_of_a_hazy_film():
    own = replace(light_on(SKIN_COLOUR), black=torch.tensor(0.3))
    other = replace(own, black=torch.tensor(0.02))
    black = relit(torch.full((3, 2, 2), 0.02), other, own)
    assert black.min() > 0.15 and black.max() < 0.3
