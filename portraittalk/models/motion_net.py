"""The motion network: what the mouth, the jaw and a little the brows do while a speech is heard."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arkit import ARKIT_NAMES
from ..config import PortraitTalkConfig
from ..speech.features import balance, band_levels
from ..speech.phones import PHONES, SILENT

MOTION_FPS = 25.0
SPOKEN_NAMES = (
    "jawOpen", "mouthClose", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLowerDown", "mouthPress", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile", "mouthStretch",
    "mouthUpperUp", "browDown", "browInnerUp", "browOuterUp",
)  # fmt: skip
"""What speech moves. A name without a side stands for both sides, which speech does not tell apart."""

BILABIALS = [PHONES.index(phone) for phone in "PBM"]
MEETING = (0.05, 0.2)  # how likely a p, b or m is when the lips begin to meet for it, and when they do

JAW_OPEN, LIPS_CLOSE = SPOKEN_NAMES.index("jawOpen"), SPOKEN_NAMES.index("mouthClose")
LIPS_PART = [SPOKEN_NAMES.index(name) for name in ("mouthLowerDown", "mouthUpperUp", "mouthShrugUpper", "mouthFunnel")]
DILATIONS = (1, 2, 4)  # in turn over the layers: six layers see 14 frames, 0.56 s, to either side


BOTH_SIDES = torch.tensor(
    [[float(name in (stem, f"{stem}Left", f"{stem}Right")) for stem in SPOKEN_NAMES] for name in ARKIT_NAMES]
)
"""(52, len(SPOKEN_NAMES)) of 0 and 1: ``coefficients @ BOTH_SIDES.T`` are ARKit's."""


def meet(coefficients: Tensor, phones: Tensor) -> Tensor:
    """Coefficients (F, len(SPOKEN_NAMES)) whose lips meet where a p, b or m is likely enough: (F, len(PHONES)).

    What is learnt by least squares hardly closes lips in fluent speech. Here the lips themselves do it, over a jaw that
    rises half the way.
    """
    low, high = MEETING
    closing = ((phones[:, BILABIALS].sum(1) - low) / (high - low)).clamp(0, 1)
    met = coefficients.clone()
    met[:, LIPS_PART] *= (1 - closing)[:, None]
    met[:, JAW_OPEN] *= 1 - closing / 2
    met[:, LIPS_CLOSE] = torch.maximum(met[:, LIPS_CLOSE], closing * met[:, JAW_OPEN] * 1.1)
    return met


class TemporalBlock(nn.Module):
    """A gated residual convolution of three taps over time; the shape (B, F, C) is kept."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.taps = nn.Linear(3 * width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        frames, step = hidden.shape[1], self.dilation
        padded = F.pad(self.norm(hidden), (0, 0, step, step))
        around = torch.cat([padded[:, start : start + frames] for start in (0, step, 2 * step)], dim=2)  # (B, F, 3 C)
        value, gate = self.taps(around).chunk(2, dim=2)
        return hidden + self.out(self.dropout(value * torch.sigmoid(gate)))


class MotionNet(nn.Module):
    """Speech features at ``MOTION_FPS`` -> expression coefficients and phones.

    features: (B, F, W, M) as ``portraittalk.speech.features.encode_speech`` makes them at 25 frames a second. A frame
    depends on ``reach`` frames to either side, and on ``band_levels`` of the whole speech, so that a long speech can be
    taken piece by piece. By those levels voices, rooms and microphones that sound unlike those of training are brought
    near them.
    """

    spread: Tensor
    usual_levels: Tensor

    def __init__(self, config: PortraitTalkConfig, dropout: float = 0.2) -> None:
        super().__init__()
        net, self.speech = config.motion_net, config.speech
        dilations = [DILATIONS[index % len(DILATIONS)] for index in range(net.layers)]
        self.reach = sum(dilations)
        self.listen = nn.Linear(self.speech.steps * self.speech.dim, net.width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TemporalBlock(net.width, dilation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(net.width)
        self.to_motion = nn.Linear(net.width, len(SPOKEN_NAMES))
        self.to_phones = nn.Linear(net.width, net.phones)
        self.register_buffer("spread", torch.full((len(SPOKEN_NAMES),), 0.1))  # of each coefficient, set by the trainer
        self.register_buffer("usual_levels", torch.zeros(self.speech.dim))  # of the speech of training, set by it too

    def levels(self, features: Tensor) -> Tensor:
        """Features (..., F, W, M) of whole speeches -> what ``forward`` needs to know of all of each: (..., M)."""
        return band_levels(features, self.usual_levels)

    def forward(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """-> coefficients (B, F, len(SPOKEN_NAMES)), about 0..1 but unbounded; phone logits (B, F, phones).

        levels: (B, M) of the whole speeches where these are pieces.
        """
        levels = self.levels(features) if levels is None else levels
        heard = balance(features, self.usual_levels - levels)
        hidden = self.dropout(self.listen(heard.flatten(2)))  # (B, F, width)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return self.to_motion(hidden) * self.spread, self.to_phones(hidden)

    def expression(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(F, W, M) -> ARKit coefficients (F, 52) in 0..1, those that speech does not move at 0, and how likely nothing
        is said: (F,). levels: (M,)."""
        coefficients, logits = self(features[None], None if levels is None else levels[None])
        phones = logits[0].softmax(1)
        spoken = meet(coefficients[0].clamp(0, 1), phones)
        return spoken @ BOTH_SIDES.T.to(spoken), phones[:, SILENT]
