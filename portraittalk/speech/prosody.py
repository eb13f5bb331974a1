"""Prosody of a speech: its loudness, the phrases between pauses, and the accented syllables.

Heads, brows and lids move with these (Cave et al. 1996; Graf, Cosatto, Strom and Huang 2002): nods and raised brows
fall on accents, and heads settle at the ends of phrases.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from .features import ACTIVE_MARGIN_DB, MEL_FRAMES, TARGET_LEVEL_DB, mel_powers

SHORTEST_PAUSE, SHORTEST_PHRASE = 0.24, 0.2  # seconds
SILENT = 0.5  # probability of silence from which a frame is silent
QUIET_DB, LOUD_DB = TARGET_LEVEL_DB - ACTIVE_MARGIN_DB, TARGET_LEVEL_DB + 5  # of loudness 0 and 1
SYLLABLE_SECONDS, AROUND_SECONDS = 0.12, 1.0  # over which an accent and its surroundings are averaged
ACCENT_SPACING = 0.32  # seconds between accents, at least
FULL_ACCENT = 0.35  # how far a syllable's loudness rises above its surroundings for a strength of 1
WEAKEST_ACCENT = 0.15


@dataclass(frozen=True)
class Prosody:
    """seconds: duration. phrases: (start, end) in seconds of the stretches between pauses. accents: (time, strength) of
    the accented syllables, in seconds and 0..1. loudness: (F,) in 0..1, F frames evenly over the duration."""

    seconds: float
    phrases: tuple[tuple[float, float], ...]
    accents: tuple[tuple[float, float], ...]
    loudness: Tensor


def read_prosody(features: Tensor, silence: Tensor, fps: float) -> Prosody:
    """Return the prosody of features (F, W, M) from ``encode_speech`` at ``fps``; silence: (F,), its probability.

    Nothing depends on sound more than ``AROUND_SECONDS`` away, so a longer speech has the prosody of a shorter one.
    """
    loudness = spoken_loudness(features) * (silence < SILENT)
    phrases = phrases_of(silence < SILENT, fps)
    return Prosody(len(features) / fps, phrases, accents_of(loudness, fps), loudness)


def spoken_loudness(features: Tensor) -> Tensor:
    """Return the loudness (F,) in 0..1 of log-mel patches (F, W, M), linear in dB."""
    middle = features.shape[1] // 2
    steps = features[:, max(middle - 2, 0) : middle + 2]
    power = torch.cat([mel_powers(part).sum(2).mean(1) for part in steps.split(MEL_FRAMES // 4)])
    decibels = 10 * power.clamp_min(1e-9).log10()
    return ((decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)).clamp(0, 1)


def phrases_of(speaking: Tensor, fps: float) -> tuple[tuple[float, float], ...]:
    """Return (start, end) in seconds of stretches of ``speaking`` frames (F,) whose gaps are shorter than a pause."""
    frames = speaking.nonzero()[:, 0]
    if not len(frames):
        return ()
    cuts = (frames.diff() > SHORTEST_PAUSE * fps).nonzero()[:, 0]
    starts = frames[torch.cat((cuts.new_tensor([0]), cuts + 1))].tolist()
    ends = frames[torch.cat((cuts, cuts.new_tensor([len(frames) - 1])))].tolist()
    spans = ((start / fps, (end + 1) / fps) for start, end in zip(starts, ends, strict=True))
    return tuple(span for span in spans if span[1] - span[0] >= SHORTEST_PHRASE)


def accents_of(loudness: Tensor, fps: float) -> tuple[tuple[float, float], ...]:
    """Return (seconds, strength) of local maxima of loudness (F,) that stand out from the second around them.

    Of two maxima closer than ``ACCENT_SPACING``, the earlier one counts unless the later one is stronger by half.
    """
    syllable, around = _smoothed(loudness, SYLLABLE_SECONDS * fps), _smoothed(loudness, AROUND_SECONDS * fps)
    prominence = ((syllable - around) / FULL_ACCENT).clamp(0, 1)
    peaks = (syllable[1:-1] > syllable[:-2]) & (syllable[1:-1] >= syllable[2:]) & (prominence[1:-1] > WEAKEST_ACCENT)
    found: list[tuple[float, float]] = []
    for frame in (peaks.nonzero()[:, 0] + 1).tolist():
        time, strength = (frame + 0.5) / fps, prominence[frame].item()
        if found and time - found[-1][0] < ACCENT_SPACING:
            if strength < 1.5 * found[-1][1]:
                continue
            found.pop()
        found.append((time, strength))
    return tuple(found)


def _smoothed(values: Tensor, frames: float) -> Tensor:
    """Average values (F,) over an odd number of about ``frames`` frames; beyond the ends they are 0."""
    reach = max(round((frames - 1) / 2), 0)
    return avg_pool1d(pad(values[None], (reach, reach)), 2 * reach + 1, 1)[0]
