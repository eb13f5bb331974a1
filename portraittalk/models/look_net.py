"""What a prompt does to the look of a picture, and which look a sentence asks for.

The paper leaves text-driven editing of the portrait to IdentityNet; that this part of it is a network of its own, which
acts on pixels, is our reading.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LookConfig


class LookNet(nn.Module):
    """Pictures (B, 3, h, w) in 0..1 and the mixture of looks (B, L) -> how to change each pixel's colour.

    The change is an affine map of colours at every pixel, as in HDRNet (Gharbi et al. 2017), so that it can be made on
    a larger version of the same picture, whose detail it carries along. ``paper`` (3, n, n) is a tile of grain.
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
        """pictures, paper: (B, 3, h, w), h and w multiples of ``fold``. -> colour maps (B, 12, h, w)."""
        asked = F.silu(self.embedding(looks))
        x = self.stem(F.pixel_unshuffle(torch.cat((pictures - 0.5, paper), 1), self.config.fold))
        for block in self.blocks:
            x = block(x, asked)
        return F.pixel_shuffle(self.head(x), self.config.fold)

    def paper_of(self, height: int, width: int) -> Tensor:
        """The paper (3, height, width) of a whole picture: the tile, repeated."""
        size = self.config.paper
        return self.paper.tile(1, -(-height // size), -(-width // size))[:, :height, :width]


class LookBlock(nn.Module):
    """A residual block whose features are scaled and shifted by the look (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int, embedding: int, dilation: int) -> None:
        super().__init__()
        self.film = nn.Linear(embedding, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, asked: Tensor) -> Tensor:
        scale, shift = self.film(asked)[..., None, None].chunk(2, 1)
        return x + self.second(F.silu(self.first(F.silu(x)) * (1 + scale) + shift))


def colour_maps(net: LookNet, pictures: Tensor, mixture: Tensor, paper: Tensor) -> Tensor:
    """LookNet's maps (B, 12, h, w) for pictures of any size, in one mixture (L,) of looks."""
    height, width = pictures.shape[-2:]
    fold = net.config.fold
    border = (0, -width % fold, 0, -height % fold)
    padded = [F.pad(x, border, mode="replicate") for x in (pictures, paper)]
    return net(padded[0], mixture.expand(len(pictures), -1), padded[1])[..., :height, :width]


def recoloured(pictures: Tensor, maps: Tensor) -> Tensor:
    """pictures (B, 3, H, W) by colour maps (B, 12, h, w), enlarged to their size: (I + A) x + b, not clamped."""
    if maps.shape[-2:] != pictures.shape[-2:]:
        maps = F.interpolate(maps, pictures.shape[-2:], mode="bilinear", align_corners=False)
    matrix = maps[:, :9].unflatten(1, (3, 3))
    return pictures + (matrix * pictures[:, None]).sum(2) + maps[:, 9:]


class LookReader(nn.Module):
    """Sentence embeddings (B, D) -> the logits (B, L) of the looks and (B,), that they ask for a look at all."""

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
