"""What a further reference shows of the side of the face that the portrait turns away."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.cheeks import TURNED, head_yaw, other_sides, show_sides
from portraittalk.compositing.warp import flow_between, warp
from portraittalk.face.manual import face_in_box
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack

SIZE, CELLS = 256, 64
BASIS = load_basis()


def turned(yaw: float) -> Tensor:
    """Landmarks (478, 3) of a head that is turned to the picture's right by so many radians."""
    frontal = face_in_box((58.0, 58.0, 198.0, 198.0)).landmarks
    track = replace(MotionTrack.of_expression(torch.zeros(1, 52), 25.0), rotation=torch.tensor([[0.0, yaw, 0.0]]))
    return move_landmarks(frontal, torch.zeros(52), track, BASIS)[0]


@pytest.fixture(scope="module")
def person() -> Tensor:
    """A frontal face, its skin striped."""
    stripes = 0.5 + 0.2 * torch.sin(torch.arange(SIZE) / 3)
    return stripes.expand(3, SIZE, SIZE)


def seen(person: Tensor, yaw: float) -> Tensor:
    """The person with the head turned: (3, S, S)."""
    return warp(person, flow_between(turned(0.0), turned(yaw)[None], SIZE, CELLS))[0]


def test_the_references_that_are_turned_furthest_are_found():
    yaws = (0.05, 0.3, -0.2, 0.5, 0.1)
    landmarks = torch.stack([turned(yaw) for yaw in yaws])
    torch.testing.assert_close(head_yaw(landmarks), torch.tensor(yaws), atol=0.06, rtol=0.2)
    pictures = torch.arange(5.0)[:, None, None, None].expand(5, 3, SIZE, SIZE)
    assert [int(view.picture.mean()) for view in other_sides(pictures, landmarks)] == [2, 3]
    assert other_sides(pictures[:1], landmarks[:1]) == ()
    near = torch.stack([turned(0.0), turned(0.5 * TURNED)])
    assert other_sides(pictures[:2], near) == ()


def test_the_far_cheek_is_that_of_the_other_view_in_the_portraits_light(person):
    portrait, target = turned(0.5), turned(0.0)[None]
    pictures = torch.stack((seen(person, 0.5), 0.8 * person))
    sides = other_sides(pictures, torch.stack((portrait, turned(0.0))))
    flow = flow_between(portrait, target, SIZE, CELLS)
    warped = warp(pictures[0], flow)
    shown, borrowed = show_sides(warped, flow, target, sides, CELLS)
    hidden = borrowed[:, 0] > 0.9
    assert 0.01 < hidden.float().mean() < 0.2
    middle = float(target[0, 4, 0])
    columns = hidden[0].any(0).nonzero().flatten().float()
    assert columns.min() > middle or columns.max() < middle  # one side of the face
    alone, both = ((picture - person)[:, :, hidden[0]].abs().mean() for picture in (warped, shown))
    assert both < 0.7 * alone
    assert abs(float(shown[:, :, hidden[0]].mean()) - 0.5) < 0.05  # and not as dark as the view is
    torch.testing.assert_close(shown.where(borrowed > 0, warped), shown)


def test_a_portrait_that_shows_all_is_left_as_it_is(person):
    target = turned(0.1)[None]
    sides = other_sides(torch.stack((person, seen(person, 0.4))), torch.stack((turned(0.0), turned(0.4))))
    assert len(sides) == 1
    flow = flow_between(turned(0.0), target, SIZE, CELLS)
    warped = warp(person, flow)
    shown, borrowed = show_sides(warped, flow, target, sides, CELLS)
    assert borrowed.max() < 0.05 and (shown - warped).abs().max() < 0.05
    assert torch.equal(show_sides(warped, flow, target, (), CELLS)[0], warped)
