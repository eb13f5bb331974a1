"""A small network that separates a person from the background.

The architecture is that of MediaPipe's selfie segmentation: the encoder of a narrow MobileNetV3 (Howard et al. 2019)
with its segmentation head, and a decoder in which what comes from below decides, channel by channel, how much of the
finer features is let through.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import MatteConfig


class MatteNet(nn.Module):
    """Upright views of a head (B, 3, S, S) in 0..1 -> logits (B, 1, S, S) of the share of each pixel that the person
    covers. S: a multiple of 16."""

    def __init__(self, config: MatteConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = SameConv(3, 16, 3, stride=2)
        self.stage1 = Inverted(16, 16, 16, 3, stride=2, squeezed=8)
        self.stage2 = nn.Sequential(
            Inverted(16, 72, 24, 3, stride=2),
            Inverted(24, 88, 24, 3),
        )
        self.stage3 = nn.Sequential(
            Inverted(24, 96, 32, 5, stride=2, squeezed=24, act=nn.Hardswish),
            Inverted(32, 128, 32, 5, squeezed=32, act=nn.Hardswish),
            Inverted(32, 128, 32, 5, squeezed=32, act=nn.Hardswish),
            Inverted(32, 96, 32, 5, squeezed=24, act=nn.Hardswish),
            Inverted(32, 96, 32, 5, squeezed=24, act=nn.Hardswish),
        )
        self.context, self.context_gate = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.ups = nn.ModuleList((Merge(128, 24), Merge(24, 16), Merge(16, 16)))
        self.head = nn.ConvTranspose2d(16, 1, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        half = F.hardswish(self.stem(images))  # (B, 16, S / 2, S / 2)
        quarter = self.stage1(half)
        eighth = self.stage2(quarter)
        x = self.stage3(eighth)  # (B, 32, S / 16, S / 16)
        x = self.context(x).relu() * self.context_gate(_mean(x)).sigmoid()
        for up, finer in zip(self.ups, (eighth, quarter, half), strict=True):
            x = up(x, finer)
        return self.head(x).float()


class SameConv(nn.Conv2d):
    """A convolution whose padding, if it cannot be the same at both sides, is larger at the right and the bottom."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups)

    def forward(self, input: Tensor) -> Tensor:  # named as in nn.Conv2d
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(input, (before, after, before, after)))


class Inverted(nn.Module):
    """An inverted residual block of MobileNetV3. squeezed: width of its channel attention, 0 for none."""

    def __init__(
        self,
        channels: int,
        width: int,
        out: int,
        kernel: int,
        stride: int = 1,
        squeezed: int = 0,
        act: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.adds = stride == 1 and channels == out
        self.expand, self.act = nn.Conv2d(channels, width, 1), act()
        self.spatial = SameConv(width, width, kernel, stride, groups=width)
        self.gate = Gate(width, squeezed) if squeezed else None
        self.project = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.spatial(self.act(self.expand(x))))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.project(y)
        return x + y if self.adds else y


class Gate(nn.Module):
    """Channel attention (Hu et al. 2018): features (B, C, h, w) -> factors (B, C, 1, 1) in 0..1."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(_mean(x)).relu()).sigmoid()


class Merge(nn.Module):
    """Enlarge features (B, C, h, w) and merge them with finer ones (B, D, 2 h, 2 w) into (B, D, 2 h, 2 w)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(channels, out, 1)
        self.gate = Gate(out, out)
        self.mix = nn.Conv2d(out, out, 1)
        self.spatial = SameConv(out, out, 3, groups=out)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        # The convolution is pointwise, so it may as well come before the enlargement.
        coarse = F.interpolate(self.coarse(x), finer.shape[-2:], mode="bilinear", align_corners=False)
        x = self.mix(finer * self.gate(finer + coarse) + coarse).relu()
        return x + self.spatial(x).relu()


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
