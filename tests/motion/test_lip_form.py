"""Full lips are no pucker, and thin ones are not pressed."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face import topology as mesh
from portraittalk.face.align import eye_distance
from portraittalk.face.mesh import frontal
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.lip_form import CORNERS, NOT_PUCKERED, PUCKERED, lip_form
from portraittalk.motion.mouth_fit import fit_mouth
from portraittalk.motion.track import MotionTrack

UPPER, LOWER = (0, 13), (14, 17)  # outer and inner middle of the lips
PUCKER = ARKIT_INDEX["mouthPucker"]
PRESSED = [ARKIT_INDEX[f"mouthPress{side}"] for side in ("Left", "Right")]


@pytest.fixture(scope="module")
def face(identity, basis):
    return frontal(identity.landmarks, basis.mean)


def read_as(**values: float) -> torch.Tensor:
    shapes = torch.zeros(52)
    for name, value in values.items():
        for full in [name] if name in ARKIT_INDEX else [f"{name}Left", f"{name}Right"]:
            shapes[ARKIT_INDEX[full]] = value
    return shapes


def of_width(face: torch.Tensor, width: float) -> torch.Tensor:
    """The face with its mouth scaled to a width in eye distances."""
    scaled, lips = face.clone(), list(mesh.LIPS_OUTER + mesh.LIPS_INNER)
    middle = face[CORNERS, 0].mean()
    scaled[lips, 0] = middle + (face[lips, 0] - middle) * width / (face[CORNERS[1], 0] - face[CORNERS[0], 0]).abs()
    return scaled


def height(landmarks: torch.Tensor, lip: tuple[int, int]) -> torch.Tensor:
    return (landmarks[..., lip[1], 1] - landmarks[..., lip[0], 1]) / eye_distance(landmarks)


def width(landmarks: torch.Tensor) -> torch.Tensor:
    return (landmarks[..., CORNERS[0], :2] - landmarks[..., CORNERS[1], :2]).norm(dim=-1) / eye_distance(landmarks)


def test_only_a_narrow_mouth_is_puckered(face):
    read = read_as(mouthPucker=0.5)
    assert lip_form(read, of_width(face, NOT_PUCKERED + 0.01))[PUCKER] == pytest.approx(0.5)
    assert lip_form(read, of_width(face, PUCKERED - 0.01))[PUCKER] == 0


def test_only_a_wide_mouth_is_stretched(face):
    read = read_as(mouthStretch=0.4)
    assert lip_form(read, of_width(face, 0.6)).sum() == pytest.approx(0.8)
    assert lip_form(read, of_width(face, 0.75)).sum() == 0


def test_what_opens_the_mouth_is_no_form(face):
    assert lip_form(read_as(jawOpen=0.3, mouthFunnel=0.3, mouthUpperUp=0.3, mouthSmile=0.5), face).sum() == 0


def test_parted_lips_have_a_height_but_no_width_of_their_own(identity, basis, face):
    read = read_as(mouthPress=0.4, mouthPucker=0.3)
    track = MotionTrack.of_expression(read_as(jawOpen=0.4)[None], 25.0)
    parted = frontal(move_landmarks(identity.landmarks, identity.blendshapes, track, basis)[0], basis.mean)
    assert lip_form(read, face)[[*PRESSED, PUCKER]].tolist() == pytest.approx([0.4, 0.4, 0.3])
    assert lip_form(read, parted)[[*PRESSED, PUCKER]].tolist() == pytest.approx([0.4, 0.4, 0.0])


def test_thin_lips_stay_thin_in_speech(identity, basis, face):
    """Read as pressed, they swelled by a third of their height with the first word."""
    read = identity.blendshapes + read_as(mouthPress=0.4, mouthRollLower=0.2)
    track = MotionTrack.of_expression(read_as(jawOpen=0.15)[None], 25.0)
    before = height(identity.landmarks, LOWER)
    swollen = move_landmarks(identity.landmarks, read, track, basis)[0]
    kept = move_landmarks(identity.landmarks, read - lip_form(read, face), track, basis)[0]
    assert height(swollen, LOWER) > 1.25 * before
    assert height(kept, LOWER) < 1.12 * before


@pytest.mark.parametrize("thinness", [1.0, 0.4])
def test_pressed_lips_are_still_lips(identity, basis, thinness):
    """Pressed and rolled in at once, lips of half the usual height were turned inside out."""
    landmarks = identity.landmarks.clone()
    for lip in (mesh.LIPS_OUTER_UPPER, mesh.LIPS_OUTER_LOWER):
        seam = landmarks[[13, 14], 1].mean()
        landmarks[list(lip), 1] = seam + thinness * (landmarks[list(lip), 1] - seam)
    pressed = read_as(mouthPress=0.6, mouthRollLower=0.5, mouthRollUpper=0.4)
    moved = move_landmarks(landmarks, torch.zeros(52), MotionTrack.of_expression(pressed[None], 25.0), basis)[0]
    for lip in (UPPER, LOWER):
        share = height(moved, lip) / height(landmarks, lip)
        assert 0.2 < share < 0.9


def test_full_lips_are_rounded(identity, basis, face):
    """Read as puckered, they spread with the first word, and an oo brought them back to their own width at most."""
    read = identity.blendshapes + read_as(mouthPucker=0.5)
    track = MotionTrack.of_expression(read_as(mouthPucker=0.5, jawOpen=0.1)[None], 25.0)
    wide = move_landmarks(identity.landmarks, read, track, basis)[0]
    rounded = move_landmarks(identity.landmarks, read - lip_form(read, face), track, basis)[0]
    assert width(wide) > 0.98 * width(identity.landmarks)
    assert width(rounded) < 0.95 * width(identity.landmarks)


def test_the_portrait_is_encoded_without_the_form_of_its_lips(tiny_model, portrait, portrait_face):
    face = replace(portrait_face, blendshapes=portrait_face.blendshapes + read_as(mouthPress=0.4))
    assert tiny_model.encode_identity([portrait], faces=[[face]]).blendshapes[PRESSED].max() < 0.02


def test_the_form_of_a_drivers_lips_is_not_passed_on(identity, basis):
    """A driver of full lips would purse the mouth of the portrait from the first frame to the last."""
    wave = torch.sin(torch.linspace(0, 4 * torch.pi, 40)).clamp_min(0)[:, None]
    done = wave * read_as(jawOpen=0.4)
    points = move_landmarks(identity.landmarks, identity.blendshapes, MotionTrack.of_expression(done, 25.0), basis)
    fitted = fit_mouth(done + read_as(mouthPucker=0.5), frontal(points, basis.mean), basis)
    assert fitted[:, PUCKER].mean() < 0.1
    assert fitted[:, ARKIT_INDEX["jawOpen"]].max() > 0.3
