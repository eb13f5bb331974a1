"""The loss on decoded mouths: nothing where latents agree, and only what is around the mouth counts."""

import pytest
import torch
from torch import Generator

from portraittalk.config import SMALL
from portraittalk.models.autoencoder import Autoencoder
from portraittalk.training.animate.perceptual import WINDOW, MouthLoss, mouth_window

SIDE = SMALL.latent_size
MOUTH = (slice(10, 12), slice(6, 10))


@pytest.fixture(scope="module")
def loss() -> MouthLoss:
    torch.manual_seed(0)
    return MouthLoss(Autoencoder(SMALL.autoencoder).eval(), features=0)


def mouth() -> torch.Tensor:
    cells = torch.zeros(2, 1, SIDE, SIDE)
    cells[..., MOUTH[0], MOUTH[1]] = 1
    return cells


def test_the_window_holds_the_mouth_and_stays_inside():
    generator = Generator().manual_seed(0)
    for row in (0, 5, SIDE - 2):
        cells = torch.zeros(SIDE, SIDE)
        cells[row : row + 2, 6:9] = 1
        for _ in range(10):
            rows, columns = mouth_window(cells, generator)
            assert (rows.stop - rows.start, columns.stop - columns.start) == WINDOW
            assert rows.start >= 0 and rows.stop <= SIDE and columns.start >= 0 and columns.stop <= SIDE
            assert rows.start <= row and row + 2 <= rows.stop and columns.start <= 6 and columns.stop >= 9


def test_equal_latents_have_no_loss_and_others_a_gradient(loss):
    latents = torch.randn(2, SMALL.autoencoder.latent_channels, SIDE, SIDE)
    all_of_it = torch.ones(2, 1, SMALL.crop_size, SMALL.crop_size)
    assert loss(latents, latents.clone(), mouth(), all_of_it, Generator().manual_seed(0)) == 0
    moved = (latents + 0.3).requires_grad_()
    loss(moved, latents, mouth(), all_of_it, Generator().manual_seed(0)).backward()
    seen = moved.grad.abs().amax((0, 1)) > 0
    assert seen[MOUTH].all()
    assert not seen[:5].any()
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_what_is_not_shown_does_not_count(loss):
    latents = torch.randn(2, SMALL.autoencoder.latent_channels, SIDE, SIDE)

    def seen(share: float) -> float:
        shares = torch.full((2, 1, SMALL.crop_size, SMALL.crop_size), share)
        return float(loss(latents + 0.3, latents, mouth(), shares, Generator().manual_seed(0)))

    assert 0 == seen(0.0) < seen(0.5) < seen(1.0)
