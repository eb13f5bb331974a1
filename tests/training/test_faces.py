"""Views and scenes with labels that fit them, and networks that learn from them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator

import portraittalk
from portraittalk.config import FaceDetectorConfig, FaceMeshConfig
from portraittalk.face.manual import face_in_box
from portraittalk.face.mesh import EYE_DISTANCE, TEMPLATE, frontal, keypoints_of, mesh_crop
from portraittalk.media.image import read_image
from portraittalk.models.face_basis import load_basis
from portraittalk.training.data.prepare import write_clip
from portraittalk.training.face.detector import DetectorTraining, scenes, targets, train_detector
from portraittalk.training.face.mesh import (
    ExpressionTraining,
    MeshTraining,
    mesh_batches,
    mesh_loss,
    train_expression,
    train_mesh,
)
from portraittalk.training.face.views import FaceSources, FaceViews, degraded, face_view, jittered, mirror_order
from portraittalk.training.trainer import TrainerConfig

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo" / "portrait.jpg"
MEAN = load_basis().mean
ORDER = mirror_order(MEAN)
STILL = FaceViews(rotation=0, wild=0, zoom=1, shift=0, shape=0)
DETECTOR = FaceDetectorConfig(input_size=64, widths=(8, 16, 16, 16))
MESH = FaceMeshConfig(input_size=64, widths=(8, 16, 16, 16), code=32, detail=8)
TRAINER = TrainerConfig(steps=30, learning_rate=3e-3, warmup=3, bf16=False, ema=0.5)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """The demo portrait at half its size and landmarks of an average face in it, as a clip file."""
    image = read_image(DEMO, max_side=384).pixels
    points = face_in_box((115.0, 85.0, 265.0, 280.0)).landmarks
    path = tmp_path_factory.mktemp("pictures") / "demo.safetensors"
    frames = (image * 255).round().byte()[None]
    write_clip(path, {"frames": frames, "landmarks": points[None], "blendshapes": torch.rand(1, 52)})
    return path, image, points


@pytest.fixture(scope="module")
def sources(picture):
    return FaceSources([picture[0]], [], [], FaceViews())


def fall(told):
    return sum(told[-5:]) / 5, sum(told[:5]) / 5


def test_mirrored_landmarks_are_pairs():
    assert ORDER[ORDER].equal(torch.arange(478)) and ORDER.sort().values.equal(torch.arange(478))
    assert ORDER[33] == 263 and ORDER[61] == 291 and ORDER[4] == 4
    assert ((MEAN * torch.tensor([-1.0, 1, 1]))[ORDER] - MEAN).norm(dim=1).max() < 0.04


def test_the_crop_of_a_frontal_face_has_its_keypoints_on_the_template():
    face = MEAN @ torch.tensor([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]]) * 90 + torch.tensor([300.0, 200, 0])
    crop = mesh_crop(keypoints_of(face), (500, 600), 192)
    shown = keypoints_of(face) @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    assert (shown / 192 - torch.tensor(TEMPLATE)).abs().max() < 0.02
    assert crop.matrix[0, :2].norm() * 90 / 192 == pytest.approx(EYE_DISTANCE, rel=0.02)
    assert torch.allclose(frontal(face, MEAN), MEAN, atol=1e-3)


def test_a_view_moves_the_labels_with_the_pixels(picture):
    _, image, points = picture
    marked = image.clone()
    for x, y in points[[33, 263, 61, 291, 4], :2].round().long().tolist():
        marked[:, y - 3 : y + 3, x - 3 : x + 3] = torch.tensor([1.0, 0, 1])[:, None, None]
    clean = FaceViews(rotation=0.3, wild=0, zoom=1.2, shift=0.05, shape=0.04)
    import portraittalk.training.face.views as faces

    for seed in range(6):
        generator = Generator().manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faces, "degraded", lambda view, generator: view)
            view, moved = face_view(marked, points, 192, ORDER, clean, generator)
        for x, y in moved[[33, 263, 61, 291, 4], :2].round().long().tolist():
            red, green, blue = view[:, y - 1 : y + 1, x - 1 : x + 1].mean((1, 2))
            assert red > 0.6 and blue > 0.6 and green < 0.45


def test_a_jitter_of_nothing_leaves_the_crop(picture):
    crop = mesh_crop(keypoints_of(picture[2]), (384, 384), 192)
    assert torch.allclose(jittered(crop, STILL, Generator().manual_seed(0)).matrix, crop.matrix, atol=1e-4)


def test_a_degraded_picture_stays_one(picture):
    small = picture[1][:, 100:196, 100:196]
    made = [degraded(small, Generator().manual_seed(seed)) for seed in range(40)]
    assert all(m.shape == small.shape and m.isfinite().all() and m.min() >= 0 and m.max() <= 1 for m in made)
    assert torch.equal(made[3], degraded(small, Generator().manual_seed(3)))


def test_targets_are_highest_where_the_face_is():
    from portraittalk.training.face.detector import _Shown

    points = torch.tensor([[0.4, 0.5], [0.6, 0.5], [0.5, 0.6], [0.5, 0.7]])
    found = targets([_Shown(points, 0.0)], FaceDetectorConfig())
    y, x = divmod(int(found["likely"].argmax()), 20)
    assert abs((x + 0.5) / 20 - 0.5) < 0.06 and abs((y + 0.5) / 20 - 0.575) < 0.06
    assert found["keypoints"][y, x].equal(points) and found["counts"].all()
    half = targets([_Shown(points, 0.6)], FaceDetectorConfig())
    assert half["likely"].max() == 0 and not half["counts"].all()


def test_scenes_repeat_and_have_faces_inside(sources):
    draw = scenes(sources, DETECTOR, DetectorTraining(batch=12))
    first, again = (draw(Generator().manual_seed(0)) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["scene"].shape == (12, 3, 64, 64) and first["likely"].shape == (12, 8, 8)
    shown = first["likely"].flatten(1).amax(1) > 0.6
    assert 6 <= shown.sum() <= 12
    middles = first["keypoints"][first["likely"] > 0.6].mean(1)
    assert middles.min() > 0 and middles.max() < 1


def test_samples_without_a_face_are_told_apart(sources):
    batch = mesh_batches(sources, MEAN, MESH, MeshTraining(batch=24, absent=0.5))(Generator().manual_seed(0))
    assert 4 < batch["present"].sum() < 20
    assert batch["points"][batch["present"] == 0].abs().max() == 0
    inside = batch["points"][batch["present"] > 0][..., :2].mean(1) / MESH.input_size
    assert (inside - 0.5).abs().max() < 0.35


def test_the_loss_of_the_truth_is_that_of_the_presence_alone(sources):
    batch = mesh_batches(sources, MEAN, MESH, MeshTraining(batch=8, absent=0))(Generator().manual_seed(0))

    class Knows:
        config = MESH

        def __call__(self, crop):
            return batch["points"], torch.full((8,), 50.0)

    assert mesh_loss(Knows(), batch, Generator())["loss"] < 1e-6
    assert mesh_loss(Knows(), batch, Generator())["nme"] == 0


@pytest.mark.parametrize("which", ["detector", "mesh"])
def test_the_networks_learn(which, sources, tmp_path, losses):
    trainer = replace(TRAINER, log_every=1)
    if which == "detector":
        train_detector(sources, DETECTOR, DetectorTraining(batch=8, trainer=replace(trainer, steps=15)), tmp_path)
    else:
        train_mesh(sources, MEAN, MESH, MeshTraining(batch=8, trainer=trainer), tmp_path)
    end, start = fall(losses(tmp_path))
    assert end < 0.8 * start
    assert (tmp_path / "weights.safetensors").is_file()


def test_expressions_are_learnt_from_landmarks(tmp_path):
    points = MEAN.expand(40, -1, -1).clone()
    openness = torch.linspace(0, 1, 40)
    points[:, 14, 1] += 0.3 * openness
    shapes = torch.zeros(40, 52)
    shapes[:, 25] = openness
    path = tmp_path / "a_1.safetensors"
    write_clip(path, {"frames": torch.zeros(40, 3, 4, 4).byte(), "landmarks": points * 80, "blendshapes": shapes})
    training = ExpressionTraining(batch=32, trainer=replace(TRAINER, steps=200))
    reader = train_expression([path], MEAN, FaceMeshConfig(), training, tmp_path / "run")
    with torch.no_grad():
        read = reader(frontal(points * 80, MEAN))[:, 25]
    assert (read - openness).abs().mean() < 0.1
