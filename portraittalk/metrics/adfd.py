"""ADFD, Audio-Driven Facial Dynamics: how well facial positions and velocities agree with the speech.

PortraitTalk's authors name such a metric; their formula could not be read, and **this one is our reading of the name**.
Its values cannot be compared with theirs.

Nine curves are measured from the landmarks of the video (``dynamics.MEASURES``: lips, jaw, lip corners, cheeks;
independent of head pose). The same nine are predicted from the audio by a small network that is independent of the
generator, or measured in a reference video. Both are divided by the standard deviation of each curve in filmed speech.
For a lag of l frames

    S(l) = sum over curves k of trust_k * r(measured_k, target_k shifted by l)         spatial
    T(l) = the same for their velocities, x(t + 1) - x(t - 1)                          temporal
    r(a, b) = cov(a, b) / sqrt((var a + e) (var b + e)),  e = 0.02
    ADFD = max over l of g(l) * max(S, 0) * max(T, 0)
    g(l) = exp(-0.5 (max(|l| - 40 ms, 0) / 200 ms)^2),  |l| up to 320 ms

Reasons: correlations, because mouth amplitude differs between people and a predictor of the average speaker cannot
know it; e, because otherwise landmark noise of a still picture would correlate by chance; a product, because right
positions at the wrong velocities (a mouth open for the whole sentence) and the reverse are both wrong; a search over
lags with a penalty, because the right speech 0.2 s late is a smaller error than a different speech, and a correlation
at lag 0 cannot tell the two apart. Lags up to 40 ms are not penalised, because they are imperceptible.

Score 0: a still picture, or motion that contradicts the speech. A different speech of the same kind scores about 0.15,
because all speech opens and closes the mouth at a similar rate. Real video scores 0.4 to 0.5 against the predictor,
which knows what is said but not how this person says it, and nearly 1 with itself as the reference. Measured values
are in ``metrics/README.md``.

Limits: the predictor was trained on one English speaker. Amplitude, teeth, tongue and eyes are not judged. Clips under
two seconds are not meaningful. Silence has no motion to follow and scores 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .dynamics import FPS, DynamicsNet

REACH = 8  # largest lag in frames
FREE = 1  # frames of lag without penalty
PATIENCE = 5  # sigma in frames of the Gaussian penalty beyond FREE
STILLNESS = 0.02  # e: added to each variance, in units of the curve's variance in filmed speech
SHORTEST = 25  # frames


@dataclass(frozen=True)
class Adfd:
    """ADFD of a clip.

    score: 0..1. spatial, temporal: S and T at the best lag. lag: the best lag in frames, positive if the face is late.
    """

    score: float
    spatial: float
    temporal: float
    lag: int

    @property
    def lag_seconds(self) -> float:
        return self.lag / FPS


def adfd(measured: Tensor, target: Tensor, net: DynamicsNet) -> Adfd | None:
    """Return the ADFD of a video, or None if the clip is shorter than a second.

    measured: curves (F, 9) of the video. target: those of the speech (``net.curves_of``) or of a reference video.
    Both at 25 fps in eye distances, NaN in frames without a face. The longer one is trimmed at its end.
    """
    count = min(len(measured), len(target))
    if count < SHORTEST:
        return None
    measured, target = measured[:count] / net.spread, target[:count] / net.spread
    best = Adfd(0.0, 0.0, 0.0, 0)
    for lag in sorted(range(-REACH, REACH + 1), key=abs):
        late = measured[max(lag, 0) : count + min(lag, 0)]
        early = target[max(-lag, 0) : count - max(lag, 0)]
        spatial = _agreement(late, early, net.trust)
        temporal = _agreement(late[2:] - late[:-2], early[2:] - early[:-2], net.trust)
        excess = max(abs(lag) - FREE, 0) / PATIENCE
        penalty = torch.tensor(-0.5 * excess**2).exp().item()
        score = penalty * max(spatial, 0.0) * max(temporal, 0.0)
        if score > best.score or lag == 0:
            best = Adfd(score, spatial, temporal, lag)
    return best


def score(result: Adfd | None) -> float | None:
    """Return the score, or None without a result."""
    return None if result is None else result.score


def _agreement(a: Tensor, b: Tensor, trust: Tensor) -> float:
    """Return the ``trust``-weighted sum of the correlations of curves (F, 9), over frames in which both are finite."""
    known = a.isfinite().all(1) & b.isfinite().all(1)
    if known.sum() < 2:
        return 0.0
    a, b = a[known] - a[known].mean(0), b[known] - b[known].mean(0)
    power = (a.square().mean(0) + STILLNESS) * (b.square().mean(0) + STILLNESS)
    return float((trust * (a * b).mean(0) / power.sqrt()).sum())
