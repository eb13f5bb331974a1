"""Negatives, covered mouths, and the heads that are fitted to them."""

from pathlib import Path

import pytest
import torch
from torch import Generator, nn
from typer.testing import CliRunner

from portraittalk.cli.train_face import app
from portraittalk.face.networks import FILE, load_face_networks
from portraittalk.face.topology import FACE_OVAL, LIPS_OUTER
from portraittalk.tensor_files import read_tensors
from portraittalk.training.data.clips import open_clip
from portraittalk.training.data.prepare import write_clip
from portraittalk.training.face.covers import covered_mouth
from portraittalk.training.face.faceless import faceless
from portraittalk.training.face.heads import HeadTraining, covered_examples, fit_head, paint_copies, presence_examples
from portraittalk.training.face.views import FaceSources, FaceViews

ONLY_PICTURES = FaceViews(pictures=1.0, driven=0.0)


@pytest.fixture(scope="module")
def file(portrait, portrait_face, shrink, tmp_path_factory) -> Path:
    """The demo portrait of 256 pixels and its landmarks, as a clip file."""
    path = tmp_path_factory.mktemp("pictures") / "demo.safetensors"
    frames = (shrink(portrait, 256) * 255).round().byte()[None]
    landmarks = portrait_face.landmarks[None] / 3
    write_clip(path, {"frames": frames, "landmarks": landmarks, "blendshapes": torch.rand(1, 52)})
    return path


@pytest.fixture(scope="module")
def sources(file) -> FaceSources:
    return FaceSources([file], [], [], ONLY_PICTURES)


def test_pictures_without_a_face_repeat_and_differ(sources):
    made = [faceless(sources, 64, Generator().manual_seed(seed)) for seed in range(40)]
    assert all(m.shape == (3, 64, 64) and m.min() >= 0 and m.max() <= 1 for m in made)
    assert torch.equal(made[7], faceless(sources, 64, Generator().manual_seed(7)))
    assert len({float(m.sum()) for m in made}) == 40


def test_nothing_of_the_face_is_left(file, sources, monkeypatch):
    """A portrait whose face is pure green has no green left."""
    clip = open_clip(file)
    image, landmarks = 0.5 * clip.frames(0, 1)[0], clip.landmarks[0]
    oval = landmarks[list(FACE_OVAL), :2]
    middle, half = oval.mean(0), (oval.amax(0) - oval.amin(0)) / 2
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    inside = ((columns - middle[0]) / half[0]) ** 2 + ((rows - middle[1]) / half[1]) ** 2 < 0.8
    image[:, inside] = torch.tensor([0.0, 1.0, 0.0])[:, None]
    monkeypatch.setattr(FaceSources, "pick", lambda self, generator: (image, landmarks))
    black = (lambda side, generator: torch.zeros(3, side, side),)
    monkeypatch.setattr("portraittalk.training.face.faceless.MAKERS", black)
    for seed in range(30):
        red, green, blue = faceless(sources, 128, Generator().manual_seed(seed))
        assert ((green > 0.95) & (red < 0.05) & (blue < 0.05)).float().mean() < 0.01


def test_a_covered_mouth_is_covered_and_the_eyes_are_not(portrait, portrait_face):
    lips = portrait_face.landmarks[list(LIPS_OUTER), :2]
    x0, y0, x1, y1 = (*lips.amin(0).int().tolist(), *lips.amax(0).int().tolist())
    forehead = portrait_face.landmarks[151, :2].int().tolist()
    hidden = []
    for seed in range(12):
        covered = covered_mouth(portrait, portrait_face.landmarks, Generator().manual_seed(seed))
        change = (covered - portrait).abs().mean(0)
        hidden.append(float((change[y0:y1, x0:x1] > 0.03).float().mean()))
        assert covered.min() >= 0 and covered.max() <= 1
        assert change[:20, :20].max() == 0
        assert change[forehead[1], forehead[0]] < 0.5
    assert min(hidden) > 0.4 and sum(hidden) / len(hidden) > 0.8


def test_a_head_separates_what_can_be_separated():
    generator = Generator().manual_seed(0)
    features = torch.randn((400, 8), generator=generator)
    labels = (features[:, 0] - features[:, 1] > 0.3).float()
    head = nn.Linear(8, 1)
    entropy = fit_head(head, features, labels, 1e-4)
    assert entropy < 0.1 and not head.weight.requires_grad
    assert ((head(features)[:, 0] > 0) == (labels > 0)).float().mean() > 0.98


def test_examples_are_labelled_by_what_the_crop_shows(sources):
    networks = load_face_networks()
    faces, labels = presence_examples(sources, networks, HeadTraining(faces=6, askew=0, others=0))
    assert faces.shape[1] == networks.mesh.config.code and labels.mean() > 0.7
    askew, labels = presence_examples(sources, networks, HeadTraining(faces=0, askew=6, others=0))
    assert len(askew) and labels.mean() < 0.5
    _, labels = presence_examples(sources, networks, HeadTraining(faces=0, askew=0, others=8))
    assert not labels.any()
    _, labels = covered_examples(sources, networks, HeadTraining(mouths=4))
    assert labels.tolist() == [0, 1, 0, 1]


def test_painted_copies_keep_the_landmarks(file, tmp_path):
    paint_copies([file], 2, 0, tmp_path)
    first, second = (open_clip(path) for path in sorted(tmp_path.glob("demo_*.safetensors")))
    assert torch.equal(first.landmarks, open_clip(file).landmarks)
    assert (first.frames(0, 1) - second.frames(0, 1)).abs().mean() > 0.01
    before = (tmp_path / "demo_0.safetensors").stat().st_mtime_ns
    paint_copies([file], 2, 1, tmp_path)
    assert (tmp_path / "demo_0.safetensors").stat().st_mtime_ns == before


def test_the_command_changes_nothing_but_the_heads(file, tmp_path):
    out = tmp_path / "new.safetensors"
    options = {"landmarker": FILE, "pictures": file.parent, "clips": file.parent, "out": out, "examples": 0.004}
    result = CliRunner().invoke(app, ["heads", *(f"--{name}={value}" for name, value in options.items())])
    assert result.exit_code == 0, result.output
    assert "presence: mean cross-entropy" in result.output and "covered: mean" in result.output
    before, after = (read_tensors(path)[1] for path in (FILE, out))
    heads = {f"mesh.{head}.{part}" for head in ("presence", "covered") for part in ("weight", "bias")}
    assert {name for name in before if not torch.equal(before[name], after[name])} == heads
