"""Networks that give a picture a look, and that predict from a sentence which look it asks for.

The paper leaves text-driven editing of the portrait to IdentityNet. A separate network for looks, acting on pixels, is
our reading.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LookConfig


class LookNet(nn.Module):
    """Pictures (B, 3, h, w) in 0..1 and mixture weights of looks (B, L) -> a colour transform per pixel.

    The transform is affine, as in HDRNet (Gharbi et al. 2017), so it can be upsampled and applied to a larger version
    of the picture without loss of detail. ``paper`` (3, n, n) is a tile of paper grain.
    """

    paper: Tensor

    def __init__(self, config: LookConfig) -> None:
        super().__init__()
        self.config = config
        cells = config.fold**2
        self.embedding = nn.Linear(len(config.looks), config.embedding)
        self.stem = nn.Conv2d(6 * cells, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(LookBlock(config.width, config.embedding, d) for d in config.dilations)
        self.head = nn.Conv2d(config.width, 12 * cells, 1)
        self.register_buffer("paper", torch.zeros(3, config.paper, config.paper))

    def forward(self, pictures: Tensor, looks: Tensor, paper: Tensor) -> Tensor:
        """Return colour maps (B, 12, h, w). pictures, paper: (B, 3, h, w), h and w multiples of ``fold``."""
        look = F.silu(self.embedding(looks))
        x = self.stem(F.pixel_unshuffle(torch.cat((pictures - 0.5, paper), 1), self.config.fold))
        for block in self.blocks:
            x = block(x, look)
        return F.pixel_shuffle(self.head(x), self.config.fold)

    def paper_of(self, height: int, width: int) -> Tensor:
        """Repeat the paper tile to the size of a picture: (3, height, width)."""
        size = self.config.paper
        return self.paper.tile(1, -(-height // size), -(-width // size))[:, :height, :width]


class LookBlock(nn.Module):
    """A residual block with FiLM conditioning (Perez et al. 2018) on the embedded look."""

    def __init__(self, width: int, embedding: int, dilation: int) -> None:
        super().__init__()
        self.film = nn.Linear(embedding, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, look: Tensor) -> Tensor:
        scale, shift = self.film(look)[..., None, None].chunk(2, 1)
        return x + self.second(F.silu(self.first(F.silu(x)) * (1 + scale) + shift))


def colour_maps(net: LookNet, pictures: Tensor, mixture: Tensor, paper: Tensor) -> Tensor:
    """Return LookNet's colour maps (B, 12, h, w) for pictures of any size and one mixture (L,) of looks."""
    height, width = pictures.shape[-2:]
    fold = net.config.fold
    border = (0, -width % fold, 0, -height % fold)
    padded = [F.pad(x, border, mode="replicate") for x in (pictures, paper)]
    return net(padded[0], mixture.expand(len(pictures), -1), padded[1])[..., :height, :width]


def recoloured(pictures: Tensor, maps: Tensor) -> Tensor:
    """Apply colour maps (B, 12, h, w), upsampled, to pictures (B, 3, H, W): (I + A) x + b, not clamped."""
    if maps.shape[-2:] != pictures.shape[-2:]:
        maps = F.interpolate(maps, pictures.shape[-2:], mode="bilinear", align_corners=False)
    matrix = maps[:, :9].unflatten(1, (3, 3))
    return pictures + (matrix * pictures[:, None]).sum(2) + maps[:, 9:]


class LookReader(nn.Module):
    """Sentence embeddings (B, D) -> logits (B, L) of the looks, and the logit (B,) that any look is asked for."""

    def __init__(self, config: LookConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.dim, config.hidden),
            nn.SiLU(),
            nn.Dropout(0.3),
            nn.Linear(config.hidden, len(config.looks) + 1),
        )

    def forward(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        out = self.layers(sentences * sentences.shape[-1] ** 0.5)
        return out[:, :-1], out[:, -1]
