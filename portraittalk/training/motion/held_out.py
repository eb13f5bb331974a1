"""Figures of a motion network on held-out recordings, without rendering."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ...config import SpeechConfig
from ...media.audio import read_audio
from ...metrics.lips import closure
from ...metrics.naturalness import lip_dynamics
from ...models.face_basis import FaceBasis
from ...models.motion_net import BOTH_SIDES, MOTION_FPS, MotionNet
from ...speech.features import encode_speech
from .recordings import Recording

log = logging.getLogger(__name__)

LARGEST_LAG = 3  # largest lag tried, in frames


@torch.no_grad()
def held_out_figures(
    net: MotionNet, recordings: Sequence[Recording], basis: FaceBasis, config: SpeechConfig
) -> dict[str, Tensor]:
    """Log the figures of each recording and return their means.

    aperture_correlation: of the lip aperture with the real one. aperture_spread, lip_dynamics: how far the aperture,
    and all lip landmarks (``metrics.naturalness``), are spread over time, relative to the real ones; 1 is as much.
    closure: share of p, b and m with closed lips, where phones are known.
    """
    rows = [_figures(net, one, basis, config) for one in recordings]
    names = dict.fromkeys(name for row in rows for name in row)
    means = {}
    for name in names:
        values = torch.tensor([row[name] for row in rows if name in row])
        means[name] = values.nanmean()
    log.info("held out: %s", "  ".join(f"{name} {value:.3f}" for name, value in means.items()))
    return means


def _figures(net: MotionNet, recording: Recording, basis: FaceBasis, config: SpeechConfig) -> dict[str, float]:
    expression, *_ = net.expression(encode_speech(read_audio(recording.sound), MOTION_FPS, config).features)
    count = min(len(expression), len(recording.motion))
    captured = ~recording.motion.isnan().all(0)
    made = expression[:count].cpu() * (BOTH_SIDES @ captured.float())
    real = recording.motion[:count].nan_to_num() @ BOTH_SIDES.T
    ours, theirs = (basis.asked_aperture(one) for one in (made, real))
    lags = {lag: correlation(ours, theirs, lag) for lag in range(-LARGEST_LAG, LARGEST_LAG + 1)}
    best = max(lags, key=lambda lag: lags[lag])
    dynamics = [lip_dynamics((basis.mean + basis.displacement(one))[..., :2]) for one in (made, real)]
    row = {
        "aperture_correlation": lags[0],
        "aperture_spread": (ours.std() / theirs.std().clamp_min(1e-6)).item(),
        "lip_dynamics": dynamics[0] / max(dynamics[1], 1e-6),
    }
    if recording.phones is not None:
        closed = closure(ours, recording.phones, MOTION_FPS)
        row |= {} if closed is None else {"closure": closed}
    text = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
    log.info("%s: %s, best correlation %.3f at lag %d", recording.name, text, lags[best], best)
    return row


def correlation(a: Tensor, b: Tensor, lag: int = 0) -> float:
    """Return the Pearson correlation of two curves (F,), with ``b`` ``lag`` frames later than ``a``."""
    a, b = a[max(-lag, 0) : len(a) - max(lag, 0)], b[max(lag, 0) : len(b) - max(-lag, 0)]
    return torch.corrcoef(torch.stack((a, b)))[0, 1].item()
