"""Frames are made on the model's device: no tensor of the CPU meets one of the accelerator."""

import copy
from dataclasses import replace

import pytest
import torch
from pretend_accelerator import DEVICE, DevicesMeet, Elsewhere, PretendAccelerator, plain_attention

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.motion.track import MotionTrack
from portraittalk.types import SamplingSettings, Speech

FRAMES, FPS = 2, 25.0


@pytest.fixture(scope="module")
def motion():
    expression = torch.zeros(FRAMES, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.linspace(0, 0.8, FRAMES)
    expression[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 0.9
    still = MotionTrack.of_expression(expression, FPS)
    return replace(still, rotation=torch.tensor([[0.05, 0.1, 0.02]]).expand(FRAMES, -1))


@pytest.fixture(scope="module")
def other_faces(half_face):
    """The face with its mouth open, and turned to the side."""
    from portraittalk.models.face_basis import load_basis

    landmarks = half_face.landmarks
    unit = float((landmarks[263] - landmarks[33]).norm())
    opened = landmarks + 0.5 * unit * load_basis().expression[ARKIT_INDEX["jawOpen"]]
    middle = landmarks.mean(0)
    x, y, z = (landmarks - middle).unbind(1)
    turned = torch.stack((0.9 * x + 0.43 * z, y, 0.9 * z - 0.43 * x), 1) + middle
    return [replace(half_face, landmarks=opened), replace(half_face, landmarks=turned)]


def test_tensors_that_meet_are_found():
    with PretendAccelerator():
        there = torch.ones(3).to(DEVICE)
        assert isinstance(there, Elsewhere) and (there + 1).device == DEVICE
        with pytest.raises(DevicesMeet):
            there + torch.ones(3)
        assert torch.equal((2 * there).cpu(), torch.full((3,), 2.0))


@pytest.mark.parametrize("kind", ["tiny_model", "tiny_window_model"])
def test_no_tensors_of_two_devices_meet(request, kind, half_portrait, half_face, other_faces, motion):
    """With references of an open mouth and of the other side, blinks, a turned head and a look: all that there is."""
    model = request.getfixturevalue(kind)
    faces = [[half_face], *([face] for face in other_faces)]
    speech = Speech(torch.randn(FRAMES, 20, 80, generator=torch.Generator().manual_seed(5)), FPS, FRAMES / FPS)
    style = model.encode_style("a pencil drawing, smiling")
    moved = replace(model, **{name: copy.deepcopy(module) for name, module in model.modules().items()})
    with torch.no_grad(), PretendAccelerator(), plain_attention():
        for module in moved.modules().values():
            module.to(DEVICE)
        identity = moved.encode_identity([half_portrait] * len(faces), faces=faces)
        frames = list(moved.animate(identity, speech, style, motion, SamplingSettings(steps=1)))
    assert identity.open_mouth is not None and identity.sides
    assert all(not isinstance(chunk, Elsewhere) for chunk in frames) and sum(map(len, frames)) == FRAMES
