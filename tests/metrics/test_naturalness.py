"""THEval's figures of motion on faces whose motion is known."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.media.audio import Audio
from portraittalk.metrics.naturalness import Naturalness, loudness, naturalness, scores, silences
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face

FRAMES, RATE = 100, 16_000
SIZE = (768, 768)
TIMES = torch.arange(FRAMES) / 25


def sound() -> Audio:
    """Two seconds of silence, then a tone that swells twice a second."""
    times = torch.arange(4 * RATE) / RATE
    swell = (times > 2) * (0.55 - 0.45 * torch.cos(4 * math.pi * times))
    return Audio((swell * torch.sin(2 * math.pi * 200 * times))[None], RATE)


def track(**coefficients: torch.Tensor) -> MotionTrack:
    expression = torch.zeros(FRAMES, 52)
    for name, values in coefficients.items():
        expression[:, ARKIT_INDEX[name]] = values
    return MotionTrack.of_expression(expression, 25.0)


@pytest.fixture(scope="module")
def measured(portrait_face):
    def measure(motion: MotionTrack) -> Naturalness:
        moved = move_landmarks(portrait_face.landmarks, portrait_face.blendshapes, motion, load_basis())
        found = naturalness([Face(points) for points in moved], SIZE, sound(), 25.0)
        assert found is not None
        return found

    return measure


def speaking(lag: int = 0) -> MotionTrack:
    """A jaw that follows the tone of ``sound``, ``lag`` frames late."""
    swell = (TIMES > 2) * (0.5 - 0.5 * torch.cos(4 * math.pi * (TIMES + 0.02)))
    return track(jawOpen=0.4 * torch.roll(swell, lag))


def test_a_still_face_moves_nowhere(measured):
    found = measured(track())
    assert found.lip_dynamics == found.head_motion == found.brow_dynamics == found.silent_lips == 0


def test_each_motion_raises_its_own_figure_in_proportion(measured):
    waves = torch.sin(2 * math.pi * TIMES)
    still = replace(track(), rotation=torch.zeros(FRAMES, 3))
    turned = [replace(still, rotation=amount * torch.stack((waves, waves, waves), 1)) for amount in (0.02, 0.04)]
    small, large = map(measured, turned)
    assert large.head_motion == pytest.approx(2 * small.head_motion, rel=0.1) and small.head_motion > 0.5
    raised = [measured(track(browInnerUp=amount * (0.5 + 0.5 * waves))) for amount in (0.3, 0.6)]
    assert raised[1].brow_dynamics == pytest.approx(2 * raised[0].brow_dynamics, rel=0.05)
    assert raised[0].head_motion < 0.2 * small.head_motion
    talking = measured(speaking())
    assert talking.lip_dynamics > 5 * raised[1].lip_dynamics and talking.brow_dynamics < 0.1 * raised[0].brow_dynamics


def test_lips_that_move_in_silence_are_seen(measured):
    chewing = measured(track(jawOpen=(TIMES < 2) * (0.15 - 0.15 * torch.cos(6 * math.pi * TIMES))))
    assert chewing.silent_lips > 0.01 > measured(speaking()).silent_lips


def test_lips_in_step_with_the_sound_are_nearer_to_its_loudness_than_lips_out_of_step(measured):
    in_step, late, still = (measured(one).lip_loudness for one in (speaking(), speaking(6), track()))
    assert in_step < 0.15 and late > in_step + 0.15 and still > in_step + 0.15


def test_loudness_is_the_rms_around_the_middle_of_a_frame():
    tone = Audio(torch.sin(2 * math.pi * 1000 * torch.arange(RATE) / RATE)[None], RATE)
    found = loudness(tone, 25, 25.0)
    assert found.shape == (25,)
    torch.testing.assert_close(found[2:-2], torch.full((21,), 0.5**0.5), atol=1e-3, rtol=0)
    assert not loudness(Audio(torch.zeros(1, RATE), RATE), 25, 25.0).any()


def test_only_silence_of_some_length_counts():
    loud = torch.ones(60)
    loud[10:14] = 0  # 0.16 s
    loud[30:45] = 0  # 0.6 s
    silent, speech = silences(loud, 25.0)
    assert silent.nonzero()[:, 0].tolist() == list(range(30, 45)) and torch.equal(speech, ~silent)


def test_frames_without_a_face_are_left_out(measured, portrait_face):
    moved = move_landmarks(portrait_face.landmarks, portrait_face.blendshapes, speaking(), load_basis())
    faces = [Face(points) for points in moved]
    complete = naturalness(faces, SIZE, sound(), 25.0)
    faces[70] = None
    missing = naturalness(faces, SIZE, sound(), 25.0)
    assert missing.lip_dynamics == pytest.approx(complete.lip_dynamics, rel=0.05)
    assert naturalness([None] * 10, SIZE, sound(), 25.0) is None


def test_scores_compare_the_means_of_two_sets():
    real = [Naturalness(2.0, 4.0, 0.004, 0.02, 0.25), Naturalness(2.0, 2.0, 0.002, None, 0.25)]
    half = [replace(real[0], lip_dynamics=1.0, head_motion=1.5), replace(real[1], head_motion=1.5)]
    found = scores(half, real)
    assert found["lip_dynamics"] == pytest.approx(0.75) and found["head_motion"] == pytest.approx(0.5)
    assert found["brow_dynamics"] == found["silent_lips"] == found["lip_loudness"] == 1
    assert found["mean"] == pytest.approx((0.75 + 0.5 + 3) / 5)
    assert scores(real, real) == {name: 1.0 for name in [*asdict(real[0]), "mean"]}
    thrice = [replace(one, head_motion=9.0) for one in real]
    assert scores(thrice, real)["head_motion"] == 0  # never below 0
