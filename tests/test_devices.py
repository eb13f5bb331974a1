"""Frames are made on the model's device: no tensor of the CPU meets one of the accelerator, and they are the same."""

import copy
from dataclasses import replace

import pytest
import torch
from pretend_accelerator import DEVICE, DevicesMeet, Elsewhere, PretendAccelerator, plain_attention
from tiny_public import shallow
from tiny_sd15 import random_model, tiny, write_vocabulary

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face.expression_crop import lip_ratio
from portraittalk.media.audio import Audio
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.keypoint_drive import PARTED
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import build_pipeline
from portraittalk.types import SamplingSettings, Speech
from portraittalk.weights.layouts import LAYOUTS

FRAMES, FPS = 2, 25.0


@pytest.fixture(scope="module")
def motion():
    expression = torch.zeros(FRAMES, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.linspace(0, 0.8, FRAMES)
    expression[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 0.9
    still = MotionTrack.of_expression(expression, FPS)
    return replace(still, rotation=torch.tensor([[0.05, 0.1, 0.02]]).expand(FRAMES, -1))


@pytest.fixture(scope="module")
def other_faces(small_face):
    """The face with its mouth open, and turned to the side."""
    landmarks = small_face.landmarks
    unit = float((landmarks[263] - landmarks[33]).norm())
    opened = landmarks + 0.5 * unit * load_basis().expression[ARKIT_INDEX["jawOpen"]]
    middle = landmarks.mean(0)
    x, y, z = (landmarks - middle).unbind(1)
    turned = torch.stack((0.9 * x + 0.43 * z, y, 0.9 * z - 0.43 * x), 1) + middle
    return [replace(small_face, landmarks=opened), replace(small_face, landmarks=turned)]


def test_tensors_that_meet_are_found():
    with PretendAccelerator():
        there = torch.ones(3).to(DEVICE)
        assert isinstance(there, Elsewhere) and (there + 1).device == DEVICE
        with pytest.raises(DevicesMeet):
            there + torch.ones(3)
        assert torch.equal((2 * there).cpu(), torch.full((3,), 2.0))


def moved(model):
    """The model on the accelerator; to be called where there is one."""
    copied = replace(model, **{name: copy.deepcopy(module) for name, module in model.modules().items()})
    for module in copied.modules().values():
        module.to(DEVICE)
    return copied


@pytest.mark.parametrize("kind", ["tiny_model", "tiny_window_model", "tiny_keypoint_model"])
def test_no_tensors_of_two_devices_meet(request, kind, small_portrait, small_face, other_faces, motion):
    """With a reference of an open mouth, one of the other side, blinks, a turned head and a look: all that there is.

    A model that draws from keypoints gets the open mouth as its portrait: it looks at a closed one that it draws.
    """
    model = request.getfixturevalue(kind)
    faces = [[face] for face in (small_face, *other_faces)]
    draws_mouth = kind == "tiny_keypoint_model"
    if draws_mouth:
        faces[:2] = faces[1::-1]
        assert lip_ratio(faces[0][0].landmarks) > PARTED
    speech = Speech(torch.randn(FRAMES, 20, 80, generator=torch.Generator().manual_seed(5)), FPS, FRAMES / FPS)
    style = model.encode_style("a pencil drawing, smiling")

    def run(model):
        identity = model.encode_identity([small_portrait] * len(faces), faces=faces)
        assert draws_mouth or identity.open_mouth is not None
        return identity, list(model.animate(identity, speech, style, motion, SamplingSettings(steps=1)))

    with torch.no_grad(), plain_attention():
        here = torch.cat(run(model)[1])
        with PretendAccelerator():
            identity, frames = run(moved(model))
    assert not draws_mouth or isinstance(identity.reference["closing"], Elsewhere)
    assert all(not isinstance(chunk, Elsewhere) for chunk in frames)
    assert here.shape[0] == FRAMES and torch.allclose(torch.cat(frames), here, atol=1e-3)


@pytest.fixture(scope="module")
def echomimic(tiny_echomimic):
    return built(replace(shallow(tiny_echomimic), fast_decoder=True))


@pytest.fixture(scope="module")
def aniportrait(tiny_aniportrait):
    return built(tiny_aniportrait)


def built(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return with_basis(build_pipeline(config))


def with_basis(model):
    if model.basis is not None:
        model.basis.load_state_dict(load_basis().state_dict())
    return model


@pytest.fixture(scope="module")
def animatediff(tmp_path_factory):
    model = with_basis(random_model(tiny(LAYOUTS["animatediff"], shallow=True)))
    folder = tmp_path_factory.mktemp("models") / "clip-tokenizer"
    write_vocabulary(folder)
    return replace(model, vocabulary=folder)


@pytest.mark.parametrize("kind", ["echomimic", "aniportrait", "animatediff"])
def test_no_tensors_of_two_devices_meet_in_models_of_public_weights(request, kind, small_portrait, small_face, motion):
    model = request.getfixturevalue(kind)
    sound = Audio(torch.sin(900 * torch.arange(int(16000 * FRAMES / FPS)) / 16000)[None], 16000)
    settings = SamplingSettings(steps=1, guidance_scale=2.0, window=2, overlap=1)
    with torch.no_grad(), PretendAccelerator(), plain_attention():
        there = moved(model)
        identity = there.encode_identity([small_portrait], faces=[[small_face]])
        style = there.encode_style("a drawing") if kind == "animatediff" else None
        frames = list(there.animate(identity, there.encode_speech(sound, FPS), style, motion, settings))
    assert all(not isinstance(chunk, Elsewhere) for chunk in frames) and sum(map(len, frames)) == FRAMES
