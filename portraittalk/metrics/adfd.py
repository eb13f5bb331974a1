"""ADFD, Audio-Driven Facial Dynamics: are the parts of the face where the speech says, and do they move as it says?

PortraitTalk's authors name such a metric; their formula could not be read, and **this one is our reading of the name**.
No number of theirs can be compared with it.

Nine curves are read from the landmarks of the video (``dynamics.MEASURES``: lips, jaw, lip corners, cheeks; free of
the head's pose), and the same nine are predicted from the sound by a small network that the generator has no part in,
or taken from a reference video. With both in units of how much each curve moves in filmed speech, for a lag of l frames

    S(l) = sum over curves k of trust_k * r(found_k, wanted_k shifted by l)            spatial
    T(l) = the same of their velocities, x(t + 1) - x(t - 1)                           temporal
    r(a, b) = cov(a, b) / sqrt((var a + e) (var b + e)),  e = 0.02
    ADFD = max over l of g(l) * max(S, 0) * max(T, 0)
    g(l) = exp(-0.5 (max(|l| - 40 ms, 0) / 200 ms)^2),  |l| up to 320 ms

Why so: correlations, since faces differ in how far they open and a predictor of the average voice cannot know it; e,
since otherwise the noise of the landmarks of a still picture would correlate with something; a product, since the
right place at the wrong pace (a mouth open all sentence long) and the right pace at the wrong place are both wrong; a
search over lags with a price, since the right speech a fifth of a second late is a smaller fault than another speech,
which a plain correlation cannot tell apart. Up to 40 ms are free: nobody sees them.

0: a still picture, or motion against the speech. Another speech of the same kind gives about 0.15, since all speech
opens and closes mouths at the same pace. Real video gets 0.4 to 0.5 from the predictor, which hears what is said and
not how this person says it, and nearly 1 with itself as the reference. See ``metrics/README.md`` for figures.

Limits: the predictor learnt from one English speaker. Amplitude is not judged, nor teeth, tongue or eyes. Less than
two seconds say little, and a silence has nothing to follow: it gives 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .dynamics import FPS, DynamicsNet

REACH = 8  # frames of lag that are looked through
FREE = 1  # frames of lag that cost nothing
PATIENCE = 5  # frames of lag beyond these at which a match is worth exp(-0.5)
STILLNESS = 0.02  # variance, in units of a curve's own in filmed speech, that counts as none
SHORTEST = 25  # frames


@dataclass(frozen=True)
class Adfd:
    """score: 0..1. spatial and temporal: S and T where the score was found. lag: frames there, positive where the
    face is late."""

    score: float
    spatial: float
    temporal: float
    lag: int

    @property
    def lag_seconds(self) -> float:
        return self.lag / FPS


def adfd(found: Tensor, wanted: Tensor, net: DynamicsNet) -> Adfd | None:
    """found: curves (F, 9) of the video; wanted: those of the speech (``net.curves_of``) or of a reference video.

    Both at 25 frames a second in eye distances, NaN in frames without a face. The longer one is cut at its end. None
    where less than a second is left.
    """
    count = min(len(found), len(wanted))
    if count < SHORTEST:
        return None
    found, wanted = found[:count] / net.spread, wanted[:count] / net.spread
    best = Adfd(0.0, 0.0, 0.0, 0)
    for lag in sorted(range(-REACH, REACH + 1), key=abs):
        late = found[max(lag, 0) : count + min(lag, 0)]
        early = wanted[max(-lag, 0) : count - max(lag, 0)]
        spatial = _agreement(late, early, net.trust)
        temporal = _agreement(late[2:] - late[:-2], early[2:] - early[:-2], net.trust)
        excess = max(abs(lag) - FREE, 0) / PATIENCE
        price = torch.tensor(-0.5 * excess**2).exp().item()
        score = price * max(spatial, 0.0) * max(temporal, 0.0)
        if score > best.score or lag == 0:
            best = Adfd(score, spatial, temporal, lag)
    return best


def score(result: Adfd | None) -> float | None:
    return None if result is None else result.score


def _agreement(a: Tensor, b: Tensor, trust: Tensor) -> float:
    """Correlation of curves (F, 9), each weighted by ``trust``, over the frames in which both are known."""
    known = a.isfinite().all(1) & b.isfinite().all(1)
    if known.sum() < 2:
        return 0.0
    a, b = a[known] - a[known].mean(0), b[known] - b[known].mean(0)
    power = (a.square().mean(0) + STILLNESS) * (b.square().mean(0) + STILLNESS)
    return float((trust * (a * b).mean(0) / power.sqrt()).sum())
