"""Convolution blocks that LivePortrait's networks share, in two or three dimensions."""

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, batch norm and ReLU, of pictures (N, C, h, w) or with ``volume`` of (N, C, D, h, w).

    pool, upsample: halves height and width afterwards, or doubles them before. slope: of a leaky ReLU.
    """

    def __init__(
        self,
        narrow: int,
        wide: int,
        volume: bool = False,
        pool: bool = False,
        upsample: bool = False,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = (nn.Conv3d if volume else nn.Conv2d)(narrow, wide, 3, padding=1)
        self.norm = (nn.BatchNorm3d if volume else nn.BatchNorm2d)(wide)
        self._pool, self._upsample, self._slope = pool, upsample, slope

    def forward(self, x: Tensor) -> Tensor:
        if self._upsample:
            x = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
        x = F.leaky_relu(self.norm(self.conv(x)), self._slope)
        if self._pool:  # in two dimensions, because torch has no pooling of volumes in bf16 on the CPU
            x = F.avg_pool2d(x.flatten(1, -3), 2).view(*x.shape[:-2], x.shape[-2] // 2, x.shape[-1] // 2)
        return x


class VolumeBlock(nn.Module):
    """A residual block of a volume (N, C, D, h, w): batch norm, ReLU and convolution, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(change)))
