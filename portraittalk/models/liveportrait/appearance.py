"""LivePortrait's appearance extractor: what a face looks like, as a volume of features."""

from itertools import pairwise

from torch import Tensor, nn

from ...config import LivePortraitConfig
from .blocks import ConvBlock, VolumeBlock

VOLUME_BLOCKS = 6


class AppearanceExtractor(nn.Module):
    """Crops (N, 3, 4 h, 4 w) in 0..1 -> volumes (N, C, D, h, w) with D ``depth`` and C ``channels``."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        widths = [min(config.widest, config.width * 2**level) for level in range(3)]
        self._shape = config.channels, config.depth
        self.first = ConvBlock(3, widths[0])
        self.down_blocks = nn.ModuleList([ConvBlock(*pair, pool=True) for pair in pairwise(widths)])
        self.second = nn.Conv2d(widths[-1], config.channels * config.depth, 1)
        self.resblocks_3d = nn.Sequential(*(VolumeBlock(config.channels) for _ in range(VOLUME_BLOCKS)))

    def forward(self, crops: Tensor) -> Tensor:
        x = self.first(crops)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(self.second(x).unflatten(1, self._shape))
