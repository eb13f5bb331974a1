"""Pictures of one tone, such as black and white or sepia photographs: what is drawn into them has no other colours."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..smooth import smoothstep

LUMINANCE = (0.299, 0.587, 0.114)
SAMPLES = 64  # a side of the picture that is judged
ONE_TONE, COLOURED = 0.01, 0.02  # what of a picture's colours its brightness does not explain, standard deviation


@dataclass(frozen=True)
class Tone:
    """share: 1 where the picture has one tone, 0 where it is coloured. curve: (3, 3), the coefficients of brightness to
    the powers 0, 1 and 2 for each channel of the tone."""

    share: float
    curve: Tensor

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (F, 3, H, W) in this tone, as far as it is one."""
        if not self.share:
            return pictures
        toned = torch.einsum("pc,pfhw->fchw", self.curve, _powers(pictures.movedim(1, 0)))
        return pictures.lerp(toned.clamp(0, 1), self.share)


def tone_of(picture: Tensor) -> Tone:
    """The tone of a picture (3, H, W) in 0..1: the quadratic that best makes its colours of its brightness."""
    colours = adaptive_avg_pool2d(picture, SAMPLES).flatten(1).float()  # (3, SAMPLES^2)
    powers = _powers(colours).flatten(1).T
    curve = torch.linalg.pinv(powers) @ colours.T  # a picture of one colour alone has no full rank
    spread = (colours.T - powers @ curve).square().mean().sqrt()
    share = 1 - smoothstep((spread - ONE_TONE) / (COLOURED - ONE_TONE))
    return Tone(share.item(), curve.to(picture))


def _powers(colours: Tensor) -> Tensor:
    """(3, ...) -> (3, ...): brightness to the powers 0, 1 and 2."""
    brightness = torch.einsum("c...,c->...", colours, colours.new_tensor(LUMINANCE))
    return torch.stack((torch.ones_like(brightness), brightness, brightness.square()))
