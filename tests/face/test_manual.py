import json

import pytest
import torch

from portraittalk.errors import FaceError
from portraittalk.face.align import aligned_crop, eye_distance
from portraittalk.face.manual import face_from_landmarks, face_in_box, read_landmarks, template


def test_the_average_face_is_aligned_and_closed():
    mean = template()
    crop = aligned_crop(mean, (1, 1), 1)
    assert torch.allclose(crop.matrix, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), atol=2e-3)
    assert (mean[13] - mean[14]).norm() < 0.02 * eye_distance(mean)
    assert mean[1, 2] < mean[33, 2] < mean[234, 2], "nose, eyes, ears: from near to far"


def test_a_box_is_filled(portrait_face):
    face = face_in_box((100, 50, 300, 290))
    assert face.box == pytest.approx((100, 50, 300, 290), abs=1e-2)
    placed = face_in_box(portrait_face.box)
    apart = (placed.landmarks - portrait_face.landmarks)[:, :2].norm(dim=1).mean()
    assert apart < 0.1 * eye_distance(portrait_face.landmarks)


def test_flat_landmarks_get_depth(portrait_face):
    face = face_from_landmarks(portrait_face.landmarks[:, :2])
    assert torch.equal(face.landmarks[:, :2], portrait_face.landmarks[:, :2])
    both = torch.stack((face.landmarks[:, 2], portrait_face.landmarks[:, 2]))
    assert torch.corrcoef(both)[0, 1] > 0.95
    assert (both[0] - both[1]).abs().mean() < 0.15 * eye_distance(portrait_face.landmarks)


@pytest.mark.parametrize("wrap", [lambda points: points, lambda points: {"landmarks": points}])
@pytest.mark.parametrize("columns", [2, 3])
def test_a_file_of_landmarks(tmp_path, portrait_face, wrap, columns):
    points = portrait_face.landmarks[:, :columns]
    path = tmp_path / "face.json"
    path.write_text(json.dumps(wrap(points.tolist())))
    assert torch.allclose(read_landmarks(path).landmarks[:, :columns], points)
    path.write_text(json.dumps(wrap(points.tolist())), encoding="utf-16")
    assert torch.allclose(read_landmarks(path).landmarks[:, :columns], points)


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "[[1, 2]]",
        '{"points": []}',
        '[["a", "b"]]',
        "3",
        "null",
        "[" * 100_000,
        "[[1" + "0" * 400 + ", 2]]",
    ],
)
def test_a_file_of_something_else(tmp_path, content):
    path = tmp_path / "face.json"
    path.write_text(content)
    with pytest.raises(FaceError, match="478"):
        read_landmarks(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FaceError, match=r"cannot be read \(No such file"):
        read_landmarks(tmp_path / "face.json")


def test_points_that_are_no_face(portrait_face):
    broken = portrait_face.landmarks.clone()
    broken[5, 0] = float("nan")
    with pytest.raises(FaceError, match="NaN or infinite"):
        face_from_landmarks(broken)
    with pytest.raises(FaceError, match="one place"):
        face_from_landmarks(torch.zeros(478, 3))
