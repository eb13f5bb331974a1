"""Heads that the border of the picture cuts: they turn and nod, but show hardly anything of what lies beyond it."""

import math
from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.compositing.borders import AWAY, Border, Ellipse, held_back
from portraittalk.compositing.head import AROUND, Head, ellipse_of
from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, to_crop
from portraittalk.models.face_basis import load_basis
from portraittalk.types import Crop, Identity

SIZE = 256
EYE = SIZE / 2.5  # eye distance in crop pixels
DEGREES = [(8, 0, 0), (-8, 0, 0), (0, 12, 0), (0, -12, 0), (0, 0, 10), (0, 0, -10), (4, -8, 5), (-4, 8, -5)]
SHIFTS = [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0.15, 0.15), (-0.15, -0.15)]
POSES = torch.tensor([[*map(math.radians, angles), *shift, 0.0] for angles, shift in zip(DEGREES, SHIFTS, strict=True)])


@pytest.fixture(scope="module")
def identity(portrait, portrait_face) -> Identity:
    crop = aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), SIZE)
    landmarks = to_crop(portrait_face.landmarks, crop)
    return Identity(portrait, crop, landmarks, torch.zeros(len(ARKIT_NAMES)), portrait[None], torch.zeros(0, 1))


def cut(identity: Identity, low: tuple[float, float], high: tuple[float, float]) -> Head:
    """Return the head of a picture that shows the part from ``low`` to ``high`` (x, y), in widths and heights of the
    face's oval from its upper left corner. Its pixels are those of the crop."""
    oval = identity.landmarks[list(mesh.FACE_OVAL), :2]
    start, size = oval.amin(0), oval.amax(0) - oval.amin(0)
    first, last = (start + size * torch.tensor(corner) for corner in (low, high))
    width, height = (last - first).round().long().tolist()
    crop = Crop(torch.cat((torch.eye(2), first[:, None]), 1), SIZE, (height, width))
    return Head(replace(identity, portrait=torch.zeros(3, height, width), crop=crop), load_basis())


def beyond(head: Head, ellipse: Ellipse, rows: slice, columns: slice, inwards: tuple[int, int]) -> torch.Tensor:
    """Return how far beyond a border those cells there look that show the head, in eye distances, at each pose."""
    at = head.at[rows, columns]
    offsets = head.offsets(POSES)[:, :, rows, columns][
        :, :, ((at - ellipse.centre) / ellipse.axes).norm(dim=-1) < AROUND
    ]
    return -torch.einsum("fdk,d->fk", offsets, torch.tensor(inwards).float()).amin(1) / EYE


UPPER, LOWER = (slice(0, 1), slice(None), (0, 1)), (slice(-1, None), slice(None), (0, -1))
LEFT, RIGHT = (slice(None), slice(0, 1), (1, 0)), (slice(None), slice(-1, None), (-1, 0))


@pytest.mark.parametrize(
    ("low", "high", "where", "names"),
    [
        ((-1, -0.15), (2, 2), UPPER, ["upper"]),
        ((-1, 0.1), (2, 2), UPPER, ["upper"]),
        ((-1, -1), (2, 1.05), LOWER, ["lower"]),
        ((0.1, -1), (2, 2), LEFT, ["left"]),
        ((-1, -1), (0.9, 2), RIGHT, ["right"]),
        ((0.05, -1), (0.95, 2), LEFT, ["left", "right"]),
        ((0.05, -1), (0.95, 2), RIGHT, ["left", "right"]),
        ((-1, 0), (2, 1), UPPER, ["upper", "lower"]),
        ((-1, 0), (2, 1), LOWER, ["upper", "lower"]),
    ],
)
def test_what_lies_beyond_a_border_near_the_face_is_hardly_shown(identity, caplog, low, high, where, names):
    with caplog.at_level("WARNING"):
        head = cut(identity, low, high)
    for name in ("upper", "lower", "left", "right"):
        assert (f"away from the {name} border" in caplog.text) == (name in names)
    shown = beyond(head, ellipse_of(identity.landmarks), *where)
    assert shown.max() < AWAY + 0.02
    face = (head.at - identity.landmarks[4, :2]).norm(dim=-1) < 0.7 * EYE
    assert head.offsets(POSES)[:, :, face].norm(dim=1).amax(1).min() > 0.01 * EYE  # and yet every pose moves the face
    head._borders = []
    assert beyond(head, ellipse_of(identity.landmarks), *where).max() > 2 * shown.max()


def test_a_border_further_away_lets_more_through(identity):
    shown = [
        beyond(cut(identity, (-1, top), (2, 2)), ellipse_of(identity.landmarks), *UPPER).max()
        for top in (-0.2, -0.26, -0.32)
    ]
    assert shown[0] < shown[1] < shown[2]


def test_a_head_with_room_around_it_moves_freely(identity, caplog):
    with caplog.at_level("WARNING"):
        assert not cut(identity, (-1, -1), (2, 2))._borders
    assert not caplog.records


def test_slight_motion_and_motion_towards_the_border_pass_whole():
    point = torch.tensor([[10.0, 0.0, 0.0, 1.0]])
    border = Border("upper", point[:, :2], torch.tensor((0.0, 1.0)), 5.0)
    motion = torch.zeros(4, 4, 2)
    motion[:, 3, 1] = torch.tensor((0.0, 0.5, -20.0, 20.0))
    held = held_back(motion, [(point, border)])
    assert torch.equal(held[0], motion[0]) and torch.equal(held[2], motion[2])
    assert held[1, 3, 1].item() == pytest.approx(0.5, rel=0.01)
    assert held[3, 3, 1].item() == pytest.approx(5, rel=0.01)
