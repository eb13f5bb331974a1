"""Closed lips meet where the dark line between them is seen, on drawn mouths."""

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.lip_lines import LOWER, UPPER
from portraittalk.compositing.lip_seam import meet_at_seam, seam_between
from portraittalk.compositing.lips import settle_lips
from portraittalk.face.align import eye_distance
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER

SIZE, MIDDLE, THICK = 256, 156, 10
UPPER_LIP, LOWER_LIP, TOOTH = (0.5, 0.25, 0.24), (0.75, 0.42, 0.4), (0.9, 0.85, 0.78)
DARK = 0.3  # of the upper lip
INNER = [*LIPS_INNER_UPPER[1:-1], *LIPS_INNER_LOWER[1:-1]]


def closed(below: Tensor | float, dark: float = DARK, tooth: float = 0) -> tuple[Tensor, Tensor]:
    """A picture and its landmarks; its lips meet some eye distances below these, (S,) in the columns of the picture.

    dark: brightness of the line. tooth: pixels below it that a tooth takes in the middle of the mouth.
    """
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks
    for edge, y in ((LIPS_OUTER_UPPER, MIDDLE - THICK), (LIPS_OUTER_LOWER, MIDDLE + THICK)):
        points[list(edge), 1] = float(y)
    for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER):
        points[list(edge), 1] = float(MIDDLE)
    points[list(UPPER.between), 1], points[list(LOWER.between), 1] = MIDDLE - THICK / 2, MIDDLE + THICK / 2
    down = torch.arange(SIZE)[:, None] + 0.5 - MIDDLE - below * float(eye_distance(points))  # (S, 1 or S)
    upper, lower, pale = (torch.tensor(colour)[:, None, None] for colour in (UPPER_LIP, LOWER_LIP, TOOTH))
    picture = upper.lerp(lower, (down + 0.5).clamp(0, 1)).expand(3, SIZE, SIZE)
    across = (torch.arange(SIZE) - points[13, 0]).abs() < 12
    picture = picture.where(~(across & (down > 0) & (down < tooth)), pale)
    return picture * (1 - (1 - dark) * torch.exp(-(down.square()) / 2)), points


@pytest.mark.parametrize("below", [-0.02, -0.01, 0.0, 0.015])
def test_lips_meet_where_the_line_is_seen(below):
    picture, points = closed(below)
    moved = meet_at_seam(picture, points) - points
    inner = moved[INNER, 1].view(2, -1)[:, 1:-1]
    assert (inner - below * eye_distance(points)).abs().max() < 0.6  # pixels
    assert torch.equal(moved[:, ::2], torch.zeros(478, 2))
    still = [index for index in range(478) if index not in (*INNER, *UPPER.between, *LOWER.between)]
    assert moved[still].abs().max() == 0


def test_a_bent_line_is_followed():
    columns = (torch.arange(SIZE) + 0.5 - 128) / 128
    picture, points = closed(0.012 * torch.cos(6 * columns))
    found = meet_at_seam(picture, points)[INNER[2:-2]]
    asked = 0.012 * torch.cos(6 * (found[:, 0] - 128) / 128)
    assert ((found[:, 1] - MIDDLE) / eye_distance(points) - asked).abs().max() < 0.005


def test_both_lips_follow_in_proportion():
    picture, points = closed(-0.02)
    moved = (meet_at_seam(picture, points) - points)[:, 1]
    for lip in (UPPER, LOWER):
        within = [index for index in lip.between if abs(points[index, 0] - 128) < 12]
        assert len(within) > 3
        assert torch.allclose(moved[within], moved[lip.inner[5]] / 2, atol=0.2)


@pytest.mark.parametrize("dark", [1.0, 1.3], ids=["no line", "a light line"])
def test_lips_between_which_nothing_dark_is_seen_stay(dark):
    picture, points = closed(-0.02, dark)
    assert seam_between(picture, points) is None
    assert meet_at_seam(picture, points) is points


def test_a_line_above_a_tooth_is_not_where_lips_meet():
    assert seam_between(*closed(-0.01)) is not None
    assert seam_between(*closed(-0.01, tooth=2.5)) is None


def test_lips_of_a_portrait_are_moved_when_it_is_read():
    picture, points = closed(-0.02)
    landmarks, _ = settle_lips(picture[None], points[None], torch.zeros(1, 52))
    assert landmarks[0, 13, 1] < points[13, 1] - 0.5
    assert landmarks[0, 13, 1] == landmarks[0, 14, 1]
