"""LivePortrait's generator: the picture of moved features, by SPADE blocks (Park et al. 2019, arXiv 1903.07291)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ...config import LivePortraitConfig

MIDDLE_BLOCKS = 6
LEAKY = 0.2


class SpadeGenerator(nn.Module):
    """Features (N, W, h, w) -> pictures (N, 3, 8 h, 8 w) in 0..1."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        features = min(config.widest, 4 * config.width)
        wide = min(config.widest, 8 * config.width)
        self.fc = nn.Conv2d(features, wide, 3, padding=1)
        for number in range(MIDDLE_BLOCKS):
            setattr(self, f"G_middle_{number}", SpadeBlock(wide, wide, features, config.norm_width))
        self.up_0 = SpadeBlock(wide, features, features, config.norm_width)
        self.up_1 = SpadeBlock(features, config.drawn_width, features, config.norm_width)
        self.conv_img = nn.Sequential(nn.Conv2d(config.drawn_width, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, features: Tensor) -> Tensor:
        x = self.fc(features)
        for number in range(MIDDLE_BLOCKS):
            x = getattr(self, f"G_middle_{number}")(x, features)
        x = self.up_0(F.interpolate(x, scale_factor=2, mode="nearest"), features)
        x = self.up_1(F.interpolate(x, scale_factor=2, mode="nearest"), features)
        return self.conv_img(F.leaky_relu(x, LEAKY)).sigmoid()


class SpadeBlock(nn.Module):
    """A residual block (N, narrow, h, w) -> (N, wide, h, w) whose norms are set by the features."""

    def __init__(self, narrow: int, wide: int, features: int, hidden: int) -> None:
        super().__init__()
        middle = min(narrow, wide)
        self.conv_0, self.conv_1 = nn.Conv2d(narrow, middle, 3, padding=1), nn.Conv2d(middle, wide, 3, padding=1)
        self.norm_0, self.norm_1 = Spade(narrow, features, hidden), Spade(middle, features, hidden)
        self._changes_width = narrow != wide
        if self._changes_width:
            self.conv_s, self.norm_s = nn.Conv2d(narrow, wide, 1, bias=False), Spade(narrow, features, hidden)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        change = self.conv_0(F.leaky_relu(self.norm_0(x, features), LEAKY))
        change = self.conv_1(F.leaky_relu(self.norm_1(change, features), LEAKY))
        return change + (self.conv_s(self.norm_s(x, features)) if self._changes_width else x)


class Spade(nn.Module):
    """Instance norm whose scale and offset at each pixel come from the features there, through ``hidden`` channels."""

    def __init__(self, width: int, features: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(features, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = (nn.Conv2d(hidden, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        hidden = self.mlp_shared(F.interpolate(features, x.shape[-2:], mode="nearest"))
        return F.instance_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
