"""The lower lip's inner edge is found by colour, on drawn mouths whose lip begins above or below the landmarks."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lips import settle_lips
from portraittalk.compositing.lip_edges import BETWEEN, MARGIN, refine_lower_lip
from portraittalk.face.align import eye_distance
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER

SIZE, TOP, HEIGHT, THICK = 256, 150, 12, 18
TEETH, LIP, DARK = (0.85, 0.8, 0.72), (0.7, 0.35, 0.33), (0.06, 0.03, 0.025)
INNER = list(LIPS_INNER_LOWER[1:-1])


def mouth(below: float, lip=LIP, teeth=TEETH) -> tuple[Tensor, Tensor]:
    """A picture and its landmarks; its lower lip begins some eye distances below these."""
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks
    bottom = TOP + HEIGHT
    for edge, y in ((LIPS_INNER_UPPER, TOP), (LIPS_INNER_LOWER, bottom), (LIPS_OUTER_LOWER, bottom + THICK)):
        points[list(edge), 1] = float(y)
    points[list(BETWEEN), 1] = bottom + THICK / 2
    picture = torch.tensor(lip)[:, None, None].repeat(1, SIZE, SIZE)
    end = bottom + below * float(eye_distance(points))
    share = (end - torch.arange(SIZE)).clamp(0, 1)[:, None]  # of a pixel above the edge
    return picture.lerp(torch.tensor(teeth)[:, None, None], share), points


@pytest.mark.parametrize("teeth", [TEETH, DARK])
@pytest.mark.parametrize("below", [-0.03, -0.015, 0.0, 0.02, 0.03])
def test_the_lip_begins_where_it_is_seen(below, teeth):
    picture, points = mouth(below, teeth=teeth)
    found = refine_lower_lip(picture, points)
    moved = (found - points)[:, 1] / eye_distance(points)
    assert (moved[INNER[1:-1]] - below - MARGIN).abs().max() < 0.008
    assert (found - points)[:, ::2].abs().max() == 0


def test_the_rest_of_the_lip_follows_in_proportion():
    picture, points = mouth(-0.03)
    found = refine_lower_lip(picture, points)
    moved = found[:, 1] - points[:, 1]
    within = [index for index in BETWEEN if abs(points[index, 0] - 128) < 12]
    assert len(within) > 3
    assert torch.allclose(moved[within], moved[INNER[4]] / 2, atol=0.2)
    still = [index for index in range(478) if index not in (*INNER, *BETWEEN)]
    assert moved[still].abs().max() == 0


@pytest.mark.parametrize(
    ("lip", "teeth"),
    [((0.5, 0.5, 0.5), (0.8, 0.8, 0.8)), ((0.8, 0.74, 0.7), TEETH)],
    ids=["black and white", "a pale lip"],
)
def test_an_edge_that_colour_does_not_show_is_left_alone(lip, teeth):
    picture, points = mouth(0.02, lip, teeth)
    assert refine_lower_lip(picture, points) is points


def test_the_edge_of_a_highlight_within_the_lip_is_not_followed():
    picture, points = mouth(0.03)
    assert refine_lower_lip(picture, points) is not points
    picture[:, TOP + HEIGHT - 1 : TOP + HEIGHT + 1] = torch.tensor(LIP)[:, None, None]  # a rim of lip above it
    assert refine_lower_lip(picture, points) is points


def test_open_mouths_are_refined_when_a_portrait_is_read():
    picture, points = mouth(0.02)
    landmarks, _ = settle_lips(picture[None], points[None], torch.zeros(1, 52))
    assert landmarks[0, 14, 1] > points[14, 1] + 1
