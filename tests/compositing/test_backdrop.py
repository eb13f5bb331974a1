"""A person in front of a background that stands still."""

import gc
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from portraittalk.compositing.backdrop import _KEPT, UNCOVERED, Backdrop, least_cover, with_wisps
from portraittalk.compositing.filling import filled
from portraittalk.compositing.head import Head
from portraittalk.face.align import aligned_crop, from_crop


def scene(size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a picture (3, S, S) of a dark disc over a slanted ramp, and the disc (1, S, S)."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size),) * 2, indexing="ij")
    ramp = torch.stack((0.5 + 0.2 * x, 0.6 + 0.2 * y, 0.5 + 0.1 * (x - y)))
    disc = (x.square() + y.square() < 0.16).float()[None]
    return ramp.lerp(torch.full_like(ramp, 0.1), disc), disc


def test_layers_are_the_picture_whatever_the_matte():
    picture, disc = scene()
    for matte in (
        disc,
        torch.zeros_like(disc),
        torch.ones_like(disc),
        torch.rand(disc.shape, generator=torch.Generator()),
    ):
        backdrop = Backdrop(picture, (0, 0, 96, 96), matte, 60)
        person, share = backdrop.layers.split((3, 1))
        torch.testing.assert_close(person + share * backdrop.within((0, 0, 96, 96)), picture, atol=1e-6, rtol=0)


def test_nothing_becomes_a_spark_of_colours_over_another_background():
    """What a filling does not explain, such as the corner of a frame beside the head, is no light that is added."""
    picture, background, other = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    share = 1 - least_cover(picture, background)
    moved = picture - share * background + share * other
    assert moved.min() > -2 * UNCOVERED and moved.max() < 1 + 2 * UNCOVERED
    assert torch.equal(least_cover(picture, picture), torch.zeros(1, 64, 64))

    striped, disc = scene()
    striped[:, 20:40] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    backdrop = Backdrop(striped, (0, 0, 96, 96), disc, 60)
    person, share = backdrop.layers.split((3, 1))
    for behind in (0.0, 1.0):
        assert (person + share * behind).min() > -2 * UNCOVERED
        assert (person + share * behind).max() < 1 + 2 * UNCOVERED


def test_the_background_holds_nothing_of_the_person():
    picture, disc = scene()
    background = Backdrop(picture, (0, 0, 96, 96), disc, 60).within((0, 0, 96, 96))
    assert background.min() > 0.25
    assert torch.equal(background[:, :, :20], picture[:, :, :20])


def test_what_a_moving_head_uncovers_never_changes():
    """The wall and the panel beside a head stand still, though the matte is faint far beyond it."""
    size, eye = 240, 60.0
    y, x = torch.meshgrid(*(torch.arange(size).float(),) * 2, indexing="ij")
    away = ((y - 120).square() + (x - 110).square()).sqrt() - 50
    panel = ((x > 172) & (y > 60)).float()[None]
    wall = torch.tensor([0.85, 0.8, 0.7])[:, None, None].lerp(torch.tensor([0.5, 0.5, 0.4])[:, None, None], panel)
    picture = wall.lerp(torch.tensor([0.2, 0.1, 0.1])[:, None, None], (away < 0).float()[None])
    matte = (0.4 * (1 - away / 24)).clamp(0, 0.4)[None].maximum((away < 0).float()[None])
    backdrop = Backdrop(picture, (0, 0, size, size), matte, eye)
    background = backdrop.within((0, 0, size, size))
    beside = (away > 4) & ((x - 172).abs() > 2)
    assert (background - picture)[:, beside].abs().max() < 0.03
    behind = (away > -0.2 * eye) & (away < 4) & ((x - 172).abs() > 4)
    assert (background - wall)[:, behind].abs().max() < 0.1
    for shift in (-12, -5, 7, 12):
        person, share = backdrop.layers.roll(shift, -1).split((3, 1))
        frame = person + share * background
        uncovered = (share[0] > 0.999) & beside.roll(shift, -1)
        assert uncovered.float().mean() > 0.5
        assert (frame - background)[:, uncovered].abs().max() < 0.03


def test_a_thin_hair_belongs_to_the_person_but_a_faint_texture_does_not():
    picture, disc = scene()
    noisy = picture + 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0)) * (1 - disc)
    hair = noisy.clone()
    hair[:, 23:28, 48] = 0.15  # a dark line that leaves the disc, whose upper end is in row 28
    background = filled(picture, 1 - torch.nn.functional.max_pool2d(disc, 13, 1, 6))
    matte = with_wisps(disc, hair, background, 6)
    assert matte[0, 26:28, 48].min() > 0.5
    assert matte[0, 24:28, 60:70].max() < 0.2


@pytest.mark.parametrize("box", [(10, 5, 90, 80), (0, 0, 96, 96)])
def test_distances_are_never_too_large(box):
    picture, disc = scene()
    backdrop = Backdrop(picture, (0, 0, 96, 96), disc, 40)
    x0, y0, x1, y1 = box
    y, x = torch.meshgrid(torch.arange(y0, y1) - 47.5, torch.arange(x0, x1) - 47.5, indexing="ij")
    true = (x.square() + y.square()).sqrt() - 0.4 * 47.5  # from the disc
    found = backdrop.distance(box)
    assert (found <= true.clamp_min(0) + 0.5).all()
    assert (found >= true - 9).all()


def test_large_pictures_are_filled_in_at_a_smaller_size(monkeypatch):
    """The layers still add up to the picture, and the hidden part looks alike."""
    picture, disc = scene(192)
    box = (0, 0, 192, 192)
    whole = Backdrop(picture, box, disc, 120)
    monkeypatch.setattr("portraittalk.compositing.backdrop.LARGEST", 96 * 96)
    reduced = Backdrop(picture, box, disc, 120)
    person, share = reduced.layers.split((3, 1))
    torch.testing.assert_close(person + share * reduced.within(box), picture, atol=1e-6, rtol=0)
    assert (reduced.within(box) - whole.within(box)).abs().mean() < 0.01
    assert (reduced.layers[3] - whole.layers[3]).abs().mean() < 0.01
    assert (reduced.distance(box) <= whole.distance(box) + 4).all()


def test_further_videos_of_a_person_use_the_same_backdrop(identity, basis):
    """As long as the photograph is held, and nobody changes it."""
    steps = []

    def behind(identity, box=(0, 0, 40, 40)):
        steps.clear()
        return Backdrop.behind(Head(identity, basis), identity.portrait, box, lambda: steps.append(1))

    gc.collect()
    size = len(_KEPT)
    small = F.interpolate(identity.portrait[None], (128, 128), mode="area")[0]
    crop = aligned_crop(from_crop(identity.landmarks, identity.crop) / 6, (128, 128), 64)
    person = replace(identity, portrait=small, crop=crop, landmarks=identity.landmarks / 4)
    first = behind(person)
    assert steps and behind(person) is first and not steps
    assert behind(replace(person, landmarks=person.landmarks + 1)) is not first and steps
    again = behind(person)
    assert steps and torch.equal(again.layers, first.layers)
    assert behind(replace(person, portrait=small.clone())) is not again and steps
    small[:, 3, 3] = 1
    changed = behind(person)
    assert steps and not torch.equal(changed.layers, first.layers)
    with torch.inference_mode():  # in which ComfyUI runs nodes
        other = replace(person, portrait=small * 0.9)
        assert behind(other) is behind(other) and not steps
    painted = small.clone()
    assert Backdrop.behind(Head(person, basis), painted, (0, 0, 40, 40)) is not changed
    del person, small, other
    gc.collect()
    assert len(_KEPT) == size
