"""A patch discriminator, and the losses with which it makes pictures sharp.

Its step and the generator's share one backward pass: while it judges the generator's pictures, its own weights take no
gradient, and while it learns, the pictures are detached.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

GAIN = 4.0  # spectral norms limit the slope to one, so that scores of a haze and of teeth would differ by too little


class PatchDiscriminator(nn.Module):
    """Pictures (N, C, H, W) in 0..1 -> scores (N, 1, h, w), positive for real ones, each of a patch of 22 pixels.

    channels: C, more than 3 if it also sees what the picture was made from.
    """

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = (32, 64, 96)) -> None:
        super().__init__()
        self.downs = nn.ModuleList(
            spectral_norm(nn.Conv2d(narrow, wide, 4, stride=2, padding=1))
            for narrow, wide in pairwise((channels, *widths))
        )
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = pictures * 2 - 1
        for down in self.downs:
            hidden = F.leaky_relu(down(hidden), 0.2)
        return GAIN * self.score(hidden)


def adversarial_losses(
    discriminator: PatchDiscriminator, made: Tensor, real: Tensor, given: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the generator's loss and the discriminator's hinge loss for pictures (N, 3, H, W).

    given: (N, C, H, W) what both were made from, shown to the discriminator beside the picture.
    """

    def score(pictures: Tensor) -> Tensor:
        shown = pictures if given is None else torch.cat((pictures, given), 1)
        return discriminator(shown).float()

    discriminator.requires_grad_(False)
    generator_loss = -score(made).mean()
    discriminator.requires_grad_(True)
    real_loss, made_loss = F.relu(1 - score(real)).mean(), F.relu(1 + score(made.detach())).mean()
    return generator_loss, real_loss + made_loss
