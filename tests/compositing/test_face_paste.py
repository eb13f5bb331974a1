"""Pasting whole heads: what is drawn shows where the person is, and the rest of the picture stays bit for bit."""

from dataclasses import replace

import pytest
import torch

from portraittalk.compositing.face_paste import FacePaste, rim_around
from portraittalk.face.align import bounds, extract_crop, to_crop
from portraittalk.face.expression_crop import expression_crop


@pytest.fixture(scope="module")
def crop(half_portrait, half_face):
    return expression_crop(half_face.landmarks, tuple(half_portrait.shape[-2:]), 256)


@pytest.fixture(scope="module")
def paste(half_portrait, half_face, crop):
    return FacePaste(half_portrait, crop, to_crop(half_face.landmarks, crop))


def test_the_portraits_own_crop_leaves_the_portrait(paste, half_portrait, crop):
    own = extract_crop(half_portrait, crop)[None]
    assert (paste(own)[0] - half_portrait).abs().mean() < 0.01
    larger = extract_crop(half_portrait, crop, 512)[None]  # drawn at more than the picture's resolution
    assert (paste(larger)[0] - half_portrait).abs().mean() < 0.01


def test_the_head_is_replaced_and_the_background_stands_still(paste, half_portrait, half_face, crop):
    red = torch.zeros(2, 3, 256, 256)
    red[:, 0] = 1
    frames = paste(red)
    assert frames.shape == (2, *half_portrait.shape)
    x, y = half_face.landmarks[[4, 10, 152], :2].long().unbind(1)
    torch.testing.assert_close(frames[0, :, y, x], torch.tensor([1.0, 0, 0])[:, None].expand(-1, 3))
    x0, y0, x1, y1 = paste.data.box
    outside = torch.ones_like(half_portrait[0], dtype=torch.bool)
    outside[y0:y1, x0:x1] = False
    assert outside.any() and torch.equal(frames[0][:, outside], half_portrait[:, outside])


def test_the_background_stands_still_inside_of_the_crop_as_well(half_portrait, half_face, crop):
    """A crop of half the scale about the same centre reaches to the wall on both sides."""
    matrix = 0.5 * crop.matrix + torch.tensor([[0.0, 0, 64], [0, 0, 64]])
    wide = replace(crop, matrix=matrix)
    frames = FacePaste(half_portrait, wide, to_crop(half_face.landmarks, wide))(torch.ones(1, 3, 256, 256))
    same = (frames[0] == half_portrait).all(0)
    x, y = half_face.landmarks[4, :2].long().tolist()
    left = bounds(wide)[0]
    assert not same[y, x] and left + 15 < x - 70
    assert same[y, left : left + 15].all()  # wall beside the hair


def test_crops_are_those_of_the_pasted_frames(paste, crop):
    drawn = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    crops = paste.crops(drawn)
    assert torch.equal(crops, extract_crop(paste(drawn), crop, crops.shape[-1])) and crops.shape[-1] >= 256


def test_the_rim_is_as_wide_whatever_the_size_of_the_picture():
    matte = torch.zeros(1, 200, 200)
    matte[:, 80:120, 80:120] = 1
    small, large = (
        rim_around(matte, 40.0),
        rim_around(torch.nn.functional.interpolate(matte[None], (400, 400))[0], 80.0),
    )
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(large, 2), small, atol=0.05, rtol=0)
    assert small[0, 100, 100] == 1 and small[0, 100, 120 + 12] > 0.95 and small[0, 100, 120 + 34] < 0.01
