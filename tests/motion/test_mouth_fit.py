"""Coefficients of a filmed mouth explain its movement, whatever is read from single faces."""

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.face.mesh import frontal
from portraittalk.motion.geometry import MOUTH_SHAPES, asked_aperture, move_landmarks
from portraittalk.motion.mouth_fit import fit_mouth
from portraittalk.motion.read import motion_of_faces
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face

FRAMES = 40
SMILES = [ARKIT_INDEX[f"mouthSmile{side}"] for side in ("Left", "Right")]
UPPER_LIPS = [ARKIT_INDEX[f"mouthUpperUp{side}"] for side in ("Left", "Right")]
JAW = ARKIT_INDEX["jawOpen"]


def film(**peaks: float) -> torch.Tensor:
    """Coefficients (F, 52) of a mouth that does something twice and is shut between."""
    wave = torch.sin(torch.linspace(0, 4 * torch.pi, FRAMES)).clamp_min(0)
    expression = torch.zeros(FRAMES, 52)
    for name, peak in peaks.items():
        for full in [name] if name in ARKIT_INDEX else [f"{name}Left", f"{name}Right"]:
            expression[:, ARKIT_INDEX[full]] = peak * wave
    return expression


@pytest.fixture(scope="module")
def landmarks_of(identity, basis):
    def landmarks(expression):
        track = MotionTrack.of_expression(expression, 25.0)
        return move_landmarks(identity.landmarks, torch.zeros(52), track, basis)

    return landmarks


def test_a_jaw_that_opens_in_a_smile_is_not_taken_for_raised_lips(landmarks_of, basis):
    """What blendshape networks read in a smile that speaks: lips raised by half, and a jaw that hardly opens."""
    done = film(jawOpen=0.35)
    read = film(jawOpen=0.12, mouthUpperUp=0.55)
    read[:, SMILES] = 0.6  # the smile lasts: it is the resting face
    faces = [Face(points, values) for points, values in zip(landmarks_of(done), read, strict=True)]
    track = motion_of_faces(faces, 25.0, basis)
    assert track.expression[:, UPPER_LIPS].max() < 0.25
    assert track.expression[:, JAW].max() > 0.28
    asked, wanted = (asked_aperture(motion, basis) for motion in (track, MotionTrack.of_expression(done, 25.0)))
    assert (asked - wanted).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("name", "least"),
    [("jawOpen", 0.9), ("mouthSmile", 0.8), ("mouthUpperUp", 0.5), ("mouthPucker", 0.6), ("mouthLowerDown", 0.6)],
)
def test_what_is_read_rightly_stays(landmarks_of, basis, name, least):
    done = film(**{name: 0.6})
    fitted = fit_mouth(done, frontal(landmarks_of(done), basis.mean), basis)
    column = done.amax(0).argmax()
    assert least * 0.6 < fitted[:, column].max() < 0.75
    assert fitted.min() >= 0 and fitted.max() <= 1


def test_a_mouth_that_does_not_move_keeps_most_of_what_is_read_and_other_coefficients_all(landmarks_of, basis):
    read = torch.full((FRAMES, len(ARKIT_NAMES)), 0.2)
    faces = frontal(landmarks_of(torch.zeros(FRAMES, 52)), basis.mean)
    fitted = fit_mouth(read, faces, basis)
    others = [index for index in range(len(ARKIT_NAMES)) if index not in MOUTH_SHAPES]
    assert torch.equal(fitted[:, others], read[:, others])
    torch.testing.assert_close(fitted, fitted[:1].expand_as(fitted), atol=1e-4, rtol=0)
    torch.testing.assert_close(fit_mouth(torch.zeros_like(read), faces, basis), torch.zeros_like(read))
