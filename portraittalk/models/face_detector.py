"""A small detector of faces: for every cell of a grid, how likely a face's middle is there, and its keypoints."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from ..config import FaceDetectorConfig

PATCH = 4  # pixels a side that are folded into channels first
GROUPS = 8


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the channels stay."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.norm2(self.conv1(self.act(self.norm1(x))))))


class FaceDetector(nn.Module):
    """Pictures (B, 3, S, S) in 0..1 -> logits (B, g, g) and keypoints (B, g, g, K, 2), g = S / stride.

    A logit belongs to the middle of a face's keypoints. Keypoints are fractions of the picture's side, wherever in the
    picture they are; those of a cell mean something only where its logit is high.
    """

    def __init__(self, config: FaceDetectorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3 * PATCH**2, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual(b), Residual(b))
            for a, b in pairwise(widths)
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, widths[1], 1) for width in widths[1:])
        self.merge = nn.Sequential(Residual(widths[1]), Residual(widths[1]), nn.GroupNorm(GROUPS, widths[1]), nn.SiLU())
        self.head = nn.Conv2d(widths[1], 1 + 2 * config.keypoints, 1)
        nn.init.constant_(self.head.bias[:1], -4.0)  # type: ignore[index]  # a bias is there; faces are rare

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(pixel_unshuffle(images * 2 - 1, PATCH))  # (B, C, S / 4, S / 4)
        merged = None
        seen = []
        for level in self.levels:
            x = level(x)
            seen.append(x)
        for side, features in zip(reversed(self.sides), reversed(seen), strict=True):
            own = side(features)
            merged = own if merged is None else own + interpolate(merged, own.shape[-2:], mode="nearest")
        out = self.head(self.merge(merged)).float()
        cells = out.shape[-1]
        middles = (torch.arange(cells, device=out.device) + 0.5) / cells
        here = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)  # (g, g, 2)
        offsets = out[:, 1:].unflatten(1, (-1, 2)).permute(0, 3, 4, 1, 2)  # (B, g, g, K, 2)
        return out[:, 0], here[:, :, None] + offsets
