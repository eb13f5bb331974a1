"""The motion network: from speech to expression coefficients of the mouth and the jaw, and slightly of the brows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arkit import ARKIT_NAMES
from ..config import PortraitTalkConfig
from ..speech import phones as phone_set
from ..speech.features import balance, band_levels
from ..speech.phones import PHONES, SILENT

MOTION_FPS = 25.0
SPOKEN_NAMES = (
    "jawOpen", "mouthClose", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLowerDown", "mouthPress", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile", "mouthStretch",
    "mouthUpperUp", "browDown", "browInnerUp", "browOuterUp",
)  # fmt: skip
"""Coefficients that speech drives. A name without a side stands for both sides, which speech does not distinguish."""

BILABIALS, LABIODENTALS, DENTALS, ALVEOLARS, VOWELS = (
    [PHONES.index(phone) for phone in group]
    for group in (
        phone_set.BILABIALS,
        phone_set.LABIODENTALS,
        phone_set.DENTALS,
        phone_set.ALVEOLARS,
        phone_set.VOWELS,
    )
)
MEETING = (0.02, 0.08)  # probability of a p, b or m at which the lips begin to close, and at which they are closed
BITING = (0.1, 0.3)  # probability of an f or v at which the lower lip begins to rise, and at which it meets the teeth
# Probability of an l, n, d or t relative to that of these and the vowels, with a constant added to the latter, at which
# the tip of the tongue begins to rise and at which it touches; probability of a th at which it comes out, and is out.
RISING, UNHEARD = (0.38, 0.52), 0.1
COMING_OUT = (0.03, 0.1)

# Threshold, gain and largest value of each coefficient while speaking, see ``full_amplitude``.
AMPLITUDE = {
    "jawOpen": (0.04, 1.25, 1.0), "mouthClose": (0.0, 1.25, 1.0), "mouthDimple": (0.014, 4.75, 0.17),
    "mouthFrown": (0.03, 6.95, 0.41), "mouthFunnel": (0.028, 4.9, 0.35), "mouthLowerDown": (0.0, 1.85, 1.0),
    "mouthPress": (0.012, 10.0, 0.16), "mouthPucker": (0.016, 2.8, 0.98), "mouthRollLower": (0.012, 10.0, 0.23),
    "mouthRollUpper": (0.076, 7.0, 0.27), "mouthShrugLower": (0.012, 10.0, 0.68), "mouthShrugUpper": (0.0, 1.2, 1.0),
    "mouthSmile": (0.016, 2.45, 0.38), "mouthStretch": (0.01, 3.95, 0.13), "mouthUpperUp": (0.0, 1.8, 1.0),
}  # fmt: skip
AMPLITUDES = torch.tensor([AMPLITUDE.get(name, (0.0, 1.0, 1.0)) for name in SPOKEN_NAMES]).T  # (3, K)

JAW_OPEN, LIPS_CLOSE = SPOKEN_NAMES.index("jawOpen"), SPOKEN_NAMES.index("mouthClose")
LIPS_PART = [SPOKEN_NAMES.index(name) for name in ("mouthLowerDown", "mouthUpperUp", "mouthShrugUpper", "mouthFunnel")]
# Range of each coefficient in an f or v: the upper lip bares the teeth, and the lower one rises to them.
BITE = {
    "jawOpen": (0.0, 0.07), "mouthClose": (0.0, 0.03), "mouthFunnel": (0.0, 0.1), "mouthLowerDown": (0.0, 0.0),
    "mouthPucker": (0.0, 0.2), "mouthShrugLower": (0.25, 1.0), "mouthUpperUp": (0.17, 1.0),
}  # fmt: skip
BITES = torch.tensor([BITE.get(name, (0.0, 1.0)) for name in SPOKEN_NAMES]).T  # (2, K)
DILATIONS = (1, 2, 4)  # cycled over the layers; six layers have a receptive field of 14 frames, 0.56 s, to each side


BOTH_SIDES = torch.tensor(
    [[float(name in (stem, f"{stem}Left", f"{stem}Right")) for stem in SPOKEN_NAMES] for name in ARKIT_NAMES]
)
"""(52, len(SPOKEN_NAMES)) of 0 and 1: ``coefficients @ BOTH_SIDES.T`` are ARKit coefficients."""


def full_amplitude(coefficients: Tensor, speaking: Tensor) -> Tensor:
    """Give coefficients (F, len(SPOKEN_NAMES)) of the network the distribution of real ones, in 0..1.

    Least squares predicts the mean of all ways to say something: coefficients that never reach 0, as most of a real
    mouth's are most of the time, and never go far. ``min(gain * max(x - threshold, 0), largest)`` undoes both. It keeps
    the order of the values, and with it the time at which the lips move. The numbers are fitted to the quantiles of 16
    people, none of them held out, free speech with a weight of 0.7 (``training.motion.amplitude``). Those of the jaw
    and of what parts the lips are chosen for the lip aperture, which closures and pauses reduce once more.

    speaking: (F, 1) in 0..1; in pauses the network's own amplitude is large enough.
    """
    threshold, gain, largest = AMPLITUDES.to(coefficients)
    full = torch.minimum(gain * (coefficients - threshold).clamp_min(0), largest)
    return torch.lerp(coefficients.clamp(0, 1), full, speaking)


def meet(coefficients: Tensor, phones: Tensor) -> Tensor:
    """Close the lips of coefficients (F, len(SPOKEN_NAMES)) where ``phones`` (F, len(PHONES)) make a p, b or m likely.

    A network trained by least squares hardly closes the lips in fluent speech. Here the lip coefficients close the
    mouth, while the jaw closes half way.
    """
    closing = _between(phones[:, BILABIALS].sum(1), MEETING)
    met = coefficients.clone()
    met[:, LIPS_PART] *= (1 - closing)[:, None]
    met[:, JAW_OPEN] *= 1 - closing / 2
    met[:, LIPS_CLOSE] = torch.maximum(met[:, LIPS_CLOSE], closing * met[:, JAW_OPEN] * 1.1)
    return met


def bite(coefficients: Tensor, phones: Tensor) -> Tensor:
    """Bring the lower lip to the upper teeth where ``phones`` (F, len(PHONES)) make an f or v likely.

    coefficients: (F, len(SPOKEN_NAMES)) in 0..1.
    """
    least, most = BITES.to(coefficients)
    biting = _between(phones[:, LABIODENTALS].sum(1), BITING)[:, None]
    return coefficients.lerp(torch.minimum(torch.maximum(coefficients, least), most), biting)


def tongue_tip(phones: Tensor) -> Tensor:
    """Return how far the tip of the tongue is raised, and how far it is between the teeth: (F, 2) in 0..1.

    phones: (F, len(PHONES)), their probabilities. L, N, D and T raise it, TH and DH bring it out. Only vowels speak
    against a raised one: other consonants hide it behind lips or teeth. S and Z, for which teeth shut, are left out.
    """
    alveolar, dental, vowel = (phones[:, group].sum(1) for group in (ALVEOLARS, DENTALS, VOWELS))
    raised = _between(alveolar / (alveolar + vowel + UNHEARD), RISING)
    return torch.stack((raised, _between(dental, COMING_OUT)), 1)


def _between(values: Tensor, ends: tuple[float, float]) -> Tensor:
    """Return 0 below the lower, 1 above the upper of two ends, and a line between them."""
    low, high = ends
    return ((values - low) / (high - low)).clamp(0, 1)


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

    def expression(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return ARKit coefficients (F, 52) in 0..1, the probability (F,) of silence, and ``tongue_tip`` (F, 2).

        features: (F, W, M). Coefficients that speech does not drive are 0, and so is tongueOut.
        levels: (M,), as in ``forward``.
        """
        coefficients, logits = self(features[None], None if levels is None else levels[None])
        phones = logits[0].softmax(1)
        spoken = self.shown(coefficients[0], phones)
        return spoken @ BOTH_SIDES.T.to(spoken), phones[:, SILENT], tongue_tip(phones)

    @staticmethod
    def shown(coefficients: Tensor, phones: Tensor) -> Tensor:
        """Return the coefficients (F, K) in 0..1 to show for those of ``forward`` and the phones' probabilities."""
        return meet(bite(full_amplitude(coefficients, 1 - phones[:, SILENT, None]), phones), phones)
