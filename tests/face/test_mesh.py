"""Our own provider: what leads from a picture to its networks and back."""

import pytest
import torch

from portraittalk.config import FaceDetectorConfig, FaceMeshConfig
from portraittalk.face.mesh import BARS, MeshProvider, detect_keypoints, letterbox
from portraittalk.face.networks import FaceNetworks
from portraittalk.models.face_basis import load_basis

SMALL = FaceDetectorConfig(input_size=64, widths=(8, 16, 16, 16))
MESH = FaceMeshConfig(input_size=64, widths=(8, 16, 16, 16), code=32, detail=8)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    made = FaceNetworks(SMALL, MESH).eval()
    made.expression.mean.copy_(load_basis().mean)
    return made


def found_everywhere(networks, presence=5.0):
    """Networks whose detector says of every cell that a face of a quarter of the picture is there.

    presence: the mesh's logit for every crop.
    """
    head = networks.detector.head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([2.0, -0.1, -0.1, 0.1, -0.1, 0, 0, 0, 0.15]))
        networks.mesh.presence.weight.zero_()
        networks.mesh.presence.bias.fill_(presence)
    return networks


def test_a_letterbox_keeps_shape_and_fills_with_grey():
    square, scale = letterbox(torch.ones(3, 100, 200), 64)
    assert square.shape == (3, 64, 64) and scale == 0.32
    assert torch.allclose(square[:, :32], torch.ones(1)) and square[:, 32:].eq(BARS).all()


def test_keypoints_come_back_in_the_pictures_pixels(networks):
    found = detect_keypoints(torch.zeros(3, 200, 400), found_everywhere(networks))
    assert len(found) > 1
    size = (found[:, :2].mean(1) - found[:, 3]).norm(dim=-1)
    assert torch.allclose(size, torch.full_like(size, 0.25 * 400), rtol=1e-3)
    apart = torch.cdist(found.mean(1), found.mean(1)) + torch.eye(len(found)) * 1e9
    assert apart.min() > 0.6 * 100, "one face is found once"


def test_a_provider_gives_faces_with_all_their_parts(networks):
    image = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(1))
    faces = MeshProvider(found_everywhere(networks), max_faces=3)(image)
    assert 1 <= len(faces) <= 3
    for face in faces:
        assert face.landmarks.shape == (478, 3) and face.landmarks.isfinite().all()
        assert face.blendshapes.shape == (52,) and face.blendshapes.min() >= 0 and face.blendshapes.max() <= 1
        assert face.score == pytest.approx(0.993, abs=0.001)
    again = MeshProvider(networks, max_faces=3)(image)
    assert all(torch.equal(a.landmarks, b.landmarks) for a, b in zip(faces, again, strict=True))


@pytest.mark.parametrize(("presence", "count"), [(5.0, 3), (3.0, 0), (-1.0, 0)])
def test_what_is_not_clearly_a_face_must_come_out_of_another_crop_as_well(networks, presence, count, monkeypatch):
    """Random networks find the same points in every crop, so that those of a tilted crop are tilted."""
    monkeypatch.setattr("portraittalk.face.search.TURNS", (0,))
    image = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(1))
    assert len(MeshProvider(found_everywhere(networks, presence), max_faces=3)(image)) == count


def test_without_a_likely_cell_there_is_no_face(networks):
    assert MeshProvider(networks)(torch.zeros(3, 50, 70)) == []
