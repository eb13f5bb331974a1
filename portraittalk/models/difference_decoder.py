"""The decoder of a difference: what changed latents change in the picture, in one small network instead of two passes.

The pictures of mouth windows are ``input + decode(latents) - decode(encode(input))``. Most of what a decoder has to
know of a picture cancels out there. By the mean value theorem,

    decode(base + change) - decode(base) = J change,

where J is the decoder's Jacobian, averaged over the way from ``base`` to ``base + change``. This network has that form:
convolutions without bias carry the change, and gates that are worked out from both latents scale their channels. So no
change of the latents changes nothing in the picture, which a distilled copy of the decoder only approximates: with the
same training it was three times as wrong (``training.animate.difference``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import AutoencoderConfig, DifferenceDecoderConfig
from .pixel_shuffle import pixel_shuffle


class DifferenceDecoder(nn.Module):
    """Two sets of latents (N, C, h, w) -> ``decode(latents) - decode(base)``, (N, 3, S, S).

    Raises ValueError for an autoencoder that halves the resolution of its patches more or less than once.
    """

    def __init__(self, config: DifferenceDecoderConfig, autoencoder: AutoencoderConfig) -> None:
        super().__init__()
        if len(autoencoder.block_out_channels) != 2:
            raise ValueError("a difference decoder needs latents at half of the resolution of the patches")
        channels, self.patch_size = autoencoder.latent_channels, autoencoder.patch_size
        coarse, fine = config.coarse_channels, config.fine_channels
        self.seen = nn.Conv2d(2 * channels, coarse, 3, padding=1)
        self.context = _Residual(coarse, config.norm_num_groups)
        self.conv_in = _carrying(channels, coarse)
        self.gate_in = nn.Conv2d(coarse, coarse, 1)
        self.coarse = nn.ModuleList(_GatedBlock(coarse, coarse, 1) for _ in range(config.coarse_blocks))
        self.enlarge = _carrying(coarse, fine)
        self.gate_fine = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = _GatedBlock(fine, coarse, 2)
        self.conv_out = _carrying(fine, 3 * self.patch_size**2)

    def forward(self, latents: Tensor, base: Tensor) -> Tensor:
        """Return the difference that ``latents`` make to the picture of ``base``, both scaled for diffusion."""
        change = latents - base
        context = F.silu(self.context(self.seen(torch.cat((change, base), 1))))
        carried = self.conv_in(change) * (1 + self.gate_in(context))
        for block in self.coarse:
            carried = block(carried, context)
        carried = self.enlarge(F.interpolate(carried, scale_factor=2.0, mode="nearest"))
        carried = self.fine(carried * (1 + pixel_shuffle(self.gate_fine(context), 2)), context)
        return pixel_shuffle(self.conv_out(carried), self.patch_size)


class _Residual(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, hidden: Tensor) -> Tensor:
        change = hidden
        for norm, conv in zip(self.norms, self.convs, strict=True):
            change = conv(F.silu(norm(change)))
        return hidden + change


class _GatedBlock(nn.Module):
    """Two convolutions beside a shortcut, with gates of the context in between, ``scale`` times as fine as it."""

    def __init__(self, channels: int, context: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first, self.second = _carrying(channels, channels), _carrying(channels, channels)
        self.gate = nn.Conv2d(context, channels * scale**2, 1)

    def forward(self, carried: Tensor, context: Tensor) -> Tensor:
        gate = pixel_shuffle(self.gate(context), self.scale)
        return carried + self.second(self.first(carried) * gate)


def _carrying(channels: int, out: int) -> nn.Conv2d:
    """Return a convolution that makes nothing of nothing."""
    return nn.Conv2d(channels, out, 3, padding=1, bias=False)
