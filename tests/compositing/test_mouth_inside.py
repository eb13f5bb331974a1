"""What a mouth shows, on drawn mouths of 20 rows whose teeth end where the lip begins, or do not."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.mouth_inside import dark_row, mouth_inside
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER
from portraittalk.types import View

SIZE, TOP, HEIGHT = 256, 150, 20
TEETH, LIP = (0.85, 0.8, 0.72), (0.7, 0.35, 0.33)


def smile(end: float, teeth=TEETH, lip=LIP) -> View:
    """A mouth whose teeth end at a fraction of the height between the lips; below that there is lip."""
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks
    for edge, y in ((LIPS_INNER_UPPER, TOP), (LIPS_INNER_LOWER, TOP + HEIGHT), (LIPS_OUTER_LOWER, TOP + 2 * HEIGHT)):
        points[list(edge), 1] = float(y)
    picture = torch.tensor(lip)[:, None, None].repeat(1, SIZE, SIZE)
    picture[:, TOP : TOP + round(end * HEIGHT)] = torch.tensor(teeth)[:, None, None]
    return View(picture, points)


@pytest.mark.parametrize("end", [0.7, 0.8, 0.95])
def test_the_lower_end_of_the_teeth_is_found(end):
    inside = mouth_inside(smile(end))
    assert inside.exact and not inside.stands
    assert (inside.ends[1:-1] - end).abs().max() < 0.06


def test_a_highlight_on_the_lip_is_no_tooth():
    view = smile(0.7)
    view.picture[:, TOP + 17 : TOP + 19] = 0.95
    assert (mouth_inside(view).ends[1:-1] - 0.7).abs().max() < 0.06


def test_teeth_that_reach_the_landmarks_of_the_lip_are_whole():
    assert mouth_inside(smile(1.0)).ends.min() > 0.97


def test_the_colour_is_that_of_the_teeth():
    teeth = mouth_inside(smile(0.8)).teeth
    assert teeth is not None
    torch.testing.assert_close(teeth.flatten(), torch.tensor(TEETH), atol=0.01, rtol=0)


REDDISH, PALE_LIP = (0.62, 0.5, 0.46), (0.68, 0.43, 0.4)


def test_the_end_of_reddish_teeth_is_found_but_their_colour_is_not_taken():
    inside = mouth_inside(smile(0.8, REDDISH, PALE_LIP))
    assert inside.exact and inside.teeth is None
    assert (inside.ends[1:-1] - 0.8).abs().max() < 0.06


def test_what_is_almost_as_red_as_the_lip_is_no_tooth():
    assert not mouth_inside(smile(0.8, (0.65, 0.48, 0.44), (0.66, 0.45, 0.41))).exact


def test_teeth_that_are_almost_as_red_end_where_the_lip_is_seen_to_begin():
    inside = mouth_inside(smile(0.9, (0.65, 0.48, 0.44), PALE_LIP))
    assert inside.exact and inside.teeth is None
    assert (inside.ends[2:-2] - 0.9).abs().max() < 0.1 and inside.ends[2:-2].max() < 0.92


def test_a_lip_that_is_seen_far_from_its_landmarks_ends_no_teeth():
    assert not mouth_inside(smile(0.5, (0.65, 0.48, 0.44), PALE_LIP)).exact


SHADED, SHINING = (0.34, 0.28, 0.24), (0.92, 0.8, 0.74)


def shaded_smile() -> View:
    """A mouth whose shaded teeth, darkest under the upper lip, end at 0.95; a shining lip is below them."""
    view = smile(0.95, SHADED, SHINING)
    fall = torch.linspace(0.5, 1, 19)[:, None]
    view.picture[:, TOP : TOP + 19] *= fall
    for left in range(96, 160, 6):
        view.picture[:, TOP : TOP + 19, left] *= 0.3
    return view


def test_shaded_teeth_above_a_shining_lip_are_one_row():
    """Beside the lip all of them are dark, but nothing light is above a dark row."""
    inside = mouth_inside(shaded_smile())
    assert not inside.stands and inside.exact
    assert (inside.ends[2:-2] - 0.95).abs().max() < 0.1


def test_what_only_gets_lighter_downwards_is_no_cavity():
    view = smile(1.0)
    view.picture[:, TOP : TOP + 20] = torch.linspace(0.3, 0.9, 20)[:, None]
    assert dark_row(view) == (1, False)
    view.picture[:, TOP : TOP + 3] = 0.9  # upper teeth
    end, stands = dark_row(view)
    assert stands and end < 0.5


def test_a_dark_mouth_above_a_lip_shows_no_teeth():
    view = shaded_smile()
    view.picture[:, TOP : TOP + 19] = 0.04
    assert not mouth_inside(view).exact


def two_rows(dark: int) -> View:
    """Two rows of teeth, with a dark line of some rows between them that is lower beside the middle."""
    view = smile(1.0)
    for column in range(SIZE):
        top = TOP + 8 + round(abs(column - 128) / 5)
        view.picture[:, top : top + dark, column] = 0.05
    return view


def test_the_dark_line_between_two_rows_of_teeth_is_followed():
    inside = mouth_inside(two_rows(3))
    assert inside.stands and inside.exact
    assert inside.ends[5] < 0.55 and inside.ends[[2, -3]].min() > inside.ends[5] + 0.08


def test_a_wide_dark_cavity_has_no_exact_end():
    inside = mouth_inside(two_rows(9))
    assert inside.stands and not inside.exact


def test_teeth_in_the_shade_of_the_cheeks_are_teeth():
    view = smile(0.7, lip=(0.85, 0.5, 0.48))
    left, right = (int(view.landmarks[corner, 0]) for corner in (80, 310))
    for side in (slice(0, left), slice(right, SIZE)):
        view.picture[:, TOP : TOP + 18, side] = 0.4 * torch.tensor(TEETH)[:, None, None]
    ends = mouth_inside(view).ends
    assert ends[1] > 0.85 and ends[-2] > 0.85
    assert (ends[4:-4] - 0.7).abs().max() < 0.06


def grey(colour) -> tuple[float, ...]:
    return (sum(colour) / 3,) * 3


def test_without_colour_teeth_are_taken_to_fill_the_mouth():
    inside = mouth_inside(smile(0.9, grey(TEETH), grey((0.7, 0.6, 0.6))))
    assert not inside.exact
    assert inside.ends.min() == 1


def test_a_mouth_without_teeth_has_no_colour_of_teeth():
    assert mouth_inside(smile(0.0)).teeth is None


def test_what_stands_below_a_dark_gap_keeps_standing():
    view = smile(1.0)
    view.picture[:, TOP + 10 : TOP + 14] = 0.05
    end, stands = dark_row(view)
    inside = mouth_inside(view)
    assert stands and inside.stands
    assert isinstance(inside.ends, Tensor) and (inside.ends - end).abs().max() < 0.1


@pytest.mark.parametrize(("darkness", "is_cavity"), [(0.05, True), (0.4, False)])
def test_only_what_is_black_is_cavity_high_in_a_mouth(darkness, is_cavity):
    """Long lower teeth leave the cavity above them; what is not black there is the shade of the upper lip."""
    view = smile(1.0)
    view.picture[:, TOP + 3 : TOP + 7] = darkness
    end, stands = dark_row(view)
    assert stands == is_cavity
    assert end < 0.4 if is_cavity else end == 1
