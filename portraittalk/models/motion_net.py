"""The motion network: what the mouth, the jaw and a little the brows do while a speech is heard."""

import torch
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..motion.arkit import ARKIT_INDEX, ARKIT_NAMES

MOTION_FPS = 25.0
SPOKEN_NAMES = tuple(name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth", "brow")))
"""The coefficients that speech moves; all others belong to blinks, gaze and expression."""
SPOKEN = tuple(ARKIT_INDEX[name] for name in SPOKEN_NAMES)

DILATIONS = (1, 2, 4)  # repeated over the layers: six layers see 14 frames, 0.56 s, to either side


class TemporalBlock(nn.Module):
    """Pre-norm residual convolution over time, gated; shape (B, C, F) is kept."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv1d(width, 2 * width, kernel_size=3, padding=dilation, dilation=dilation)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, hidden: Tensor) -> Tensor:
        value, gate = self.conv(self.norm(hidden)).chunk(2, dim=1)
        return hidden + self.out(self.dropout(value * torch.sigmoid(gate)))
