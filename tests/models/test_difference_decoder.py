"""The decoder of differences, with random weights."""

import pytest
import torch

from portraittalk.config import MINI, SMALL, DifferenceDecoderConfig
from portraittalk.models.difference_decoder import DifferenceDecoder


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    return DifferenceDecoder(DifferenceDecoderConfig(16, 16, 1, 4), MINI.autoencoder).requires_grad_(False)


@pytest.fixture(scope="module")
def latents():
    return torch.randn(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_picture_is_as_large_as_the_autoencoder_s(decoder, latents):
    first, second = latents
    assert decoder(first, second).shape == (3, 3, 128, 128)


def test_latents_that_do_not_change_change_nothing(decoder, latents):
    assert not decoder(latents[0], latents[0]).any()


def test_a_change_acts_where_it_is_and_as_the_rest_of_the_picture_lets_it(decoder, latents):
    base = latents[0]
    change = torch.zeros_like(base)
    change[:, :, 12, 12] = 1
    difference = decoder(base + change, base)
    assert difference[..., 96:104, 96:104].abs().mean() > 100 * difference[..., :32, :32].abs().mean()
    assert not torch.allclose(difference, decoder(latents[1] + change, latents[1]), atol=1e-3)


def test_an_autoencoder_of_another_depth_is_refused():
    with pytest.raises(ValueError, match="half of the resolution"):
        DifferenceDecoder(DifferenceDecoderConfig(), SMALL.autoencoder)
