"""LivePortrait's crop against upstream's matrix, and around our own landmarks."""

import math

import pytest
import torch
from golden_tensors import golden

from portraittalk.face import topology as mesh
from portraittalk.face.align import from_crop, scale_of, to_crop
from portraittalk.face.expression_crop import SIDE, crop_around, expression_crop, eye_ratios, lip_ratio


def test_the_square_around_given_points_is_upstreams():
    tensors = golden("liveportrait")
    points = tensors["crop.landmarks"].double()
    eyes = (points[[0, 6, 12, 18]].mean(0) + points[[24, 30, 36, 42]].mean(0)) / 2
    crop = crop_around(points, eyes, points[[48, 66]].mean(0), (176, 208), 512)
    torch.testing.assert_close(crop.matrix, tensors["crop.M_o2c"][:2], atol=1e-3, rtol=0)


def test_it_turns_and_grows_with_the_face(portrait_face):
    landmarks = portrait_face.landmarks
    crop = expression_crop(landmarks, (768, 768), 512)
    angle, scale = math.radians(25), 1.3
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = torch.cat((scale * landmarks[:, :2] @ turn.T + 40, scale * landmarks[:, 2:]), 1)
    again = expression_crop(turned, (1200, 1200), 512)
    torch.testing.assert_close(to_crop(turned, again), to_crop(landmarks, crop), atol=0.05, rtol=0)


def test_the_face_fills_one_part_in_2_3_and_stands_upright_below_the_middle(portrait_face):
    crop = expression_crop(portrait_face.landmarks, (768, 768), 512)
    points = to_crop(portrait_face.landmarks, crop)[:, :2]
    without_forehead = points[[*mesh.BROW_RIGHT_UPPER, *mesh.BROW_LEFT_UPPER, 152, 234, 454, 127, 356]]
    extent = without_forehead.amax(0) - without_forehead.amin(0)
    assert extent.max() == pytest.approx(512 / SIDE, rel=0.03)
    eyes, lips = points[[33, 133, 263, 362]].mean(0), points[[61, 291]].mean(0)
    assert (lips - eyes)[0].abs() < 3 and lips[1] > eyes[1]
    centre = (without_forehead.amax(0) + without_forehead.amin(0)) / 2
    assert centre[1] - 256 == pytest.approx(0.125 * 512, abs=3)
    assert from_crop(torch.tensor([[256.0, 256.0]]), crop).shape == (1, 2) and scale_of(crop) > 0


def test_ratios_of_eyes_and_lips():
    landmarks = torch.zeros(478, 3)
    landmarks[[61, 291, 33, 133, 263, 362], 0] = torch.tensor([0.0, 50, 0, 20, 40, 20])
    landmarks[[14, 145, 374], 1] = torch.tensor([5.0, 6, 4])
    assert lip_ratio(landmarks) == pytest.approx(0.1)
    assert eye_ratios(landmarks[None]).flatten().tolist() == pytest.approx([0.3, 0.2])
