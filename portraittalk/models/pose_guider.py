"""PoseGuider: encodes drawn poses to features for five places in the denoiser.

The layout and the state dict keys are those of AniPortrait (Wei et al. 2024, arXiv 2403.17694). Its released code runs
this network in training mode, so batch norm uses the statistics of the batch of frames. Whether the running statistics
in the released weights were meant instead is not known; both are supported. Upstream also passes a reference pose, but
its attention is self-attention and ignores that second stream, so it is left out here.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers import Transformer2DModel
from torch import Tensor, nn
from torch.nn import Parameter

STEM = (3, 3, 16, 16, 32, 32, 64, 64, 128)  # widths; every second convolution but the last halves the resolution


class FrameBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the batch, or with the running statistics of the weights."""

    def __init__(self, channels: int, batch_statistics: bool) -> None:
        super().__init__(channels)
        self.batch_statistics = batch_statistics

    def forward(self, features: Tensor) -> Tensor:
        mean, var = (None, None) if self.batch_statistics else (self.running_mean, self.running_var)
        return F.batch_norm(features, mean, var, self.weight, self.bias, self.batch_statistics, 0.0, self.eps)


class PoseGuider(nn.Module):
    """Drawn poses (N, 3, 8 h, 8 w) in 0..1 of all N frames of a window -> a list of five features, each for N frames.

    With C ``channels`` in the denoiser's first level, the first is (C, h, w) for its first convolution; those for the
    outputs of its down blocks are (C, h/2, w/2), (2C, h/4, w/4), (4C, h/8, w/8) and again (4C, h/8, w/8).
    """

    def __init__(self, channels: int, batch_statistics: bool = True, heads: int = 16, head_dim: int = 88) -> None:
        super().__init__()

        def convolutions(*layers: tuple[int, int, int, int]) -> nn.Sequential:
            """Build layers of (input channels, output channels, kernel size, stride)."""
            built: list[nn.Module] = []
            for narrow, wide, kernel, stride in layers:
                built += [nn.Conv2d(narrow, wide, kernel, stride, 1), FrameBatchNorm(wide, batch_statistics), nn.ReLU()]
            return nn.Sequential(*built)

        def attention(width: int) -> Transformer2DModel:
            return Transformer2DModel(heads, head_dim, width)

        stem = [(a, b, 4, 2) if i in (1, 3, 5) else (a, b, 3, 1) for i, (a, b) in enumerate(pairwise(STEM))]
        one, two, four = channels, 2 * channels, 4 * channels
        self.conv_layers = convolutions(*stem)
        self.final_proj = nn.Conv2d(STEM[-1], channels, 1)
        self.scale = Parameter(torch.full((1,), 2.0))
        self.conv_layers_1 = convolutions((one, one, 3, 1), (one, one, 3, 2))
        self.conv_layers_2 = convolutions((one, one, 3, 1), (one, two, 3, 2))
        self.conv_layers_3 = convolutions((two, two, 3, 1), (two, four, 3, 2))
        self.conv_layers_4 = convolutions((four, four, 3, 1))
        self.cross_attn1, self.cross_attn2 = attention(one), attention(two)
        self.cross_attn3, self.cross_attn4 = attention(four), attention(four)

    def forward(self, poses: Tensor) -> list[Tensor]:
        first = self.final_proj(self.conv_layers(poses)) * self.scale
        second = self.cross_attn1(self.conv_layers_1(first), return_dict=False)[0]
        third = self.cross_attn2(self.conv_layers_2(second), return_dict=False)[0]
        fourth = self.cross_attn3(self.conv_layers_3(third), return_dict=False)[0]
        fifth = self.cross_attn4(self.conv_layers_4(fourth), return_dict=False)[0]
        return [first, second, third, fourth, fifth]
