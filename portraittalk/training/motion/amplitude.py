"""How far the motion network's coefficients go: the curves of ``full_amplitude``, fitted to real speakers.

``full_amplitude`` gives the network's coefficients the distribution of real ones, with numbers that belong to the
shipped network. ``calibrate`` scales the output of another network so that the same numbers hold for it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...config import SpeechConfig
from ...models.face_basis import FaceBasis
from ...models.motion_net import AMPLITUDES, BOTH_SIDES, JAW_OPEN, LIPS_CLOSE, MOTION_FPS, SPOKEN_NAMES, MotionNet
from ...speech.features import log_mel, patches
from ...speech.phones import SILENT
from .speech_data import Utterance, at_frames

QUANTILES = torch.linspace(0.02, 0.98, 97)
CANDIDATES = 46  # thresholds tried: quantiles of the predicted values up to 0.9
MOST_GAIN = 10.0
SCALES = (0.02, 20.0)  # smallest and largest factor of a coefficient
JAW_ROUNDS = 4
# The lip aperture decides about these; their spread alone is compared.
PARTING = [JAW_OPEN, LIPS_CLOSE] + [
    SPOKEN_NAMES.index(name) for name in ("mouthLowerDown", "mouthUpperUp", "mouthShrugUpper")
]
SHAPING = [
    index for index, name in enumerate(SPOKEN_NAMES) if not name.startswith("brow") and index not in PARTING
]  # those that give the mouth its shape


def fit_amplitude(predicted: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return thresholds and gains (K,) with which ``gain * max(x - threshold, 0)`` has the quantiles of real ones.

    predicted, real: (N, K) and (M, K) coefficients while speaking; they need not belong together.
    """
    sources, targets = predicted.quantile(QUANTILES, 0), real.quantile(QUANTILES, 0)  # (Q, K)
    thresholds = predicted.quantile(torch.linspace(0, 0.9, CANDIDATES), 0)  # (T, K)
    above = (sources - thresholds[:, None]).clamp_min(0)  # (T, Q, K)
    gains = (above * targets).sum(1) / above.square().sum(1).clamp_min(1e-9)
    gains = gains.clamp_max(MOST_GAIN)
    errors = (gains[:, None] * above - targets).square().sum(1)  # (T, K)
    best = errors.argmin(0, keepdim=True)
    return thresholds.gather(0, best)[0], gains.gather(0, best)[0]


@torch.no_grad()
def calibrate(
    net: MotionNet, groups: Sequence[Sequence[Utterance]], basis: FaceBasis, config: SpeechConfig, most: int = 60
) -> None:
    """Scale and shift the coefficients of ``net`` in place, so that ``full_amplitude`` makes real ones of them.

    groups: utterances with real motion; each group counts the same, with at most ``most`` of its utterances.
    Coefficients without real motion, and those of the brows, stay. Nothing changes without utterances.
    """
    pools = [group[:: max(len(group) // most, 1)][:most] for group in groups if group]
    if not pools:
        return
    net.eval()
    device = net.to_motion.weight.device
    parts = [[_predicted(net, one, config) for one in pool] for pool in pools]
    raw, phones, real = (_pooled([[part[index] for part in pool] for pool in parts]) for index in range(3))
    speaking = phones[:, SILENT] < 0.5
    captured = (~real.isnan()).float().mean(0) > 0.5
    if speaking.sum() < 2:
        return
    scale, shift = torch.ones(len(SPOKEN_NAMES)), torch.zeros(len(SPOKEN_NAMES))
    threshold, gain, _ = AMPLITUDES
    for index in (*SHAPING, *PARTING):
        if not captured[index]:
            continue
        known = speaking & ~real[:, index].isnan()
        x, y = raw[known, index, None], real[known, index, None]
        if index in SHAPING:
            own_threshold, own_gain = fit_amplitude(x, y)
            scale[index] = (own_gain / gain[index]).clamp(*SCALES)[0]
            shift[index] = threshold[index] - scale[index] * own_threshold[0]
        else:
            spread = (gain[index] * (x - threshold[index]).clamp_min(0)).std().clamp_min(1e-4)
            scale[index] = (y.std() / spread).clamp(*SCALES)
    if captured[JAW_OPEN]:
        wanted = basis.asked_aperture(real[speaking].nan_to_num() @ BOTH_SIDES.T).std()
        for _ in range(JAW_ROUNDS):
            shown = net.shown(scale * raw + shift, phones)[speaking]
            ratio = wanted / basis.asked_aperture(shown @ BOTH_SIDES.T).std().clamp_min(1e-4)
            scale[JAW_OPEN] = (scale[JAW_OPEN] * ratio).clamp(*SCALES)
    scale, shift = scale.to(device), shift.to(device)
    net.to_motion.weight.mul_(scale[:, None])
    net.to_motion.bias.mul_(scale).add_(shift / net.spread)


def _predicted(net: MotionNet, utterance: Utterance, config: SpeechConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return the network's coefficients (F, K), the phones' probabilities (F, phones) and the real motion (F, K)."""
    motion = at_frames(utterance.motion, config)
    features = patches(log_mel(utterance.power, utterance.gain), len(motion), MOTION_FPS, config)
    coefficients, logits = net(features[None].to(net.spread.device))
    return coefficients[0].cpu(), logits[0].softmax(1).cpu(), motion


def _pooled(pools: Sequence[Sequence[Tensor]]) -> Tensor:
    """Concatenate the frames of all pools, as many evenly chosen ones of each as the shortest has."""
    joined = [torch.cat(list(pool)) for pool in pools]
    count = min(map(len, joined))
    return torch.cat([frames[torch.linspace(0, len(frames) - 1, count).long()] for frames in joined])
