"""Pictures of motion for people."""

import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.compositing.draw_motion import PANEL, WIDTH, draw_curves, draw_landmarks
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.keyframes import MotionEdit
from portraittalk.motion.track import MotionTrack

SIZE = 128


def track(frames=20):
    motion = MotionTrack.of_expression(torch.zeros(frames, len(ARKIT_NAMES)), 25.0)
    motion.expression[:, ARKIT_INDEX["jawOpen"]] = torch.linspace(0, 0.8, frames)
    return motion


def drawn(edit=None, peaks=(), motion=None):
    motion = motion or track()
    edit = edit or MotionEdit()
    return draw_curves(motion, edit.apply(motion), edit, peaks)


def test_what_is_edited_shows_in_its_own_panel_alone():
    plain = drawn()
    edited = drawn(MotionEdit.parse('{"gaze_vertical": [{"time": 0.2, "value": 0}, {"time": 0.5, "value": 25}]}'))
    assert plain.shape == edited.shape == (3, plain.shape[1], WIDTH)
    rows = (plain - edited).abs().amax((0, 2)) > 0.05
    assert rows[PANEL : 2 * PANEL].any() and not rows[:PANEL].any() and not rows[2 * PANEL :].any()


def test_amplitudes_get_a_panel_where_they_are_edited():
    assert drawn(MotionEdit.parse('{"intensity": [0.5, 3]}')).shape[1] == drawn().shape[1] + PANEL


def test_the_waveform_lies_behind():
    difference = (drawn() - drawn(peaks=[0.0] * 50 + [0.5] * 50)).abs().amax((0, 1))
    assert difference[WIDTH // 2 + 40 :].max() > 0.1 > 0.08 > difference[: WIDTH // 2].max()  # silence is a line


def test_any_length_can_be_drawn():
    for frames in (1, 2, 3000):
        assert drawn(motion=track(frames)).isfinite().all()


def test_landmarks_are_drawn_where_they_are_over_the_portrait():
    face = load_basis().mean * (SIZE / 2.6) + torch.tensor([SIZE / 2, SIZE / 3, 0.0])
    one, moved = draw_landmarks(torch.stack((face, face + torch.tensor([10.0, 0.0, 0.0]))), SIZE)
    assert one.shape == (1, 3, SIZE, SIZE)
    assert torch.allclose(moved[..., 10:], one[..., :-10], atol=0.02)
    (over,) = draw_landmarks(face[None], SIZE, torch.ones(3, 40, 40))
    assert over[0, :, 0, 0].tolist() == torch.tensor([0.45] * 3).mul(255).round().div(255).tolist()
