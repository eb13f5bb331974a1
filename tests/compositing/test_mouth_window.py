"""The mouth window: where it lies, and that it shows what the warp of the whole crop shows there."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.draw import mouth_opening
from portraittalk.compositing.lent_mouth import lent_mouth
from portraittalk.compositing.mouth_window import (
    SIDE,
    MouthWindow,
    close_up,
    close_up_of,
    cut_window,
    drawn_region,
    mouth_window,
    moving_mouth,
    shown_pixels,
    shown_size,
    view_of,
    warp_window,
)
from portraittalk.compositing.teeth import load_dentition
from portraittalk.compositing.warp import flow_between, warp
from portraittalk.face.align import aligned_crop, extract_crop, eye_distance, to_crop
from portraittalk.face.rigid import rigid_fit
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER
from portraittalk.models.face_basis import load_basis
from portraittalk.types import MouthInside

SIZE, WINDOW = 256, 64
WHOLE = MouthWindow(torch.zeros(2), 1.0)


@pytest.fixture(scope="module")
def crop(portrait, portrait_face):
    return aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), SIZE)


@pytest.fixture(scope="module")
def picture(portrait, crop):
    return extract_crop(portrait[None], crop)[0]


@pytest.fixture(scope="module")
def landmarks(portrait_face, crop):
    return to_crop(portrait_face.landmarks, crop)


@pytest.fixture(scope="module")
def opened(landmarks):
    """(1, 478, 3): the same face with a dropped jaw."""
    basis = load_basis()
    facing, size, _ = rigid_fit(basis.mean, landmarks)
    return (landmarks + size * (0.5 * basis.expression[ARKIT_INDEX["jawOpen"]]) @ facing.T)[None]


@pytest.fixture(scope="module")
def window(landmarks):
    return mouth_window(landmarks, SIZE)


def test_the_window_holds_the_lips_shut_and_wide_open(landmarks, opened, window):
    for points in (landmarks, opened[0]):
        lips = window.to_pixels(points, SIZE, WINDOW)[list(LIPS_OUTER), :2]
        assert lips.min() > 0 and lips.max() < WINDOW


@pytest.mark.parametrize(
    ("enlarged", "times"), [(0.5, 1.0), (1.0, 1.0), (1.3, 1.5), (1.7, 1.5), (2.2, 2.0), (9.0, 2.0)]
)
def test_windows_have_the_density_of_the_photograph_up_to_twice_the_networks(portrait_face, enlarged, times):
    """A photograph in which the window is ``enlarged`` times as large as the network draws it."""
    side = WINDOW * enlarged
    unit = float((portrait_face.landmarks[33, :2] - portrait_face.landmarks[263, :2]).norm())
    points = portrait_face.landmarks * (side / (0.75 * unit))
    size = round(4 * side)
    crop = aligned_crop(points, (size, size), SIZE)
    assert shown_size(crop, WINDOW) == times * WINDOW
    shown = close_up(torch.zeros(3, size, size), crop, to_crop(points, crop), shown_size(crop, WINDOW))
    assert shown_pixels(shown) == times * WINDOW


def test_a_window_at_the_border_stays_inside():
    far = torch.zeros(478, 3)
    far[33, 0], far[263, 0] = 10.0, 112.0
    corner = mouth_window(far, SIZE).corner
    assert (corner >= 0).all() and (corner <= 1 - SIDE).all()


def test_pixels_of_the_window_and_of_the_crop_are_the_same_places(landmarks, window):
    """A picture that holds its own coordinates says where each pixel of the window was taken from."""
    centres = torch.arange(SIZE) + 0.5
    coordinates = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))[None] / SIZE
    taken = cut_window(coordinates, window, WINDOW)[0].permute(1, 2, 0) * SIZE
    back = window.to_pixels(torch.cat((taken, taken[..., :1]), -1), SIZE, WINDOW)[..., :2]
    own = torch.arange(WINDOW) + 0.5
    assert torch.allclose(back, torch.stack(torch.meshgrid(own, own, indexing="xy"), -1), atol=0.06)


def test_the_warped_window_is_the_window_of_the_warped_crop(picture, landmarks, opened, window):
    flow = flow_between(landmarks, opened, SIZE)
    whole = cut_window(warp(picture, flow), window, WINDOW)
    alone = warp_window(picture, WHOLE, flow, window, WINDOW)
    assert (whole - alone).abs().mean() < 0.01
    still = cut_window(picture[None], window, WINDOW)
    assert (whole - still).abs().mean() > 0.03


def test_a_part_of_the_reference_is_enough(picture, landmarks, opened, window):
    """The part twice as large as the window, at the same density, gives the same pixels as the whole crop."""
    left, top = ((window.corner - window.side / 2) * SIZE).floor().long().tolist()
    side = round(2 * window.side * SIZE)
    side = min(side, SIZE - left, SIZE - top)
    part = picture[:, top : top + side, left : left + side]
    covers = MouthWindow(torch.tensor([left, top]) / SIZE, side / SIZE)
    flow = flow_between(landmarks, opened, SIZE)
    whole = warp_window(picture, WHOLE, flow, window, WINDOW)
    assert torch.allclose(whole, warp_window(part, covers, flow, window, WINDOW), atol=1e-3)


def test_what_is_drawn_covers_the_opening_and_ends_before_the_border(opened, window):
    region = drawn_region(window.to_pixels(opened, SIZE, WINDOW), WINDOW)
    opening = mouth_opening(window.to_pixels(opened, SIZE, WINDOW), WINDOW)
    assert region[opening > 0.99].min() > 0.7
    assert region[..., 0, :].max() < 0.1 and region[..., :, 0].max() < 0.1
    assert region.min() >= 0 and region.max() <= 1


def paint_none_of(monkeypatch, row: str) -> None:
    """Leave the upper or the lower teeth out of what is painted."""
    dentition = load_dentition()
    bare = replace(dentition, **{row: torch.zeros_like(getattr(dentition, row))})
    monkeypatch.setattr("portraittalk.compositing.mouth_window.load_dentition", lambda device: bare)


def test_no_upper_teeth_are_painted_below_those_that_the_portrait_shows(picture, opened, monkeypatch):
    """Own teeth follow a lip that rises far; the painted ones stay, and would come out below them."""
    basis, further = load_basis(), opened.clone()
    further[:, LIPS_INNER_UPPER[1:-1], 1] -= 15
    further[:, LIPS_INNER_LOWER[1:-1], 1] += 10
    shown, window = close_up_of(picture, opened[0], WHOLE, SIZE), mouth_window(opened[0], SIZE)
    upper, lower = (opened[0, list(edge), 1] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    ends = 0.045 * eye_distance(opened[0]) / (lower - upper).clamp_min(1)

    def mouth(exact: bool):
        known = replace(shown, inside=MouthInside(ends, False, exact, None))
        return moving_mouth((known,), further, None, window, WINDOW, SIZE, 64, basis.mean)[0]

    exact, other = mouth(True), mouth(False)
    paint_none_of(monkeypatch, "upper")
    assert torch.equal(exact, mouth(True))
    assert (other - mouth(False)).abs().max() > 0.1


def test_no_lower_teeth_are_painted_where_a_picture_shows_some(picture, landmarks, opened, monkeypatch):
    """The portrait's lips are shut, and the mouth of another picture shows what stands on the lower lip, or does not.

    Beyond the corners of that mouth, its rows go on with painted teeth.
    """
    basis, window = load_basis(), mouth_window(landmarks, SIZE)
    portrait, other = (close_up_of(picture, points, WHOLE, SIZE) for points in (landmarks, opened[0]))
    lent, wider = lent_mouth(view_of(other, SIZE), landmarks, basis.mean), 2 * opened - landmarks

    def mouth(stands: bool):
        edge = lent.standing if stands else lent.bottom
        known = replace(other, lent=replace(lent, stands=stands, standing=edge))
        mouths = moving_mouth((portrait, known), wider, None, window, WINDOW, SIZE, 64, basis.mean)[0]
        return mouths[..., WINDOW // 2 - 8 : WINDOW // 2 + 8]

    stands, hangs = mouth(True), mouth(False)
    paint_none_of(monkeypatch, "lower")
    assert torch.equal(stands, mouth(True))
    assert (hangs - mouth(False)).abs().max() > 0.1


def test_the_portraits_own_teeth_do_not_shine_through_beside_the_lips(picture, landmarks, opened, window):
    """What is painted covers the pixels that lips share with them; lips that were shut keep their soft edges."""
    wider, basis = 1.5 * opened - 0.5 * landmarks, load_basis()
    opening = mouth_opening(window.to_pixels(wider, SIZE, WINDOW), WINDOW)
    for points, edge in ((landmarks, 0.75), (opened[0], 0.5)):
        known = close_up_of(picture, points, WHOLE, SIZE)
        if edge == 0.5:  # teeth that end at the upper lip: everything below is painted
            known = replace(known, inside=MouthInside(torch.zeros(len(LIPS_INNER_UPPER)), False, False, None))
        _, weight = moving_mouth((known,), wider, None, window, WINDOW, SIZE, 64, basis.mean)
        covered = weight[opening >= edge].median(), weight[(opening > 0.5) & (opening < 0.75)].max()
        assert covered[0] == 1 and (covered[1] == 1) == (edge == 0.5)
