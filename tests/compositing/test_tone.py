"""Pictures of one tone are told from coloured ones, and give what is drawn into them their tone."""

import pytest
import torch

from portraittalk.compositing.tone import tone_of

SEPIA = torch.tensor([[0.25, 0.12, 0.05], [0.9, 0.85, 0.7], [-0.15, 0.0, 0.2]])  # of brightness to the powers 0, 1, 2


def toned(picture: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    brightness = picture.mean(0)
    powers = torch.stack((torch.ones_like(brightness), brightness, brightness**2))
    return torch.einsum("pc,phw->chw", curve, powers).clamp(0, 1)


def test_a_coloured_picture_is_left_alone(portrait):
    tone = tone_of(portrait)
    drawn = torch.rand(2, 3, 8, 8)
    assert tone.share == 0
    assert tone(drawn) is drawn


@pytest.mark.parametrize("curve", [torch.eye(3)[1][:, None].expand(3, 3), SEPIA], ids=["grey", "sepia"])
def test_what_is_drawn_takes_on_the_tone(portrait, curve):
    old = toned(portrait, curve)
    grain = old + 0.004 * torch.randn(old.shape, generator=torch.Generator().manual_seed(0))
    tone = tone_of(grain)
    assert tone.share == 1
    assert torch.allclose(tone(old[None])[0], old, atol=0.02)  # what has the tone keeps it
    red = torch.tensor([0.7, 0.3, 0.3]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    painted = tone(red)
    assert tone_of(torch.cat((old[:, :4, :4], painted[0]), 2)).share == 1
    assert painted.mean() == pytest.approx(red.mean().item(), abs=0.15)


def test_a_picture_of_one_colour_alone_has_a_tone():
    tone = tone_of(torch.full((3, 64, 64), 0.5))
    assert tone.share == 1
    assert tone(torch.full((1, 3, 4, 4), 0.5)).isfinite().all()


@pytest.mark.parametrize(("offset", "gain"), [(0.4, 0.25), (0.0, 0.2)], ids=["faded", "dark"])
def test_a_coloured_picture_of_little_contrast_is_not_of_one_tone(portrait, offset, gain):
    assert tone_of(offset + gain * portrait).share == 0
    grey = portrait.mean(0, keepdim=True).expand_as(portrait)
    assert tone_of(offset + gain * grey).share == 1


def test_what_is_darker_or_brighter_than_the_picture_keeps_its_tone():
    """A parabola through a narrow range of brightness leads anywhere beyond it: blue mouths in faded photographs."""
    brightness = torch.linspace(0.35, 0.65, 64 * 64).view(1, 64, 64)
    red, blue = brightness + 0.05, brightness - 0.05 + 3 * (brightness - 0.5) ** 2
    tone = tone_of(torch.cat((red, (brightness - 0.299 * red - 0.114 * blue) / 0.587, blue)))
    assert tone.share == 1
    drawn = torch.tensor([0.1, 0.3, 0.9]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    assert (tone(drawn) - drawn).abs().max() < 0.15
