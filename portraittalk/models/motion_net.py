"""The motion network: from speech to expression coefficients of the mouth and the jaw, and slightly of the brows."""

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
"""Coefficients that speech drives. A name without a side stands for both sides, which speech does not distinguish."""

BILABIALS = [PHONES.index(phone) for phone in "PBM"]
MEETING = (0.05, 0.2)  # probability of a p, b or m at which the lips begin to close, and at which they are closed

AMPLITUDE = {
    "jawOpen": 1.25, "mouthClose": 1.25, "mouthDimple": 1.8, "mouthFrown": 2.3, "mouthFunnel": 2.0,
    "mouthLowerDown": 1.85, "mouthPress": 2.0, "mouthPucker": 1.7, "mouthRollLower": 2.0, "mouthRollUpper": 1.15,
    "mouthShrugLower": 2.0, "mouthShrugUpper": 1.2, "mouthSmile": 1.6, "mouthStretch": 1.6, "mouthUpperUp": 1.8,
}  # fmt: skip
"""Factors of the network's coefficients. Least squares predicts the mean of all ways to say something, which moves less
than any of them. These restore the spread of real speakers: they are its ratio to the network's on 14 people it was
trained on, at most 2.3. The jaw's comes from the lip aperture, which closures and pauses reduce once more."""
AMPLITUDES = torch.tensor([AMPLITUDE.get(name, 1.0) for name in SPOKEN_NAMES])

JAW_OPEN, LIPS_CLOSE = SPOKEN_NAMES.index("jawOpen"), SPOKEN_NAMES.index("mouthClose")
LIPS_PART = [SPOKEN_NAMES.index(name) for name in ("mouthLowerDown", "mouthUpperUp", "mouthShrugUpper", "mouthFunnel")]
DILATIONS = (1, 2, 4)  # cycled over the layers; six layers have a receptive field of 14 frames, 0.56 s, to each side


BOTH_SIDES = torch.tensor(
    [[float(name in (stem, f"{stem}Left", f"{stem}Right")) for stem in SPOKEN_NAMES] for name in ARKIT_NAMES]
)
"""(52, len(SPOKEN_NAMES)) of 0 and 1: ``coefficients @ BOTH_SIDES.T`` are ARKit coefficients."""


def meet(coefficients: Tensor, phones: Tensor) -> Tensor:
    """Close the lips of coefficients (F, len(SPOKEN_NAMES)) where ``phones`` (F, len(PHONES)) make a p, b or m likely.

    A network trained by least squares hardly closes the lips in fluent speech. Here the lip coefficients close the
    mouth, while the jaw closes half way.
    """
    low, high = MEETING
    closing = ((phones[:, BILABIALS].sum(1) - low) / (high - low)).clamp(0, 1)
    met = coefficients.clone()
    met[:, LIPS_PART] *= (1 - closing)[:, None]
    met[:, JAW_OPEN] *= 1 - closing / 2
    met[:, LIPS_CLOSE] = torch.maximum(met[:, LIPS_CLOSE], closing * met[:, JAW_OPEN] * 1.1)
    return met


class TemporalBlock(nn.Module):
    """A gated residual block with a temporal convolution of kernel size 3: (B, F, C) -> (B, F, C)."""

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

    features: (B, F, W, M) from ``portraittalk.speech.features.encode_speech`` at 25 fps. The output of a frame depends
    on ``reach`` frames to each side and on ``band_levels`` of the whole speech, so a long speech can be processed in
    pieces. The levels equalise voices, rooms and microphones that differ from those of the training data.
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
        self.register_buffer("spread", torch.full((len(SPOKEN_NAMES),), 0.1))  # per coefficient, set in training
        self.register_buffer("usual_levels", torch.zeros(self.speech.dim))  # of the training data, set in training

    def levels(self, features: Tensor) -> Tensor:
        """Return the band levels (..., M) that ``forward`` takes, from features (..., F, W, M) of whole speeches."""
        return band_levels(features, self.usual_levels)

    def forward(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return coefficients (B, F, len(SPOKEN_NAMES)), about 0..1 but unbounded, and phone logits (B, F, phones).

        levels: (B, M) of the whole speeches, where ``features`` are pieces of them.
        """
        levels = self.levels(features) if levels is None else levels
        balanced = balance(features, self.usual_levels - levels)
        hidden = self.dropout(self.listen(balanced.flatten(2)))  # (B, F, width)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return self.to_motion(hidden) * self.spread, self.to_phones(hidden)

    def expression(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return ARKit coefficients (F, 52) in 0..1 and the probability (F,) of silence, for features (F, W, M).

        Coefficients that speech does not drive are 0. levels: (M,), as in ``forward``.
        """
        coefficients, logits = self(features[None], None if levels is None else levels[None])
        phones = logits[0].softmax(1)
        amplitude = AMPLITUDES.to(coefficients)
        speaking = 1 - phones[:, SILENT, None]  # in pauses the network's own amplitude is large enough
        spoken = meet((coefficients[0] * (1 + speaking * (amplitude - 1))).clamp(0, 1), phones)
        return spoken @ BOTH_SIDES.T.to(spoken), phones[:, SILENT]
