"""Encoders for AnimateNet: drawn landmark maps to features, coefficients and speech features to tokens."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import SpeechConfig, StructureConfig


class StructureEncoder(nn.Module):
    """Drawn landmark maps (N, M, m, m) -> features at latent resolution (N, channels, h, w)."""

    def __init__(self, config: StructureConfig, latent_size: int, channels: int) -> None:
        super().__init__()
        halvings = (config.map_size // latent_size).bit_length() - 1
        widths = [max(16, channels >> (halvings - i)) for i in range(halvings + 1)]
        self.conv_in = nn.Conv2d(config.map_channels, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(narrow, wide, 3, stride=2, padding=1) for narrow, wide in pairwise(widths))
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        features = F.silu(self.conv_in(maps))
        for down in self.downs:
            features = F.silu(down(features))
        return self.conv_out(features)


class StructureTokens(nn.Module):
    """Coefficients (N, K) of expression, pose and gaze of a frame -> tokens (N, T, D)."""

    def __init__(self, config: StructureConfig, token_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.coefficients, token_dim)
        self.out = nn.Linear(token_dim, config.tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)
        self.tokens = config.tokens

    def forward(self, coefficients: Tensor) -> Tensor:
        return self.norm(self.out(F.silu(self.hidden(coefficients))).unflatten(-1, (self.tokens, -1)))


class SpeechTokens(nn.Module):
    """Speech features around a frame (N, W, M) -> tokens (N, T, D), in temporal order."""

    def __init__(self, config: SpeechConfig, token_dim: int) -> None:
        super().__init__()
        stride = config.steps // config.tokens
        self.conv_in = nn.Conv1d(config.dim, token_dim, 3, padding=1)
        self.conv_out = nn.Conv1d(token_dim, token_dim, stride, stride=stride)
        self.position = nn.Parameter(torch.zeros(config.tokens, token_dim))
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.conv_out(F.silu(self.conv_in(features.transpose(1, 2)))).transpose(1, 2)
        return self.norm(tokens) + self.position
