"""A small face detector: for every grid cell, the logit that a face centre lies there, and the face's keypoints."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from ..config import FaceDetectorConfig

PATCH = 4  # side in pixels of the patches that are folded into channels
GROUPS = 8


class Residual(nn.Module):
    """Residual block of two convolutions that keeps the number of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.norm2(self.conv1(self.act(self.norm1(x))))))


class FaceDetector(nn.Module):
    """Pictures (B, 3, S, S) in 0..1 -> logits (B, g, g) and keypoints (B, g, g, K, 2), g = S / stride.

    The face centre is the mean of the face's keypoints. Keypoints are absolute positions, as fractions of the picture's
    side; those of a cell are meaningful only where its logit is high.
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
        nn.init.constant_(self.head.bias[:1], -4.0)  # type: ignore[index]  # has a bias; most cells have no face

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(pixel_unshuffle(images * 2 - 1, PATCH))  # (B, C, S / 4, S / 4)
        merged = None
        pyramid = []
        for level in self.levels:
            x = level(x)
            pyramid.append(x)
        for side, features in zip(reversed(self.sides), reversed(pyramid), strict=True):
            lateral = side(features)
            merged = lateral if merged is None else lateral + interpolate(merged, lateral.shape[-2:], mode="nearest")
        out = self.head(self.merge(merged)).float()
        cells = out.shape[-1]
        middles = (torch.arange(cells, device=out.device) + 0.5) / cells
        centres = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)  # (g, g, 2)
        offsets = out[:, 1:].unflatten(1, (-1, 2)).permute(0, 3, 4, 1, 2)  # (B, g, g, K, 2)
        return out[:, 0], centres[:, :, None] + offsets
