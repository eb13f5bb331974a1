"""Flicker, drift and blinks on the demo portrait."""

from dataclasses import replace

import pytest
import torch

from portraittalk.metrics.steady import blinks_per_minute, drift, eye_openness, flicker, still_region
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face

REGION = torch.ones(1, 16, 16)


def test_flicker_is_the_noise_and_neither_motion_nor_fading():
    fading = torch.linspace(0.2, 0.8, 20)[:, None, None, None].expand(20, 3, 16, 16)
    assert flicker(fading, REGION) == pytest.approx(0, abs=1e-4)
    blinking = fading + torch.tensor([0.01, -0.01]).repeat(10)[:, None, None, None]
    assert flicker(blinking, REGION) == pytest.approx(255 * 0.02, rel=1e-3)


def test_drift_is_what_changed_from_first_to_last_and_only_in_the_region():
    frames = torch.full((20, 3, 16, 16), 0.5)
    frames[10:, :, 8:] += 0.1
    lower = torch.zeros(1, 16, 16)
    lower[:, 8:] = 1
    assert drift(frames, lower) == pytest.approx(25.5, rel=1e-3) and drift(frames, 1 - lower) == 0


def test_the_face_is_not_still_and_the_corners_are(portrait_face):
    points = portrait_face.landmarks
    region = still_region(points, 768, 128)[0]
    nose = (points[4, :2] * (128 / 768)).long()
    assert region[nose[1], nose[0]] == 0 and region[0, 0] == 1


def test_blinks_are_counted(portrait_face):
    frames = 100
    blink = torch.zeros(frames)
    blink[20:24] = 1
    blink[70:74] = 1
    track = replace(MotionTrack.of_expression(torch.zeros(frames, 52), 25.0), blink=blink)
    moved = move_landmarks(portrait_face.landmarks, portrait_face.blendshapes, track, load_basis())
    assert eye_openness(moved[20]) < 0.3 * eye_openness(moved[0])
    assert blinks_per_minute([Face(points) for points in moved], 25.0) == pytest.approx(30)  # two in four seconds
    assert blinks_per_minute([None], 25.0) is None
