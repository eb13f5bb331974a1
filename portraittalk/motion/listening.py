"""What people do while somebody else speaks: they look at the speaker, and nod at the ends of longer phrases.

Amplitudes are our own choice, after the ranges of conversations in Hadar, Steiner and Rose 1985 (nods of listeners) and
Vertegaal, Slagter, van der Veer and Nijholt 2001 (listeners look at the speaker most of the time).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .draws import Draws
from .track import MotionTrack
from .transform import low_pass

LARGEST_ANGLE = 0.7  # radians: people side by side are not looked at straight, but past the camera
HEAD_SHARE, GAZE_SHARE = 0.3, 0.35  # of the angle to the speaker; photographs bear no more
TURN_SECONDS = 0.35  # standard deviation of the time over which attention moves
LONG_PHRASE = 1.0  # seconds after which the end of a phrase may be answered by a nod
NOD_SECONDS, NOD_RADIANS, NOD_DELAY = 0.7, 0.05, 0.15
NODDED = 0.6  # share of the long phrases

_NODS = 41  # stream of random numbers


@dataclass(frozen=True)
class Other:
    """Somebody else in the picture. phrases: (start, end) in seconds of what they say. right, down: from the listener
    to them in the picture, in the listener's eye distances."""

    phrases: tuple[tuple[float, float], ...]
    right: float
    down: float


def listen(
    track: MotionTrack,
    own_phrases: tuple[tuple[float, float], ...],
    others: Sequence[Other],
    seed: int,
    liveliness: float = 1.0,
) -> MotionTrack:
    """Return the track of one person of a conversation, who listens while only others speak.

    own_phrases: (start, end) in seconds of what this person says. liveliness: scales turns and nods; 0 is still.
    """
    times = torch.arange(len(track), dtype=torch.float64) / track.fps
    silent = ~_during(own_phrases, times)
    toward = torch.zeros(len(track), 2, dtype=torch.float64)  # yaw to the right, pitch down
    nods = torch.zeros(len(track), dtype=torch.float64)
    talking = torch.zeros(len(track), dtype=torch.float64)
    for number, other in enumerate(others):
        speaks = _during(other.phrases, times) & silent
        talking += speaks
        toward += speaks[:, None] * torch.tensor([_angle(other.right), _angle(other.down)], dtype=torch.float64)
        nods += _nods(other.phrases, times, seed + number)
    toward = liveliness * low_pass(toward / talking.clamp_min(1)[:, None], TURN_SECONDS * track.fps)
    quiet = low_pass(silent.double()[:, None], 0.5 * TURN_SECONDS * track.fps)[:, 0]
    rotation, gaze = track.rotation.clone(), track.gaze.clone()
    rotation[:, 0] += (HEAD_SHARE * toward[:, 1] + liveliness * NOD_RADIANS * nods * quiet).to(rotation)
    rotation[:, 1] += (HEAD_SHARE * toward[:, 0]).to(rotation)
    gaze += (GAZE_SHARE * toward).to(gaze)
    return replace(track, rotation=rotation, gaze=gaze)


def _angle(offset: float) -> float:
    """Return the angle in radians to somebody this many eye distances away, limited to ``LARGEST_ANGLE``."""
    return math.tanh(offset / 4) * LARGEST_ANGLE


def _during(phrases: tuple[tuple[float, float], ...], times: Tensor) -> Tensor:
    """Return for each of the times (F,) in seconds whether it lies in a phrase."""
    inside = torch.zeros(len(times), dtype=torch.bool)
    for start, end in phrases:
        inside |= (times >= start) & (times < end)
    return inside


def _nods(phrases: tuple[tuple[float, float], ...], times: Tensor, seed: int) -> Tensor:
    """Return nods (F,), about 1 where the head is lowest, at the ends of some long phrases."""
    draws, nods = Draws(seed, _NODS), torch.zeros(len(times), dtype=torch.float64)
    for start, end in phrases:
        chance, strength = draws.uniform(end, 2).tolist()
        if end - start < LONG_PHRASE or chance > NODDED:
            continue
        position = (times - end - NOD_DELAY) / NOD_SECONDS
        inside = (position > 0) & (position < 1)
        # Two nods, the second half as deep, that begin and end at rest.
        nods += inside * (0.6 + 0.6 * strength) * (1 - 0.5 * position) * (2 * math.pi * position).sin().square()
    return nods
