"""Brow motion of a speaker: raised brows on accents, and a different rest in each phrase."""

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..smooth import smoothstep
from ..speech.prosody import Prosody
from .draws import Draws

RAISED = 0.34  # share of the accents with raised brows
AMOUNT = (0.25, 0.5)  # of the coefficients of a raised brow: least, and what is added at most, at full strength
LEAD, RISE, HOLD, FALL = 0.12, 0.16, 0.35, 0.3  # seconds: before the accent, up, at most held, down
FROWN = 0.15  # share of the phrases that are spoken with a slight frown
PHRASE_AMOUNT = (0.18, 0.2)  # largest raise and frown of a phrase
PHRASE_SECONDS = 0.5  # fade between phrases
WIDER = 0.35  # of eyeWide per raised brow


def brows(prosody: Prosody, times: Tensor, seed: int, liveliness: float = 1.0, tempo: float = 1.0) -> Tensor:
    """Return coefficients (F, 52) of brows and lids at ``times`` (F,) in seconds; 0 at 0 s and with liveliness 0.

    tempo: of rising and falling, which stay on the accents.
    """
    draws = Draws(seed, 30)
    rise, hold, fall = (seconds / tempo for seconds in (RISE, HOLD, FALL))
    inner, outer, frown = torch.zeros(3, len(times))
    for accent, strength in prosody.accents:
        happens, far, shape, length = draws.uniform(accent, 4).tolist()
        if happens < RAISED:
            start = accent - LEAD - rise / 2
            held = start + rise + hold * length
            raised = smoothstep((times - start) / rise) - smoothstep((times - held) / fall)
            least, added = AMOUNT
            amount = (least + added * far) * (0.5 + 0.5 * strength)
            inner, outer = inner + amount * raised, outer + amount * (0.4 + 0.6 * shape) * raised
    for start, end in prosody.phrases:
        kind, far = draws.uniform(start + 0.5 / 25, 2).tolist()
        during = smoothstep((times - start) / PHRASE_SECONDS + 0.5) - smoothstep((times - end) / PHRASE_SECONDS)
        if kind < FROWN:
            frown = frown + PHRASE_AMOUNT[1] * far * during
        else:
            inner, outer = inner + PHRASE_AMOUNT[0] * far * during, outer + 0.6 * PHRASE_AMOUNT[0] * far * during
    coefficients = torch.zeros(len(times), len(ARKIT_NAMES))
    fade = liveliness * smoothstep(times / PHRASE_SECONDS)
    for names, values in (
        (("browInnerUp",), inner),
        (("browOuterUpLeft", "browOuterUpRight"), outer),
        (("browDownLeft", "browDownRight"), frown),
        (("eyeWideLeft", "eyeWideRight"), WIDER * outer),
    ):
        for name in names:
            coefficients[:, ARKIT_INDEX[name]] = (fade * values).clamp(0, 1)
    return coefficients
