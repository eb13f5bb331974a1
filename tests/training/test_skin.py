"""Darker skins: the skin changes, teeth and eyes hardly, and all frames of a video alike."""

import torch
from torch import Generator

from portraittalk.compositing.draw import MAP_CHANNELS, landmark_map
from portraittalk.config import SMALL
from portraittalk.models.face_basis import load_basis
from portraittalk.training.animate.driven_portraits import set_lips
from portraittalk.training.animate.skin import DARKER, HUE, darken_skin

SIZE = SMALL.crop_size
BASIS = load_basis()


def test_skin_darkens_and_what_it_does_not_cover_keeps_most_of_its_light():
    face = BASIS.mean * SIZE / 3 + torch.tensor([SIZE / 2, SIZE / 2, 0])
    points = set_lips(face.expand(2, -1, -1), torch.tensor([0.25, 0.25]), BASIS)
    grey = torch.full((2, 3, SIZE, SIZE), 0.5)
    dark = darken_skin(grey, points, Generator().manual_seed(3))
    assert torch.equal(dark[0], dark[1])
    mouth = torch.nn.functional.interpolate(landmark_map(points, SIZE)[:, [MAP_CHANNELS.index("open mouth")]], SIZE)
    inside = dark[0, :, mouth[0, 0] > 0.99]
    skin = dark[0, :, 2, 2]
    assert inside.numel() > 300
    assert (inside.mean(1) > 1.2 * skin).all() and (skin < 0.5 ** (DARKER[0] * (1 - 3 * HUE))).all()
    assert (skin > 0.5 ** (DARKER[1] * (1 + 4 * HUE))).all()
    assert not torch.equal(dark, darken_skin(grey, points, Generator().manual_seed(4)))
