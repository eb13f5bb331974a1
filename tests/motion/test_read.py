from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.errors import MotionError
from portraittalk.motion.geometry import move_landmarks, tongue_of
from portraittalk.motion.read import motion_of_faces, pose_and_gaze, read_motion, relative_expression
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face


@pytest.fixture(scope="module")
def nod(identity):
    """A track with speech, a turning head and wandering eyes; its first frame is the portrait's pose."""
    steps = torch.linspace(0, 1, 9)[:, None]
    expression = torch.zeros(9, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.3 * (steps[:, 0] * 6.3).sin().abs()
    return replace(
        MotionTrack.of_expression(expression, 25.0),
        rotation=steps * torch.tensor([0.08, -0.12, 0.1]),
        translation=steps * torch.tensor([0.05, -0.04, 0.3]),
        gaze=steps * torch.tensor([0.2, 0.0]),
    )


@pytest.fixture(scope="module")
def landmarks(identity, nod, basis):
    return move_landmarks(identity.landmarks, identity.blendshapes, nod, basis)


def test_pose_and_gaze_are_read_back(landmarks, nod, basis):
    rotation, translation, gaze = pose_and_gaze(landmarks, basis)
    assert (rotation - nod.rotation).abs().max() < 0.02
    assert (translation - nod.translation)[:, :2].abs().max() < 0.04
    assert (translation - nod.translation)[:, 2].abs().max() < 0.1
    assert (gaze - nod.gaze).abs().max() < 0.05
    assert rotation[0].abs().max() < 1e-5


def test_frames_without_a_face_are_filled_from_their_neighbours(landmarks, nod, basis):
    faces = [Face(points, values) for points, values in zip(landmarks, nod.expression, strict=True)]
    whole = motion_of_faces(faces, 25.0, basis)
    holed = motion_of_faces([None, *faces[1:4], None, *faces[5:]], 25.0, basis)
    assert len(holed) == len(whole) == 9
    assert torch.equal(holed.expression[0], holed.expression[1])
    middle = (holed.rotation[3] + holed.rotation[5]) / 2
    assert torch.allclose(holed.rotation[4], middle, atol=1e-6)


def test_speech_is_read_as_it_is_and_the_resting_face_is_taken_off():
    expression = torch.full((20, 52), 0.3)
    relative = relative_expression(expression)
    assert (relative[:, ARKIT_INDEX["jawOpen"]] == expression[:, 0]).all()
    assert not relative[:, ARKIT_INDEX["mouthSmileLeft"]].any()


def test_a_tongue_comes_out_as_far_as_the_blendshapes_say_and_is_never_raised(landmarks, nod, basis):
    values = nod.expression.clone()
    values[4:6, ARKIT_INDEX["tongueOut"]] = 0.6
    track = motion_of_faces([Face(*one) for one in zip(landmarks, values, strict=True)], 25.0, basis)
    tongue = tongue_of(track)
    assert tongue.out.tolist() == pytest.approx([0.0] * 4 + [0.6] * 2 + [0.0] * 3)
    assert not tongue.raised.any()


def test_a_video_without_a_face_is_refused(basis):
    with pytest.raises(MotionError, match="shows a face"):
        motion_of_faces([None, None], 25.0, basis)


def test_a_provider_without_expressions_is_refused(landmarks, basis):
    with pytest.raises(MotionError, match="no expressions"):
        motion_of_faces([Face(landmarks[0])], 25.0, basis)


def test_motion_is_read_from_pictures(portrait, portrait_face, basis):
    seen = []
    track = read_motion([portrait, portrait], 25.0, lambda image: [portrait_face], basis, 2, seen.append)
    assert len(track) == 2 and track.rotation.abs().max() < 1e-4
    assert [(p.done, p.total) for p in seen] == [(1, 2), (2, 2)]
