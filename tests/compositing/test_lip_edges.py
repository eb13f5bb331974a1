"""The inner edges of lips are found, on drawn mouths whose lips begin above or below the landmarks."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lip_edges import MARGIN, lower_lip_edge, refine_lips, strip_of_teeth, uncover_teeth
from portraittalk.compositing.lip_lines import LOWER, UPPER
from portraittalk.compositing.lips import settle_lips
from portraittalk.face.align import eye_distance
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER

SIZE, TOP, HEIGHT, THICK = 256, 150, 12, 18
TEETH, LIP, DARK = (0.85, 0.8, 0.72), (0.7, 0.35, 0.33), (0.06, 0.03, 0.025)
INNER = list(LIPS_INNER_LOWER[1:-1])


def mouth(below: float, lip=LIP, teeth=TEETH) -> tuple[Tensor, Tensor]:
    """A picture and its landmarks; its lower lip begins some eye distances below these."""
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks
    bottom = TOP + HEIGHT
    for edge, y in ((LIPS_INNER_UPPER, TOP), (LIPS_INNER_LOWER, bottom), (LIPS_OUTER_LOWER, bottom + THICK)):
        points[list(edge), 1] = float(y)
    points[list(LOWER.between), 1] = bottom + THICK / 2
    picture = torch.tensor(lip)[:, None, None].repeat(1, SIZE, SIZE)
    end = bottom + below * float(eye_distance(points))
    share = (end - torch.arange(SIZE)).clamp(0, 1)[:, None]  # of a pixel above the edge
    return picture.lerp(torch.tensor(teeth)[:, None, None], share), points


@pytest.mark.parametrize("teeth", [TEETH, DARK])
@pytest.mark.parametrize("below", [-0.03, -0.015, 0.0, 0.02, 0.03])
def test_the_lip_begins_where_it_is_seen(below, teeth):
    picture, points = mouth(below, teeth=teeth)
    found = refine_lips(picture, points)
    moved = (found - points)[:, 1] / eye_distance(points)
    assert (moved[INNER[1:-1]] - below - MARGIN).abs().max() < 0.008
    assert (found - points)[:, ::2].abs().max() == 0


def test_the_rest_of_the_lip_follows_in_proportion():
    picture, points = mouth(-0.03)
    found = refine_lips(picture, points)
    moved = found[:, 1] - points[:, 1]
    within = [index for index in LOWER.between if abs(points[index, 0] - 128) < 12]
    assert len(within) > 3
    assert torch.allclose(moved[within], moved[INNER[4]] / 2, atol=0.2)
    still = [index for index in range(478) if index not in (*INNER, *LOWER.between)]
    assert moved[still].abs().max() == 0


@pytest.mark.parametrize(
    ("lip", "teeth"),
    [((0.5, 0.5, 0.5), (0.8, 0.8, 0.8)), ((0.8, 0.74, 0.7), TEETH)],
    ids=["black and white", "a pale lip"],
)
def test_an_edge_that_colour_does_not_show_is_left_alone(lip, teeth):
    picture, points = mouth(0.02, lip, teeth)
    assert refine_lips(picture, points) is points


def test_the_edge_of_a_highlight_within_the_lip_is_not_followed():
    picture, points = mouth(0.03)
    assert refine_lips(picture, points) is not points
    picture[:, TOP + HEIGHT - 1 : TOP + HEIGHT + 1] = torch.tensor(LIP)[:, None, None]  # a rim of lip above it
    assert refine_lips(picture, points) is points


SHADED, SHINING = (0.34, 0.28, 0.24), (0.92, 0.8, 0.74)


def with_gaps(picture: Tensor, rows: slice) -> Tensor:
    """The picture with dark gaps between teeth in some of its rows."""
    gapped = picture.clone()
    for left in range(96, 160, 6):
        gapped[:, rows, left : left + 1] *= 0.3
    return gapped


@pytest.mark.parametrize("below", [-0.02, 0.0, 0.02])
@pytest.mark.parametrize("grey", [False, True])
def test_a_shining_lip_begins_where_shaded_teeth_end(below, grey):
    picture, points = mouth(below, SHINING, SHADED)
    end = round(TOP + HEIGHT + below * float(eye_distance(points)))
    picture = with_gaps(picture, slice(TOP - 2, end))
    if grey:
        picture = picture.mean(0, keepdim=True).expand(3, -1, -1)
    edge = lower_lip_edge(picture, points)
    assert edge is not None and not edge.red
    moved = (refine_lips(picture, points) - points)[:, 1] / eye_distance(points)
    assert (moved[INNER[2:-2]] - below - MARGIN).abs().max() < 0.008


def smile_under(lip: float) -> tuple[Tensor, Tensor]:
    """A picture and its landmarks; the upper lip ends some eye distances below these, over teeth with gaps."""
    picture, points = mouth(0.0)
    points[list(LIPS_INNER_UPPER[1:-1]), 1] -= 10
    points[list(LIPS_OUTER_UPPER), 1] = float(TOP - 30)
    points[list(UPPER.between), 1] = (points[13, 1] + points[0, 1]) / 2
    end = round(float(points[13, 1] + lip * eye_distance(points)))
    picture = with_gaps(picture, slice(end, TOP + HEIGHT))
    picture[:, :end] = torch.tensor((0.35, 0.2, 0.2))[:, None, None]
    return picture, points


def test_an_upper_lip_that_covers_teeth_is_moved_down_to_where_it_ends():
    picture, points = smile_under(0.04)
    by = (refine_lips(picture, points) - points)[:, 1] / eye_distance(points)
    assert (by[list(LIPS_INNER_UPPER[3:-3])] - 0.04 + MARGIN).abs().max() < 0.008
    within = [index for index in UPPER.between if abs(points[index, 0] - 128) < 12]
    assert torch.allclose(by[within], by[13] / 2, atol=0.003)


@pytest.mark.parametrize("lip", [0.0, 0.015])
def test_an_upper_lip_that_ends_near_its_landmarks_stays(lip):
    picture, points = smile_under(lip)
    by = (refine_lips(picture, points) - points)[:, 1]
    assert by[list(LIPS_INNER_UPPER)].abs().max() == 0


def test_an_upper_lip_over_a_dark_mouth_stays():
    picture, points = smile_under(0.04)
    end = round(float(points[13, 1] + 0.04 * eye_distance(points)))
    picture[:, end : TOP + HEIGHT] = torch.tensor(DARK)[:, None, None]
    assert (refine_lips(picture, points) - points)[list(LIPS_INNER_UPPER), 1].abs().max() == 0


def narrow(above: float, across: range = range(110, 146, 4)) -> tuple[Tensor, Tensor]:
    """A picture and its landmarks with lips almost shut; teeth with gaps reach some eye distances up from there."""
    points = mouth(0.0)[1]
    points[list(LIPS_INNER_UPPER), 1] = float(TOP)
    points[list(LIPS_INNER_LOWER[1:-1]), 1] = TOP + 1.5
    points[list(LIPS_INNER_LOWER[::10]), 1] = float(TOP)
    points[list(LIPS_OUTER_UPPER), 1] = float(TOP - 30)
    points[list(UPPER.between), 1] = TOP - 15.0
    picture = torch.tensor(LIP)[:, None, None].repeat(1, SIZE, SIZE)
    rows = slice(TOP - round(above * float(eye_distance(points))), TOP)
    if rows.start < rows.stop:
        picture[:, rows, across.start : across.stop] = torch.tensor(TEETH)[:, None, None]
        for left in across:
            picture[:, rows, left] *= 0.2
    return picture, points


def test_an_upper_lip_that_is_seen_below_teeth_is_moved_above_them():
    picture, points = narrow(0.025)
    by = (points - uncover_teeth(picture, points))[:, 1] / eye_distance(points)
    assert (by[[82, 13, 312]] - 0.025 - MARGIN).abs().max() < 0.01
    assert by[[191, 415]].abs().max() < 0.008  # beside the teeth the lips stay shut


def test_so_is_that_of_an_open_mouth():
    """Its teeth reach from above the landmarks of the upper lip to those of the lower one."""
    picture, points = narrow(0.025)
    points[list(LIPS_INNER_LOWER[1:-1]), 1] = TOP + 10.0
    picture[:, TOP : TOP + 10] = picture[:, TOP - 1 : TOP]
    assert (points - refine_lips(picture, points))[13, 1] > 2


@pytest.mark.parametrize("above", [0.0, 0.025])
def test_lips_without_gaps_between_them_stay_shut(above):
    picture, points = narrow(above, range(110, 146, 36))
    assert uncover_teeth(picture, points) is points


def test_a_strip_of_teeth_between_shut_lips_is_found_where_it_is():
    picture, points = narrow(0.025)
    found = strip_of_teeth(picture, points)
    assert found is not None
    heights = found / eye_distance(points)
    assert (heights[18:23] - 0.025 - MARGIN).abs().max() < 0.01
    assert heights[:5].max() < 0.008 and heights[-4:].max() < 0.008  # beside the teeth there is lip


@pytest.mark.parametrize("strip", [None, (0.75, 0.3, 0.3)])
def test_lips_and_their_wrinkles_are_no_strip_of_teeth(strip):
    """Wrinkles are dark, and as red as what is between them."""
    picture, points = narrow(0.0 if strip is None else 0.025)
    if strip is not None:
        light = picture[:, TOP - 8 : TOP].mean(0, keepdim=True)
        picture[:, TOP - 8 : TOP] = light / light.max() * torch.tensor(strip)[:, None, None]
    assert strip_of_teeth(picture, points) is None


def test_narrow_mouths_are_looked_at_when_a_portrait_is_read_and_shut_ones_stay():
    picture, points = narrow(0.025)
    landmarks, _ = settle_lips(picture[None], points[None], torch.zeros(1, 52))
    assert landmarks[0, 13, 1] < points[13, 1] - 1
    points[list(LIPS_INNER_LOWER[1:-1]), 1] -= 1
    assert torch.equal(settle_lips(picture[None], points[None], torch.zeros(1, 52))[0][0], points)


def test_open_mouths_are_refined_when_a_portrait_is_read():
    picture, points = mouth(0.02)
    landmarks, _ = settle_lips(picture[None], points[None], torch.zeros(1, 52))
    assert landmarks[0, 14, 1] > points[14, 1] + 1
