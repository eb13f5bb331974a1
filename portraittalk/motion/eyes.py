"""Blinks and gaze of a speaker.

People blink at the ends of phrases far more often than within them, look away when a longer utterance begins, and back
when it ends (Kendon 1967; Graf, Cosatto, Strom and Huang 2002).
"""

import math

import torch
from torch import Tensor

from ..smooth import smoothstep
from ..speech.prosody import Prosody
from .draws import Draws

BLINKS_PER_MINUTE = 16.0
BLINK_PAUSE = 0.9  # seconds between blinks, at least
BLINK_CLOSE, BLINK_HOLD, BLINK_OPEN = 0.09, 0.04, 0.19  # seconds
BLINK_PACE = (0.85, 0.3)  # shortest, and what is added at most, relative to the usual duration
BLINK_SECONDS = sum(BLINK_PACE) * (BLINK_CLOSE + BLINK_HOLD + BLINK_OPEN)  # the longest one
AT_PHRASE_END = 0.4  # share of the phrase ends with a blink, at the usual rate
STEP = 0.04  # seconds: a blink may start in each step

GLANCE_PAUSE, GLANCE_WAIT = 0.3, 0.9  # seconds between small saccades
GLANCE = (0.03, 0.016)  # radians, standard deviation to the sides and up and down
SACCADE_SECONDS = 0.05
LOOK_AWAY = 0.45  # share of the longer phrases that begin with a look away
LONG_PHRASE = 1.5  # seconds
AWAY = (0.13, 0.05)  # radians to one side and down, on average
AWAY_SECONDS = (0.45, 0.7)  # minimum, and what is added at most


def blinks(
    prosody: Prosody, times: Tensor, seed: int, per_minute: float = BLINKS_PER_MINUTE, tempo: float = 1.0
) -> Tensor:
    """Return blinks (F,) in 0..1 at ``times`` (F,) in seconds; the lids close faster than they open.

    per_minute: mean number of blinks, 0 for none. tempo: a blink slows down by half of what the rest does. No blink is
    left unfinished at the end.
    """
    slowness = tempo**-0.5
    closed = torch.zeros(len(times))
    if per_minute <= 0:
        return closed
    draws = Draws(seed, 10)
    ends = {round(end / STEP) for _, end in prosody.phrases}
    more = per_minute / BLINKS_PER_MINUTE
    at_ends = min(AT_PHRASE_END * more, 0.9)
    elsewhere = max(per_minute / 60 - at_ends * len(ends) / max(prosody.seconds, 1e-6), per_minute / 180)
    elsewhere /= max(1 - per_minute / 60 * BLINK_PAUSE, 0.2)  # none starts in the pause after another
    last = -BLINK_PAUSE / 2
    for step in range(math.floor((prosody.seconds - slowness * BLINK_SECONDS) / STEP) + 1):
        start = step * STEP
        if start - last < BLINK_PAUSE:
            continue
        chance = at_ends if step in ends else STEP * elsewhere
        happens, length = draws.uniform(start, 2).tolist()
        if happens < chance:
            closed = torch.maximum(closed, _blink(times - start, slowness * (BLINK_PACE[0] + BLINK_PACE[1] * length)))
            last = start
    return closed


def gaze(prosody: Prosody, times: Tensor, seed: int, tempo: float = 1.0) -> Tensor:
    """Return gaze angles (F, 2) in radians, to the side and down, that jump and are constant in between.

    tempo: how often the eyes jump.
    """
    draws, aversions = Draws(seed, 11), Draws(seed, 12)
    angles, current = torch.zeros(len(times), 2), torch.zeros(2)
    moment = 0.0
    while moment < prosody.seconds:
        target = draws.normal(moment, 2) * torch.tensor(GLANCE)
        angles += smoothstep((times - moment) / SACCADE_SECONDS)[:, None] * (target - current) if moment else 0
        current = target if moment else current
        wait = draws.uniform(moment + 0.01, 1).item()
        moment += (GLANCE_PAUSE - GLANCE_WAIT * math.log(1 - 0.98 * wait)) / tempo
    for start, end in prosody.phrases:
        happens, side, far, length = aversions.uniform(start, 4).tolist()
        if end - start >= LONG_PHRASE and start > 0.3 and happens < LOOK_AWAY:
            least, added = AWAY_SECONDS
            away = smoothstep((times - start + 0.1) / SACCADE_SECONDS)
            away = away - smoothstep((times - start - least - added * length) / SACCADE_SECONDS)
            offset = torch.tensor(((1 if side < 0.5 else -1) * AWAY[0], AWAY[1])) * (0.6 + 0.8 * far)
            angles += away[:, None] * offset
    return angles


def _blink(since: Tensor, pace: float) -> Tensor:
    """Return the closure (F,) of one blink, ``since`` (F,) seconds after its start. pace: 1 is the usual duration."""
    falling = smoothstep(since / (pace * BLINK_CLOSE))
    return falling - smoothstep((since - pace * (BLINK_CLOSE + BLINK_HOLD)) / (pace * BLINK_OPEN))
