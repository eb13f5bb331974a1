"""A made-up speech of phrases, pauses and accents, and a track of a still face, for tests of motion."""

import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.motion.track import MotionTrack
from portraittalk.speech.prosody import Prosody

SECONDS = 60
BROWS = [ARKIT_INDEX[name] for name in ("browInnerUp", "browOuterUpLeft", "browDownLeft")]


def still(frames: int = 25 * SECONDS, fps: float = 25.0) -> MotionTrack:
    return MotionTrack.of_expression(torch.zeros(frames, 52), fps)


def speech(seconds: float = SECONDS, loudness: float = 0.6) -> Prosody:
    """Phrases of 4 s with pauses of 1 s between them, and an accent every 0.7 s of a phrase."""
    starts = [start for start in range(0, 10_000, 5) if start < seconds]
    phrases = tuple((start + 0.4, min(start + 4.4, seconds)) for start in starts if start + 0.6 < seconds)
    accents = [(start + 0.7 * k, 0.3 + 0.1 * (k % 7)) for start, _ in phrases for k in range(1, 6)]
    loud = torch.zeros(round(25 * seconds))
    for start, end in phrases:
        loud[round(25 * start) : round(25 * end)] = loudness
    return Prosody(seconds, phrases, tuple(one for one in accents if one[0] < seconds - 1), loud)
