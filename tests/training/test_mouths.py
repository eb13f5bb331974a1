"""Portraits that are moved by a driver: the face is the warp's, the inside of the mouth is somebody's own."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator

import portraittalk
from portraittalk.compositing.teeth import Dentition
from portraittalk.compositing.warp import flow_between, warp
from portraittalk.config import SMALL
from portraittalk.face.align import aligned_crop, extract_crop, to_crop
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_OUTER
from portraittalk.media.image import read_image
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import lip_aperture
from portraittalk.training.animate.driven_portraits import change_mouth, drive_portrait, set_lips
from portraittalk.training.data.clips import Clip, random_shape

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo" / "portrait.jpg"
SIZE = SMALL.crop_size
BASIS = load_basis()


@pytest.fixture(scope="module")
def portrait():
    image = read_image(DEMO).pixels
    face = face_in_box((230.0, 170.0, 530.0, 560.0))
    crop = aligned_crop(face.landmarks, tuple(image.shape[-2:]), SIZE)
    points = set_lips(to_crop(face.landmarks, crop)[None], torch.zeros(1), BASIS)[0]
    return extract_crop(image[None], crop).clamp(0, 1)[0], points


@pytest.fixture
def driver(portrait, tmp_path):
    """Four frames of somebody whose mouth is open."""
    _, points = portrait
    seen = set_lips(points.expand(4, -1, -1), torch.full((4,), 0.2), BASIS)
    frames = torch.full((4, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    shapes = torch.zeros(4, 52)
    save_file({"frames": frames, "landmarks": seen, "blendshapes": shapes}, tmp_path / "driver.safetensors")
    return Clip(tmp_path / "driver.safetensors")


def covered(height: slice) -> torch.Tensor:
    """A picture of teeth that are fully lit and fill some rows of it."""
    picture = torch.zeros(4, 200, 320)
    picture[[0, 2], height] = 1
    return picture


TEETH = Dentition(covered(slice(0, 100)), covered(slice(100, 200)))


def moved(portrait, points, driver):
    return drive_portrait(portrait, points, torch.zeros(52), driver, TEETH, 4, BASIS, SMALL, Generator().manual_seed(0))


def test_closed_lips_open_on_teeth(portrait, driver):
    image, points = portrait
    made = moved(image, points, driver)
    assert made.target.shape == (4, 3, SIZE, SIZE)
    assert torch.equal(made.reference, image)
    warped = warp(image, flow_between(points, made.landmarks, SIZE, SMALL.structure.flow_size))
    top, bottom = made.landmarks[0, [13, 14], 1].int().tolist()
    x = int(made.landmarks[0, 13, 0])
    assert bottom - top > 8
    teeth, lip = (picture[0, :, top + 3 : bottom - 2, x] for picture in (made.target, warped))
    assert (teeth[1] / teeth[0]).max() > 1.1 * (lip[1] / lip[0]).max()  # whiter than the lip that is stretched there


def test_all_but_the_mouth_is_the_warp(portrait, driver):
    image, points = portrait
    made = moved(image, points, driver)
    warped = warp(image, flow_between(points, made.landmarks, SIZE, SMALL.structure.flow_size))
    lips = made.landmarks[0, [13, 14], 1]
    outside = [slice(0, int(lips[0]) - 4), slice(int(lips[1]) + 4, SIZE)]
    for rows in outside:
        assert torch.equal(made.target[..., rows, :], warped[..., rows, :])


def test_an_open_mouth_keeps_its_own_teeth_and_opens_no_further(portrait, driver):
    image, points = portrait
    open_points = set_lips(points[None], torch.full((1,), 0.12), BASIS)[0]
    opened = warp(image, flow_between(points, open_points[None], SIZE, SMALL.structure.flow_size))[0]
    made = moved(opened, open_points, driver)
    assert lip_aperture(made.landmarks).max() < 0.12 * 1.1 + 0.01
    warped = warp(opened, flow_between(open_points, made.landmarks, SIZE, SMALL.structure.flow_size))
    assert torch.equal(made.target, warped)


def test_lips_are_as_far_apart_as_asked(portrait):
    _, points = portrait
    asked = torch.tensor([0.0, 0.05, 0.2])
    torch.testing.assert_close(
        lip_aperture(set_lips(points.expand(3, -1, -1), asked, BASIS)), asked, atol=0.012, rtol=0.1
    )


def test_a_changed_shape_carries_its_landmarks_along():
    size, where = 128, torch.tensor([[40.0, 50.0], [80.0, 90.0], [64.0, 30.0]])
    axis = torch.arange(size) + 0.5
    dots = torch.exp(
        -((axis[None, None] - where[:, 0, None, None]) ** 2 + (axis[None, :, None] - where[:, 1, None, None]) ** 2) / 8
    )[None]
    points = torch.cat((where, torch.zeros(3, 1)), 1)[None]
    images, shaped = random_shape(dots, points, 6.0, Generator().manual_seed(1))
    mass = images[0] / images[0].sum((1, 2), keepdim=True)
    centres = torch.stack(((mass * axis).sum((1, 2)), (mass * axis[:, None]).sum((1, 2))), 1)
    torch.testing.assert_close(shaped[0, :, :2], centres, atol=0.6, rtol=0)
    assert (shaped[0, :, :2] - where).abs().max() > 1


def test_another_mouth_is_lit_otherwise_and_nothing_else_changes(portrait):
    image, points = portrait
    seen = set_lips(points.expand(2, -1, -1), torch.full((2,), 0.2), BASIS)
    images = image.expand(2, -1, -1, -1)
    changed = [change_mouth(images, seen, Generator().manual_seed(seed)) for seed in range(6)]
    x, top, bottom = int(seen[0, 13, 0]), *seen[0, [13, 14], 1].int().tolist()
    middle = (top + bottom) // 2
    light = torch.stack([(each / images)[0, :, middle, x].mean() for each in changed])
    assert light.max() > 1.15 and light.min() < 0.85
    lips = seen[0, list(LIPS_OUTER), :2]
    away = torch.ones(SIZE, SIZE, dtype=torch.bool)
    low, high = lips.amin(0).int().tolist(), lips.amax(0).int().tolist()
    away[low[1] - 6 : high[1] + 6, low[0] - 6 : high[0] + 6] = False  # the change has a soft edge
    for each in changed:
        assert torch.allclose(each[:, :, away], images[:, :, away], atol=1e-4)
        assert torch.equal(each[0], each[1])
