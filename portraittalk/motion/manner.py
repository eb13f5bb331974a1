"""Manner of moving, from a prompt: sad people move slower and less, excited ones faster and further, others nod."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Self

from ..arkit import MANNER_NAMES
from ..types import Style

OCTAVES = 1.0  # largest change of tempo
LARGEST, MOST_BLINKS = 2.5, 4.0  # factors of amplitudes, and of the rate of blinks
STRONGEST = 0.25  # radians of a gesture

NOD_HERTZ, SHAKE_HERTZ, SWAY_HERTZ = 1.25, 1.15, 0.45
SWELL_SECONDS = (3.1, 4.3)  # periods of the slow changes in the strength and the pace of a gesture
SWELL, PACE_SECONDS = 0.3, 0.05  # their sizes: relative, and in seconds


@dataclass(frozen=True)
class Manner:
    """Factors of motion made from speech, 1 for no change, and gestures in radians.

    tempo: of head, brows and gaze. head, brows, gaze, mouth: amplitudes. blinks: rate. rest: share of the portrait's
    open mouth that is kept in silence. nod, shake, sway: amplitudes of gestures of the head.
    """

    tempo: float = 1.0
    head: float = 1.0
    brows: float = 1.0
    gaze: float = 1.0
    mouth: float = 1.0
    blinks: float = 1.0
    rest: float = 1.0
    nod: float = 0.0
    shake: float = 0.0
    sway: float = 0.0

    @classmethod
    def of(cls, style: Style | None, text_scale: float = 1.0) -> Self:
        """Return the manner of a style times the text scale; with 0, or without a style, nothing changes."""
        if style is None or style.manner is None or not text_scale:
            return cls()
        changes = dict(zip(MANNER_NAMES, (text_scale * style.manner).tolist(), strict=True))
        tempo = 2 ** min(max(changes.pop("tempo"), -OCTAVES), OCTAVES)
        gestures = {name: min(max(changes.pop(name), 0.0), STRONGEST) for name in ("nod", "shake", "sway")}
        factors = {
            name: min(max(1 + change, 0.0), MOST_BLINKS if name == "blinks" else LARGEST)
            for name, change in changes.items()
        }
        factors["rest"] = min(factors["rest"], 1.0)
        return cls(tempo=tempo, **gestures, **factors)

    @property
    def gestures(self) -> bool:
        return bool(self.nod or self.shake or self.sway)


def gesture(times: Tensor, manner: Manner) -> Tensor:
    """Return the rotation (F, 3) in radians of nodding, shaking and swaying at ``times`` (F,) in seconds; 0 at 0 s.

    Strength and pace of the gestures vary slowly, so that none is like the one before.
    """
    swell, sway = (torch.sin(2 * math.pi * times / seconds) for seconds in SWELL_SECONDS)
    strength = 1 - SWELL + SWELL * swell
    phase = 2 * math.pi * manner.tempo * (times + PACE_SECONDS * sway)
    hertz, amplitudes = (NOD_HERTZ, SHAKE_HERTZ, SWAY_HERTZ), (manner.nod, manner.shake, manner.sway)
    waves = [amplitude * torch.sin(rate * phase) for rate, amplitude in zip(hertz, amplitudes, strict=True)]
    return strength[:, None] * torch.stack(waves, 1)
