"""IdentityNet: reference pictures of one person -> identity tokens.

A convolutional encoder, trained in the first stage and frozen in the second, gives identity features; a small attention
resampler projects them to tokens. Tokens of several references are concatenated.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import IdentityNetConfig


class IdentityEncoder(nn.Module):
    """References (N, 3, S, S) in 0..1 -> features (N, widths[-1], s, s); ``embed`` gives a unit-length embedding."""

    def __init__(self, config: IdentityNetConfig) -> None:
        super().__init__()
        self.input_size = config.input_size
        self.conv_in = nn.Conv2d(3, config.widths[0], 4, stride=4)
        self.blocks = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(config.widths))
        self.embedding = nn.Linear(config.widths[-1], config.embedding_dim)

    def forward(self, references: Tensor) -> Tensor:
        side = (self.input_size, self.input_size)
        small = F.interpolate(references, side, mode="bilinear", antialias=True, align_corners=False)
        features = self.conv_in(small * 2 - 1)
        for block in self.blocks:
            features = block(features)
        return features

    def embed(self, features: Tensor) -> Tensor:
        return F.normalize(self.embedding(features.mean((-2, -1))), dim=-1)


class ResidualDown(nn.Module):
    """Residual block that halves the resolution: (N, A, s, s) -> (N, B, s / 2, s / 2)."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, narrow)
        self.conv1 = nn.Conv2d(narrow, wide, 3, padding=1)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(narrow, wide, 2, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.conv2(F.silu(self.conv1(F.silu(self.norm(features)))))
        return hidden + self.shortcut(features)


class Resampler(nn.Module):
    """Features (N, P, C) -> a fixed number of tokens (N, T, D), by learned queries that attend to the features."""

    def __init__(self, config: IdentityNetConfig, token_dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.tokens, token_dim) / token_dim**0.5)
        self.position = nn.Parameter(torch.zeros(_grid(config) ** 2, token_dim))
        self.project = nn.Linear(config.widths[-1], token_dim)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                token_dim, config.heads, 2 * token_dim, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, features: Tensor) -> Tensor:
        memory = self.project(features) + self.position
        tokens = self.queries.expand(len(features), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, memory)
        return self.norm(tokens)


class IdentityNet(nn.Module):
    """References (N, 3, S, S) in 0..1 of one person -> identity tokens (N * T, D)."""

    def __init__(self, config: IdentityNetConfig, token_dim: int) -> None:
        super().__init__()
        self.encoder = IdentityEncoder(config)
        self.resampler = Resampler(config, token_dim)

    def forward(self, references: Tensor) -> Tensor:
        return self.tokens(self.encoder(references)).flatten(0, 1)

    def tokens(self, features: Tensor) -> Tensor:
        """Project identity features (N, C, s, s) to tokens (N, T, D)."""
        return self.resampler(features.flatten(2).transpose(1, 2))


def _grid(config: IdentityNetConfig) -> int:
    return config.input_size // 4 // 2 ** (len(config.widths) - 1)
