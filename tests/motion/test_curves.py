"""The curves that people edit: what each changes in a track, and that it reads back what it changed."""

import math
from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.curves import ADDED, CURVES, GAINS
from portraittalk.motion.geometry import asked_aperture, eye_closure
from portraittalk.motion.track import TENSORS, MotionTrack

FRAMES = 4


def track(level: float = 0.3) -> MotionTrack:
    """A track in which everything has one value."""
    still = MotionTrack.of_expression(torch.full((FRAMES, len(ARKIT_NAMES)), level), 25.0)
    return replace(still.each(lambda values: torch.full_like(values, level)), rest=torch.zeros(FRAMES))


def changed(name: str, value: float, before: MotionTrack) -> MotionTrack:
    return CURVES[name].change(before, torch.full((FRAMES,), value, dtype=torch.double))


def touched(before: MotionTrack, after: MotionTrack) -> set[str]:
    """The tensors, and the coefficients, that differ."""
    tensors = {name for name in TENSORS if not torch.equal(getattr(before, name), getattr(after, name))}
    differs = (before.expression != after.expression).any(0).tolist()
    return tensors - {"expression"} | {name for name, yes in zip(ARKIT_NAMES, differs, strict=True) if yes}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_a_curve_keeps_type_and_shape_and_leaves_its_input_alone(curve):
    before = track()
    copy = before.each(torch.clone)
    after = curve.change(before, torch.full((FRAMES,), curve.high, dtype=torch.double))
    assert not touched(before, copy) and touched(before, after)
    assert all(getattr(after, name).dtype == torch.float32 for name in TENSORS)
    assert all(getattr(after, name).shape == getattr(before, name).shape for name in TENSORS)
    assert curve.read(after).shape == (FRAMES,) and curve.low < curve.neutral < curve.high


@pytest.mark.parametrize(
    ("name", "field", "axis"),
    [
        ("head_pitch", "rotation", 0),
        ("head_yaw", "rotation", 1),
        ("head_roll", "rotation", 2),
        ("gaze_horizontal", "gaze", 0),
        ("gaze_vertical", "gaze", 1),
    ],
)
def test_angles_are_added_in_degrees(name, field, axis):
    before = track(0.1)
    after = changed(name, 9.0, before)
    assert touched(before, after) == {field}
    difference = getattr(after, field) - getattr(before, field)
    assert difference[:, axis].tolist() == pytest.approx([math.radians(9)] * FRAMES)
    assert difference.count_nonzero() == FRAMES
    assert (CURVES[name].read(after) - CURVES[name].read(before)).tolist() == pytest.approx([9.0] * FRAMES, abs=1e-4)


@pytest.mark.parametrize("name", ["brows", "smile", "mouth_open"])
def test_shapes_go_both_ways_and_stay_within_their_range(name):
    before, curve = track(), CURVES[name]
    for value in (-1.0, -0.2, 0.2, 1.0):
        after = changed(name, value, before)
        assert (curve.read(after) - curve.read(before)).sign().tolist() == [math.copysign(1, value)] * FRAMES
        assert after.expression.min() >= 0 and after.expression.max() <= 1
    assert touched(before, changed("smile", 0.2, before)) == {
        "mouthSmileLeft",
        "mouthSmileRight",
        "mouthFrownLeft",
        "mouthFrownRight",
    }


def test_a_mouth_opens_and_closes_completely():
    basis, before = load_basis(), track(0.0)
    before.expression[:, [ARKIT_INDEX[name] for name in ("jawOpen", "mouthLowerDownLeft", "mouthUpperUpRight")]] = 0.4
    apertures = [asked_aperture(changed("mouth_open", value, before), basis)[0].item() for value in (-1, -0.5, 0, 0.5)]
    assert apertures == sorted(apertures) and len(set(apertures)) == 4
    assert apertures[0] == pytest.approx(0, abs=1e-6)


def test_blinks_are_taken_away_and_added_whatever_makes_them():
    portrait = torch.zeros(len(ARKIT_NAMES))
    before = track(0.0)
    by_number = replace(before, blink=torch.ones(FRAMES))
    by_coefficient = replace(before, expression=before.expression.clone())
    by_coefficient.expression[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 0.7
    for closed in (by_number, by_coefficient):
        assert CURVES["blink"].read(closed).min() == 1 and eye_closure(closed, portrait).min() == 1
        assert eye_closure(changed("blink", -1.0, closed), portrait).max() == 0
    half = changed("blink", 0.5, before)
    assert torch.allclose(eye_closure(half, portrait), torch.tensor(0.5))


def test_gains_scale_what_they_name():
    before = track()
    double = changed("intensity", 2.0, before)
    assert double.expression[0, ARKIT_INDEX["jawOpen"]].item() == pytest.approx(0.6)
    assert not [
        name
        for name in touched(before, double)
        if not name.startswith(("mouth", "jaw", "brow", "cheek", "eye", "nose", "tongue"))
    ]
    assert not [name for name in touched(before, double) if name.startswith(("eyeBlink", "eyeLook"))]
    assert changed("intensity", 3.0, track(0.9)).expression.max() == 1
    raised = replace(before, tongue=torch.full((FRAMES,), 0.4))
    for gain, tongue in ((0.0, 0.0), (0.5, 0.2), (1.0, 0.4), (3.0, 1.0)):
        assert changed("intensity", gain, raised).tongue.tolist() == pytest.approx([tongue] * FRAMES)
    assert touched(before, changed("head_motion", 0.0, before)) == {"rotation", "translation"}
    lively = touched(before, changed("liveliness", 0.5, before))
    assert {"rotation", "translation", "gaze", "browInnerUp", "eyeWideLeft"} <= lively
    assert not [name for name in lively if name.startswith(("mouth", "jaw", "blink"))]


def test_gains_act_before_what_is_added():
    assert list(CURVES.values()) == [*GAINS, *ADDED]
