"""Idle motion of a face: blinks, head sway and nods that follow the voice, and saccades.

The random part depends on the seed only and is drawn forwards in time, so a longer track starts exactly like a shorter
one. The first frame has the portrait's pose.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ..arkit import ARKIT_INDEX
from ..smooth import smoothstep
from .track import MotionTrack

BLINK_PAUSE, BLINK_WAIT = 1.2, 2.3  # seconds between blinks: minimum, and mean of what is added; 17 blinks a minute
BLINK_CLOSE, BLINK_HOLD, BLINK_OPEN = 0.09, 0.04, 0.19  # seconds

SWAY_SECONDS = (1.7, 0.6)  # between the knots of the slow and the fast curve
SWAY_DEGREES = ((1.7, 2.8, 1.3), (0.6, 0.7, 0.35))  # standard deviation of pitch, yaw and roll per curve, at full voice
SWAY_SHIFT = ((0.012, 0.006, 0.02), (0.003, 0.002, 0.0))  # standard deviation of the translation, in eye distances
SILENT_SWAY = 0.35  # factor of the sway in silence
NOD_DEGREES = 2.0  # amplitude of a nod with an accent of the voice
VOICE_PER_JAW = 3.0  # voice energy per jawOpen: a third is full voice
ENERGY_SECONDS = 0.25  # time constant with which the head follows the voice
START_SECONDS = 1.0  # fade-in of the motion
B_SPLINE_VARIANCE = 0.48  # of a cubic B-spline whose control points have variance 1

GAZE_PAUSE, GAZE_WAIT = 0.3, 0.9  # seconds between saccades
GAZE_SPREAD = (0.035, 0.018)  # radians, yaw and pitch
SACCADE_SECONDS = 0.05
EYES_STAY = 0.8  # share of a head rotation that the eyes compensate, to keep looking at the viewer


def add_life(track: MotionTrack, seed: int, head_motion: float = 1.0, energy: Tensor | None = None) -> MotionTrack:
    """Add blinks, head motion and small eye movements to a track.

    head_motion: scales the head's motion; 0 keeps the head still. energy: (F,) loudness of the speech in 0..1, which
    the head follows; by default it is estimated from the track's jawOpen.
    """
    frames, fps = len(track), track.fps
    if energy is None:
        energy = track.expression[:, ARKIT_INDEX["jawOpen"]] * VOICE_PER_JAW
    blink = blinks(frames, fps, _generator(seed, 0))
    rotation, translation = sway(energy.cpu().float(), fps, seed)
    rotation, translation = rotation * head_motion, translation * head_motion
    gaze = saccades(frames, fps, _generator(seed, 1)) - EYES_STAY * rotation[:, [1, 0]]
    return replace(
        track,
        blink=torch.maximum(track.blink, blink.to(track.blink)),
        rotation=track.rotation + rotation.to(track.rotation),
        translation=track.translation + translation.to(track.translation),
        gaze=track.gaze + gaze.to(track.gaze),
    )


def blinks(frames: int, fps: float, generator: Generator) -> Tensor:
    """Return random blinks (F,) in 0..1. The lids close faster than they open."""
    times = torch.arange(frames) / fps
    closed = torch.zeros(frames)
    for start in _event_times(frames / fps, BLINK_PAUSE, BLINK_WAIT, generator):
        since = times - start
        falling = smoothstep(since / BLINK_CLOSE)
        rising = smoothstep((since - BLINK_CLOSE - BLINK_HOLD) / BLINK_OPEN)
        closed = torch.maximum(closed, falling - rising)
    return closed


def sway(energy: Tensor, fps: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return head rotation (F, 3) in radians and translation (F, 3) in eye distances, starting at 0. energy: (F,)."""
    frames = len(energy)
    slow_voice = _low_passed(energy.clamp(0, 1), 4 * ENERGY_SECONDS * fps)
    voice = _low_passed(energy.clamp(0, 1), ENERGY_SECONDS * fps)
    motion = torch.zeros(frames, 6)
    for curve, (seconds, degrees, shift) in enumerate(zip(SWAY_SECONDS, SWAY_DEGREES, SWAY_SHIFT, strict=True)):
        spread = torch.tensor([math.radians(angle) for angle in degrees] + list(shift))
        motion += _smooth_noise(frames, seconds * fps, _generator(seed, 2 + curve)) * spread
    motion *= (SILENT_SWAY + (1 - SILENT_SWAY) * slow_voice.sqrt())[:, None]
    motion[:, 0] += math.radians(NOD_DEGREES) * (voice - slow_voice)
    motion *= smoothstep(torch.arange(frames) / (START_SECONDS * fps))[:, None]
    return motion[:, :3], motion[:, 3:]


def saccades(frames: int, fps: float, generator: Generator) -> Tensor:
    """Return gaze angles (F, 2) in radians that jump between points near the viewer and are constant in between."""
    times = torch.arange(frames) / fps
    gaze = torch.zeros(frames, 2)
    current = torch.zeros(2)
    for start in _event_times(frames / fps, GAZE_PAUSE, GAZE_WAIT, generator):
        target = torch.randn(2, generator=generator) * torch.tensor(GAZE_SPREAD)
        gaze += smoothstep((times - start) / SACCADE_SECONDS)[:, None] * (target - current)
        current = target
    return gaze


def _generator(seed: int, stream: int) -> Generator:
    return Generator().manual_seed((seed * 1_000_003 + stream) % 2**63)


def _event_times(seconds: float, pause: float, wait: float, generator: Generator) -> Iterator[float]:
    """Yield random event times below ``seconds``; intervals are ``pause`` plus an exponential with mean ``wait``."""
    time = 0.0
    while True:
        time += pause - wait * math.log(1 - torch.rand((), generator=generator).item())
        if time >= seconds:
            return
        yield time


def _low_passed(values: Tensor, frames: float) -> Tensor:
    """Low-pass values (F,) with a causal exponential filter whose time constant is ``frames`` frames."""
    keep = math.exp(-1 / max(frames, 1e-6))
    filtered, level = [], 0.0
    for value in values.tolist():
        level = keep * level + (1 - keep) * value
        filtered.append(level)
    return torch.tensor(filtered)


def _smooth_noise(frames: int, spacing: float, generator: Generator) -> Tensor:
    """Return noise (F, 6) of variance 1: cubic B-splines of random knots ``spacing`` frames apart, drawn in order."""
    count = math.ceil(frames / spacing) + 3
    knots = torch.stack([torch.randn(6, generator=generator) for _ in range(count)])
    position = torch.arange(frames) / spacing
    index = position.floor().long()
    t = (position - index)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    spline = sum((weight / 6 * knots[index + step] for step, weight in enumerate(weights)), torch.zeros(()))
    return spline / math.sqrt(B_SPLINE_VARIANCE)
