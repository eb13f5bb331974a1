"""Head motion of a speaker: changes of posture, beats on accents, and the settling at the ends of phrases.

Amplitudes and rates are fitted to nine addresses to a camera (standard deviations of pitch, yaw and roll 3.6, 4.7 and
3.5 degrees, half of their power below 0.4, 0.4 and 0.2 Hz), somewhat calmer, since a single photograph bears less:
2.5, 3.6 and 2.6 degrees in the median of speeches and seeds.
"""

import math

import torch
from torch import Tensor

from ..smooth import smoothstep
from ..speech.prosody import Prosody
from .draws import Draws

START_SECONDS = 1.0  # fade-in from the portrait's pose
AXES = 6  # pitch, yaw, roll in degrees; shift right, down and away in eye distances

# Posture: standard deviation of its targets, and the seconds between its changes and of a change.
POSTURE = (2.8, 5.4, 4.4, 0.06, 0.03, 0.06)
POSTURE_WAIT = (0.4, 0.8)  # minimum, and mean of what is added
POSTURE_SECONDS = (0.36, 0.75)
POSTURE_KEPT = 0.35  # correlation of a target with the one before
LEAN = 0.35  # degrees of roll per degree of yaw: a turning head tilts as well
SHIFTS = (0.004, 0.009, 0.009)  # eye distances per degree: to the side by yaw and by roll, down by pitch
CALM = 0.45  # factor of posture and its changes in silence

# Beats: (probability, degrees of pitch, yaw and roll at full strength) of each kind, in order.
BEATS = ((0.42, (6.0, 0.0, 0.0)), (0.10, (-5.0, 0.0, 0.0)), (0.16, (2.0, 6.0, 0.0)), (0.16, (2.0, 0.0, 6.0)))
BEAT_SPREAD = 0.45  # standard deviation of a beat's amplitude, relative to it
BEAT_LEAD, BEAT_RISE, BEAT_FALL = 0.08, 0.22, 0.36  # seconds: peak before the accent's middle; rise and fall

SETTLE_DEGREES, SETTLE_SECONDS = 1.6, 0.7  # down at the end of a phrase
TREMOR = (0.7, 0.8, 0.35, 0.004, 0.003, 0.0)  # standard deviation of the small motion while speaking
TREMOR_SECONDS = 0.32  # between its knots
LIMITS = (10.0, 14.0, 11.0, 0.22, 0.18, 0.25)  # approached softly, so that no portrait is turned further


def head_motion(
    prosody: Prosody, times: Tensor, seed: int, liveliness: float = 1.0, tempo: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return rotation (F, 3) in radians and translation (F, 3) in eye distances at ``times`` (F,) in seconds.

    Both are 0 at 0 s. liveliness: 0 is a still head, 1 a natural speaker, 2 a lively one. tempo: 0.5 takes twice as
    long for each motion and moves half as often; accents and phrases stay where they are.
    """
    motion = _posture(prosody, times, seed, tempo) + _beats(prosody, times, seed, tempo)
    motion = motion + _settling(prosody, times, tempo) + _tremor(prosody, times, seed, tempo)
    motion[:, 2] += LEAN * motion[:, 1]
    by_yaw, by_roll, by_pitch = SHIFTS
    motion[:, 3] += by_yaw * motion[:, 1] + by_roll * motion[:, 2]
    motion[:, 4] += by_pitch * motion[:, 0]
    motion = motion * (liveliness * smoothstep(times / START_SECONDS)[:, None])
    limits = torch.tensor(LIMITS)
    motion = limits * torch.tanh(motion / limits)
    return motion[:, :3].deg2rad(), motion[:, 3:]


def is_speaking(prosody: Prosody, seconds: float) -> bool:
    return any(start <= seconds < end for start, end in prosody.phrases)


def _posture(prosody: Prosody, times: Tensor, seed: int, tempo: float) -> Tensor:
    """Return the posture (F, 6): steps between random targets, at the starts of phrases and from time to time."""
    waits, targets = Draws(seed, 20), Draws(seed, 21)
    motion, posture = torch.zeros(len(times), AXES), torch.zeros(AXES)
    starts = [start for start, _ in prosody.phrases]
    moment = 0.0
    while moment < prosody.seconds:
        amount = 1.0 if is_speaking(prosody, moment) else CALM
        fresh = targets.normal(moment, AXES + 1)
        target = POSTURE_KEPT * posture + math.sqrt(1 - POSTURE_KEPT**2) * amount * fresh[:AXES] * torch.tensor(POSTURE)
        shortest, longest = POSTURE_SECONDS
        far = min(float((target - posture)[:3].norm()) / 6, 1.0)  # long ways take longer
        duration = (shortest + (longest - shortest) * far) * (1 + 0.15 * float(fresh[AXES])) / tempo
        motion += _eased((times - moment) / duration)[:, None] * (target - posture)
        posture = target
        least, mean = (seconds / tempo for seconds in POSTURE_WAIT)
        wait = least - mean * math.log(1 - 0.98 * waits.uniform(moment, 1).item())
        following = moment + wait / (1.0 if is_speaking(prosody, moment + least) else CALM)
        phrase = next((start for start in starts if moment + least < start < following), None)
        moment = following if phrase is None else phrase
    return motion


def _beats(prosody: Prosody, times: Tensor, seed: int, tempo: float) -> Tensor:
    """Return nods, tilts and turns (F, 6) on some of the accents; which ones, and how far, is random."""
    draws = Draws(seed, 22)
    motion = torch.zeros(len(times), AXES)
    for accent, strength in prosody.accents:
        kind, side = draws.uniform(accent, 2).tolist()
        spread, slow = draws.normal(accent + 0.5 / 25, 2).tolist()
        for probability, degrees in BEATS:
            if kind < probability:
                pace = (1 + 0.2 * slow) / tempo
                peak = accent - BEAT_LEAD
                rise = _eased((times - peak) / (BEAT_RISE * pace) + 1)
                fall = _eased((times - peak) / (BEAT_FALL * pace))
                size = (0.35 + 0.65 * strength) * max(1 + BEAT_SPREAD * spread, 0.2)
                pitch, yaw, roll = degrees
                sign = 1 if side < 0.5 else -1
                beat = torch.tensor((pitch, sign * yaw, sign * roll, 0.0, 0.0, 0.0))
                motion += (rise * (1 - fall))[:, None] * (size * beat)
                break
            kind -= probability
    return motion


def _settling(prosody: Prosody, times: Tensor, tempo: float) -> Tensor:
    """Return the lowering of the head (F, 6) over the last part of each phrase, undone when the next one starts."""
    motion = torch.zeros(len(times), AXES)
    seconds = SETTLE_SECONDS / tempo
    for index, (start, end) in enumerate(prosody.phrases):
        down = _eased((times - end) / seconds + 0.7)
        following = prosody.phrases[index + 1][0] if index + 1 < len(prosody.phrases) else math.inf
        up = _eased((times - following) / seconds + 0.5) if following < math.inf else torch.zeros(len(times))
        motion[:, 0] += min((end - start) / 1.5, 1.0) * SETTLE_DEGREES * (down - up)
    return motion


def _tremor(prosody: Prosody, times: Tensor, seed: int, tempo: float) -> Tensor:
    """Return small smooth noise (F, 6), larger while the voice is loud: cubic B-splines over random knots."""
    draws = Draws(seed, 23)
    spacing = TREMOR_SECONDS / tempo
    position = times / spacing
    index = position.floor().long()
    count = int(index[-1]) + 4 if len(index) else 0
    knots = torch.stack([draws.normal(knot * spacing, AXES) for knot in range(count)])
    part = (position - index)[:, None]
    weights = ((1 - part) ** 3, 3 * part**3 - 6 * part**2 + 4, -3 * part**3 + 3 * part**2 + 3 * part + 1, part**3)
    spline = sum((weight / 6 * knots[index + step] for step, weight in enumerate(weights)), torch.zeros(()))
    voice = _at(prosody, times)
    return spline * torch.tensor(TREMOR) * (0.4 + 1.2 * voice)[:, None]


def _at(prosody: Prosody, times: Tensor) -> Tensor:
    """Return the loudness (F,) at ``times``, averaged over a fifth of a second."""
    loud = prosody.loudness
    rate = len(loud) / prosody.seconds
    reach = max(round(0.1 * rate), 0)
    padded = torch.nn.functional.pad(loud[None, None], (reach, reach), mode="replicate")
    smooth = torch.nn.functional.avg_pool1d(padded, 2 * reach + 1, 1)[0, 0]
    position = (times * rate - 0.5).clamp(0, len(loud) - 1)
    below = position.floor().long()
    return torch.lerp(smooth[below], smooth[(below + 1).clamp(max=len(loud) - 1)], position - below)


def _eased(position: Tensor) -> Tensor:
    """Return the minimum-jerk step from 0 to 1 (Flash and Hogan 1985): ``10 x^3 - 15 x^4 + 6 x^5``."""
    x = position.clamp(0, 1)
    return x**3 * (10 - 15 * x + 6 * x * x)
