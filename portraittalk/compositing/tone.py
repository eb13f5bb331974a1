"""Monochrome pictures, such as black-and-white or sepia photographs: drawn content is converted to the same tone."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..smooth import smoothstep

LUMINANCE = (0.299, 0.587, 0.114)
SAMPLES = 64  # side of the downscaled picture that is analysed
ONE_TONE, COLOURED = 0.01, 0.02  # residual deviation of colours from the fit to brightness: monochrome, coloured
CONTRAST = 0.2  # standard deviation of brightness below which these are less, in proportion: faded and dark pictures


@dataclass(frozen=True)
class Tone:
    """The tone of a picture.

    share: 1 for a monochrome picture, 0 for a coloured one. curve: (3, 3) coefficients of brightness to the powers 0, 1
    and 2 for each colour channel. darkest, brightest: of the picture, between which the curve is known.
    """

    share: float
    curve: Tensor
    darkest: float
    brightest: float

    def __call__(self, pictures: Tensor) -> Tensor:
        """Convert pictures (F, 3, H, W) to this tone, with weight ``share``."""
        if not self.share:
            return pictures
        brightness = _brightness(pictures.movedim(1, 0))  # (F, H, W)
        known = brightness.clamp(self.darkest, self.brightest)
        toned = torch.einsum("pc,pfhw->fchw", self.curve, _powers(known)) + (brightness - known)[:, None]
        return pictures.lerp(toned.clamp(0, 1), self.share)


def tone_of(picture: Tensor) -> Tone:
    """Fit the tone of a picture (3, H, W) in 0..1: the least-squares quadratic from brightness to its colours."""
    colours = adaptive_avg_pool2d(picture, SAMPLES).flatten(1).float()  # (3, SAMPLES^2)
    brightness = _brightness(colours)
    powers = _powers(brightness).T
    curve = torch.linalg.pinv(powers) @ colours.T  # pinv, because a picture of a single colour is rank-deficient
    deviation = (colours.T - powers @ curve).square().mean().sqrt()
    deviation = deviation / (brightness.std() / CONTRAST).clamp(1e-3, 1)
    share = 1 - smoothstep((deviation - ONE_TONE) / (COLOURED - ONE_TONE))
    return Tone(share.item(), curve.to(picture), brightness.amin().item(), brightness.amax().item())


def _brightness(colours: Tensor) -> Tensor:
    """Return the brightness (...) of colours (3, ...)."""
    return torch.einsum("c...,c->...", colours, colours.new_tensor(LUMINANCE))


def _powers(brightness: Tensor) -> Tensor:
    """Return a brightness (...) to the powers 0, 1 and 2: (3, ...)."""
    return torch.stack((torch.ones_like(brightness), brightness, brightness.square()))
