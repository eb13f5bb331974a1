"""LivePortrait's motion extractor: pose, expression and implicit keypoints of a face.

It is a ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import LivePortraitConfig
from .keypoints import FaceMotion, rotation_of

BINS, DEGREES_PER_BIN, FIRST_BIN = 66, 3.0, -97.5  # of the distribution over an angle
EPS = 1e-6


class MotionExtractor(nn.Module):
    """Crops (N, 3, 256, 256) in 0..1 -> ``FaceMotion``. Runs in single precision: half a degree is seen."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        dims, last, values = config.motion_dims, config.motion_dims[-1], 3 * config.keypoints
        self._keypoints = config.keypoints
        stem = nn.Sequential(nn.Conv2d(3, dims[0], 4, 4), ChannelNorm(dims[0]))
        between = [nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, 2)) for a, b in pairwise(dims)]
        self.downsample_layers = nn.ModuleList([stem, *between])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNextBlock(dim) for _ in range(depth)))
            for dim, depth in zip(dims, config.motion_depths, strict=True)
        )
        self.norm = nn.LayerNorm(last, eps=EPS)
        self.fc_kp, self.fc_exp = nn.Linear(last, values), nn.Linear(last, values)
        self.fc_pitch, self.fc_yaw, self.fc_roll = (nn.Linear(last, BINS) for _ in range(3))
        self.fc_t, self.fc_scale = nn.Linear(last, 3), nn.Linear(last, 1)

    def features(self, crops: Tensor) -> Tensor:
        """Return the features (N, C) that all outputs are linear in."""
        x = crops
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.norm(x.mean((2, 3)))

    def forward(self, crops: Tensor) -> FaceMotion:
        x = self.features(crops)
        return FaceMotion(
            keypoints=self.fc_kp(x).unflatten(1, (self._keypoints, 3)),
            rotation=rotation_of(*(degrees(head(x)) for head in (self.fc_pitch, self.fc_yaw, self.fc_roll))),
            expression=self.fc_exp(x).unflatten(1, (self._keypoints, 3)),
            translation=self.fc_t(x),
            scale=self.fc_scale(x),
        )


def degrees(bins: Tensor) -> Tensor:
    """Return the expected angle (N,) in degrees of logits (N, 66) over bins."""
    places = torch.arange(BINS, device=bins.device, dtype=bins.dtype)
    return DEGREES_PER_BIN * (bins.softmax(1) * places).sum(1) + FIRST_BIN


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvNextBlock(nn.Module):
    """A block of ConvNeXt V2, of (N, C, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.grn = GlobalResponseNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        change = self.norm(self.dwconv(x).movedim(1, -1))  # (N, h, w, C)
        change = self.pwconv2(self.grn(F.gelu(self.pwconv1(change))))
        return x + change.movedim(-1, 1)


class GlobalResponseNorm(nn.Module):
    """Scales each channel of (N, h, w, C) by its norm over space, relative to the mean of all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(1, 1, 1, width)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        return self.gamma * (x * (size / (size.mean(-1, keepdim=True) + EPS))) + self.beta + x
