"""The motion network: what the mouth, the jaw and a little the brows do while a speech is heard."""

from functools import cache

import torch
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..motion.arkit import ARKIT_NAMES

MOTION_FPS = 25.0
SPOKEN_NAMES = (
    "jawOpen", "mouthClose", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLowerDown", "mouthPress", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile", "mouthStretch",
    "mouthUpperUp", "browDown", "browInnerUp", "browOuterUp",
)  # fmt: skip
"""What speech moves. A name without a side stands for both sides, which speech does not tell apart."""

DILATIONS = (1, 2, 4)  # in turn over the layers: six layers see 14 frames, 0.56 s, to either side


@cache
def both_sides() -> Tensor:
    """(52, len(SPOKEN_NAMES)) of 0 and 1: ``coefficients @ both_sides().T`` are ARKit's."""
    return torch.tensor(
        [[float(name in (stem, f"{stem}Left", f"{stem}Right")) for stem in SPOKEN_NAMES] for name in ARKIT_NAMES]
    )


class FrameNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, F): each frame by itself, whatever the clip's length."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden.transpose(1, 2)).transpose(1, 2)


class TemporalBlock(nn.Module):
    """A gated residual convolution over time; the shape (B, C, F) is kept."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.conv = nn.Conv1d(width, 2 * width, kernel_size=3, padding=dilation, dilation=dilation)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, hidden: Tensor) -> Tensor:
        value, gate = self.conv(self.norm(hidden)).chunk(2, dim=1)
        return hidden + self.out(self.dropout(value * torch.sigmoid(gate)))


class MotionNet(nn.Module):
    """Speech features at ``MOTION_FPS`` -> expression coefficients, and, for training only, the phones.

    features: (B, F, W, M) as ``portraittalk.speech.features.encode_speech`` makes them at 25 frames a second. A frame
    depends on ``reach`` frames to either side and no more, so that a long speech can be taken piece by piece.
    """

    def __init__(self, config: PortraitTalkConfig, dropout: float = 0.1) -> None:
        super().__init__()
        net, self.speech = config.motion_net, config.speech
        self.dilations = tuple(DILATIONS[index % len(DILATIONS)] for index in range(net.layers))
        self.listen = nn.Linear(self.speech.steps * self.speech.dim, net.width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TemporalBlock(net.width, dilation, dropout) for dilation in self.dilations)
        self.norm = FrameNorm(net.width)
        self.to_motion = nn.Conv1d(net.width, len(SPOKEN_NAMES), kernel_size=1)
        self.to_phones = nn.Conv1d(net.width, net.phones, kernel_size=1)

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's motion depends on."""
        return sum(self.dilations)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """-> coefficients (B, F, len(SPOKEN_NAMES)), about 0..1 but unbounded; phone logits (B, F, phones)."""
        hidden = self.dropout(self.listen(features.flatten(2))).transpose(1, 2)  # (B, width, F)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return self.to_motion(hidden).transpose(1, 2), self.to_phones(hidden).transpose(1, 2)

    def expression(self, features: Tensor) -> Tensor:
        """(F, W, M) -> ARKit coefficients (F, 52) in 0..1, those that speech does not move at 0."""
        coefficients, _ = self(features[None])
        return coefficients[0].clamp(0, 1) @ both_sides().T.to(coefficients)
