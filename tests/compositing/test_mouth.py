"""What shows between opening lips: the portrait's own mouth, another reference's, or nothing but stretched lip."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.draw import mouth_opening
from portraittalk.compositing.mouth import (
    FURTHER,
    PARTED,
    borrow_mouth,
    open_mouth,
    shows_teeth,
    stretched_mouth,
    unstretched,
    unstretched_mouth,
)
from portraittalk.compositing.mouth_inside import mouth_inside
from portraittalk.compositing.warp import flow_between, warp
from portraittalk.face.align import eye_distance
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from portraittalk.motion.geometry import SHOWS_TEETH, lip_aperture
from portraittalk.types import MouthInside, View

SIZE = 256
MIDDLE = (0, slice(None), 156, 128)  # of the mouth
CLOSED = torch.tensor(0.0)


def face(gap: float) -> Tensor:
    """Landmarks (1, 478, 3) of a face whose lips are ``gap`` pixels apart."""
    landmarks = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks.clone()[None]
    landmarks[:, list(LIPS_INNER_LOWER[1:-1]), 1] = 150.0 + gap
    landmarks[:, list(LIPS_INNER_UPPER), 1] = 150.0
    return landmarks


def pictures(*, light: float = 1.0) -> Tensor:
    """A portrait of grey skin, and one in another light, whose open mouth is green."""
    grey = torch.full((3, SIZE, SIZE), 0.4)
    other = light * grey
    other[:, 150:162, 100:156] = light * torch.tensor([0.1, 0.5, 0.1])[:, None, None]
    return torch.stack((grey, other))


def stretched(landmarks: Tensor, portrait_aperture: Tensor) -> Tensor:
    return stretched_mouth(mouth_opening(landmarks, SIZE), landmarks, portrait_aperture)


def test_only_what_closed_lips_are_stretched_over_is_replaced():
    opened = face(gap=12.0)
    replaced = stretched(opened, CLOSED)
    assert replaced.shape == (1, 1, SIZE, SIZE)
    assert replaced[0, 0, 154:158, 126:130].min() > 0.8  # the middle of the mouth
    assert replaced[0, 0, :130].max() == 0 and replaced[0, 0, 180:].max() == 0
    assert stretched(opened, lip_aperture(opened)[0]).max() == 0
    assert stretched(face(gap=0.0), CLOSED).max() < 0.01


def test_a_portrait_keeps_the_mouth_that_it_shows_and_closed_lips_leave_none():
    opened = face(gap=12.0)
    asked = lip_aperture(opened)[0]
    ajar, wide = 0.4 * SHOWS_TEETH, 1.6 * SHOWS_TEETH
    assert asked - ajar > PARTED and asked > 1.2 * wide
    assert stretched(opened, torch.tensor(ajar))[MIDDLE] > 0.99
    assert stretched(opened, torch.tensor(wide))[MIDDLE] > 0.99
    share = stretched(opened, asked / (1 + (FURTHER - 1) / 2))[MIDDLE]
    assert abs(share - 0.5) < 0.05


def test_the_widest_mouth_of_the_references_is_found():
    landmarks = torch.cat((face(0.0), face(4.0), face(12.0)))
    references = torch.stack((*pictures(), pictures()[1]))
    found = open_mouth(references, landmarks)
    assert found is not None and torch.equal(found.landmarks, landmarks[2])
    assert open_mouth(references[:1], landmarks[:1]) is None
    assert open_mouth(references[:2], landmarks[[0, 0]]) is None  # none is open
    assert open_mouth(references, landmarks[[2, 0, 1]]) is None  # the portrait's own is
    assert open_mouth(references, landmarks[[2, 2, 2]]) is None  # and the others show no more


def test_closed_lips_open_over_the_mouth_of_another_reference_in_the_portraits_light():
    landmarks = torch.cat((face(0.0), face(12.0)))
    references = pictures(light=0.6)
    mouth, portrait = open_mouth(references, landmarks), View(references[0], landmarks[0])
    assert mouth is not None
    shown, borrowed = borrow_mouth(references[:1], face(10.0), portrait, mouth, 64)
    torch.testing.assert_close(shown[MIDDLE], torch.tensor([0.1, 0.5, 0.1]), atol=0.02, rtol=0)
    assert borrowed[MIDDLE] > 0.99
    torch.testing.assert_close(shown[..., :140, :], references[:1, :, :140])  # nothing but the mouth
    shown, borrowed = borrow_mouth(references[:1], face(0.0), portrait, mouth, 64)
    assert borrowed.max() < 0.01
    further = borrow_mouth(references[:1], face(24.0), portrait, mouth, 64)[1][0, 0, :, 128]
    assert further[152:161].min() > 0.9 and further[168:].max() < 0.1  # it shows half as much


def mouth_of(*, dark: bool) -> Tensor:
    """A picture (3, S, S) of a mouth from row 150 to 170, full of teeth or with a dark gap behind the upper ones."""
    picture = torch.full((3, SIZE, SIZE), 0.4)
    picture[:, 150:170] = 0.9
    if dark:
        picture[:, 160:164] = 0.1
    return picture


def test_a_mouth_that_opens_further_than_it_was_seen_keeps_its_height():
    known, opened = face(gap=20.0)[0], face(gap=40.0)
    down = ((torch.arange(SIZE) + 0.5 - 150) / 40).clamp(0, 1)
    stretched = down[:, None].expand(1, 3, SIZE, SIZE)
    shown, kept = unstretched(stretched, opened, View(mouth_of(dark=True), known))
    column, kept = shown[0, 0, :, 128], kept[0, 0, :, 128]
    upper, lower = slice(151, 150 + 10), slice(150 + 34, 189)
    torch.testing.assert_close(column[upper], 2 * down[upper], atol=0.01, rtol=0)
    torch.testing.assert_close(1 - column[lower], 2 * (1 - down[lower]), atol=0.01, rtol=0)
    assert kept[upper].min() > 0.99 and kept[lower].min() > 0.99 and kept[172] < 0.01  # between them nothing is known
    torch.testing.assert_close(column[:149], stretched[0, 0, :149, 128])
    same = unstretched(stretched, opened, View(mouth_of(dark=True), face(gap=44.0)[0]))[0]
    torch.testing.assert_close(same, stretched)


def test_the_shadow_of_teeth_on_the_lower_lip_is_no_lower_teeth():
    """A smile with its upper teeth at rows 150 to 165, their shadow, and a rim of red lip; it opens to 48 rows."""
    known, opened = face(gap=20.0)[0], face(gap=48.0)
    seen = torch.zeros(3, SIZE, SIZE)
    seen[:, 150:165] = 0.8
    seen[:, 168:] = torch.tensor([0.6, 0.2, 0.2])[:, None, None]
    smile = View(seen, known)
    warped = warp(seen, flow_between(known, opened, SIZE))
    kept = unstretched(warped, opened, smile)[1]
    found = mouth_inside(smile)
    same, other = (replace(smile, inside=inside) for inside in (found, replace(found, ends=found.ends / 2)))
    assert torch.equal(unstretched(warped, opened, same)[1], kept)
    assert not torch.equal(unstretched(warped, opened, other)[1], kept)  # what is known is not looked for again
    assert kept[0, 0, 152:160, 128].min() > 0.99
    assert kept[0, 0, 180:196, 128].max() == 0  # unknown down to the lower lip: something is painted there
    still, whole = unstretched(seen[None], known[None], smile)
    torch.testing.assert_close(still[0], seen, atol=1e-5, rtol=0)
    assert whole[0, 0, 151:169, 128].min() == 1  # a smile that does not open is left as it is
    seen[:, 168:] = 0.7  # lower teeth
    assert unstretched(warped, opened, smile)[1][0, 0, 195:197, 128].min() > 0.9


def test_teeth_that_fill_a_mouth_are_not_cut():
    known, opened = face(gap=20.0)[0], face(gap=40.0)
    kept = unstretched(torch.zeros(1, 3, SIZE, SIZE), opened, View(mouth_of(dark=False), known))[1][0, 0, :, 128]
    assert kept[151:170].min() > 0.99 and kept[175:189].max() < 0.01


def test_a_portraits_own_teeth_are_not_drawn_out():
    own, opened = face(gap=12.0), face(gap=24.0)
    seen = pictures()[1:]
    seen[:, :, 150:154] = 1.0  # teeth
    portrait = View(seen[0], own[0])
    warped = torch.nn.functional.interpolate(seen[:, :, 150:162], (24, SIZE), mode="nearest")
    warped = torch.cat((seen[:, :, :150], warped, seen[:, :, 174:]), 2)
    shown, borrowed = borrow_mouth(warped, opened, portrait, None, 64)
    assert warped[0, 0, 155:158, 128].min() > 0.9 and shown[0, 0, 155, 128] < 0.3
    assert (
        borrowed[0, 0, 151:155, 128].min() > 0.9 and borrowed[0, 0, 160, 128] < 0.1 and borrowed[0, 0, 170, 128] > 0.9
    )
    assert borrow_mouth(seen, own, portrait, None, 64)[1].max() == 0
    assert borrow_mouth(seen, own, View(seen[0], face(0.0)[0]), None, 64)[1].max() == 0  # closed lips show none


@pytest.mark.parametrize("gap", [20.0, 20.4, 21.0, 22.0, 30.0])
def test_teeth_of_a_smile_stay_its_own_however_far_it_opens(gap):
    """Only what the smile does not show, at the lower lip, is to be painted: no fade from one's teeth to others."""
    own, opened = face(gap=20.0)[0], face(gap=gap)
    seen = mouth_of(dark=False)
    seen[:, 152:156] = 1.0  # a mark on the teeth
    stretched = torch.nn.functional.interpolate(seen[None, :, 150:170], (round(gap), SIZE), mode="bilinear")
    warped = torch.cat((seen[None, :, :150], stretched, seen[None, :, 170 + round(gap) - 20 :]), 2)[:, :, :SIZE]
    opening = mouth_opening(opened, SIZE)
    apertures = lip_aperture(own), lip_aperture(opened)
    shown, unknown = unstretched_mouth(warped, opened, View(seen, own), opening, *apertures)
    assert unknown[0, 0, 151:168, 128].max() < 0.02
    assert shown[0, 0, 152:156, 128].min() > 0.93 and shown[0, 0, 158:168, 128].max() < 0.93
    assert (unknown.max() > 0.9) == (gap > 25)


def test_what_closed_lips_do_not_show_is_everything_between_them():
    own, opened = face(gap=0.0)[0], face(gap=20.0)
    warped, opening = torch.rand(1, 3, SIZE, SIZE), mouth_opening(opened, SIZE)
    view = View(warped[0], own)
    shown, unknown = unstretched_mouth(warped, opened, view, opening, lip_aperture(own), lip_aperture(opened))
    assert torch.equal(shown, warped) and torch.allclose(unknown, opening)


def test_teeth_stand_still_under_a_lip_that_slides_over_them():
    """The upper lip comes down by 12 of the 20 rows of teeth that are known, while the mouth opens to 40 rows."""
    known, moved = face(gap=20.0), face(gap=52.0)
    moved[:, list(LIPS_INNER_UPPER[1:-1]), 1] += 12
    rows = (torch.arange(SIZE) + 0.5) / SIZE
    ramp = rows[:, None].expand(3, SIZE, SIZE)
    warped = warp(ramp, flow_between(known[0], moved, SIZE))
    teeth = View(mouth_of(dark=False), known[0])
    shown, kept = unstretched(warped, moved, teeth)
    torch.testing.assert_close(shown[0, 0, 163:169, 128], rows[163:169], atol=1 / SIZE, rtol=0)
    assert kept[0, 0, 163:169, 128].min() > 0.99
    assert kept[0, 0, 174:201, 128].max() < 0.01  # nothing is known there: the last rows are not drawn out
    moved[:, list(LIPS_INNER_UPPER[1:-1]), 1] = 171.0  # lower than all that is known
    assert unstretched(warped, moved, teeth)[1][0, 0, 176:201, 128].max() < 0.01


@pytest.mark.parametrize(("rise", "end"), [(5, 160), (15, 155)])
def test_teeth_grow_below_a_lip_that_rises_and_end_where_they_did(rise, end):
    """They end 10 rows below the lip, and are drawn out to twice that at most."""
    known, moved = face(gap=20.0), face(gap=40.0)
    moved[:, list(LIPS_INNER_UPPER[1:-1]), 1] -= rise
    rows = (torch.arange(SIZE) + 0.5) / SIZE
    warped = warp(rows[:, None].expand(3, SIZE, SIZE), flow_between(known[0], moved, SIZE))
    inside = MouthInside(torch.full((11,), 0.5), False, True, None)
    shown, kept = unstretched(warped, moved, View(mouth_of(dark=False), known[0], inside))
    column, top = shown[0, 0, :, 128], 150 - rise
    teeth = slice(top + 2, end - 3)
    height = (rows[teeth] * SIZE - top) / (end - top)
    torch.testing.assert_close(column[teeth], (150 + 10 * height) / SIZE, atol=1 / SIZE, rtol=0)
    assert kept[0, 0, top + 2 : end - 3, 128].min() > 0.9 and kept[0, 0, end + 1 : 185, 128].max() < 0.01


def test_how_far_teeth_are_shown_follows_their_height_where_that_is_known():
    own = face(gap=20.0)[0]
    unit = float(eye_distance(own))

    def shown(height: float) -> float:
        inside = MouthInside(torch.full((11,), height * unit / 20), False, True, None)
        return float(shows_teeth(View(mouth_of(dark=False), own, inside), torch.tensor(0.03)))

    assert shown(0.025) == 0 and shown(0.045) == 1 and 0 < shown(0.034) < 1
    unknown = View(mouth_of(dark=False), own)
    assert shows_teeth(unknown, torch.tensor(0.02)) == 0 and shows_teeth(unknown, torch.tensor(0.06)) == 1
