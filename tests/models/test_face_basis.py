import math

import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face import topology as mesh
from portraittalk.face.rigid import apply_rigid, rigid_fit, undo_rigid
from portraittalk.motion.geometry import rotation_angles, rotation_matrix


def shape(basis, name):
    return basis.expression[ARKIT_INDEX[name]]


def test_the_average_face_is_frontal_and_symmetric(basis):
    mean = basis.mean
    assert (mean[33] + mean[263])[:2].abs().max() < 0.06
    assert abs((mean[263] - mean[33]).norm() - 1) < 0.1
    assert mean[4, 2] < mean[33, 2] < mean[234, 2]  # nose, eye, ear: away from the camera
    assert mean[10, 1] < mean[4, 1] < mean[152, 1]  # forehead, nose, chin: down


def test_shapes_do_what_their_names_say(basis):
    assert shape(basis, "jawOpen")[152, 1] > 0.15  # the chin goes down
    assert shape(basis, "jawOpen")[[33, 263, 4]].abs().max() < 0.03
    smile = shape(basis, "mouthSmileLeft")
    assert smile[291, 1] < -0.03 and smile[291, 0] > 0.03  # the left corner goes up and out
    assert smile[61].norm() < smile[291].norm() / 3
    pucker = shape(basis, "mouthPucker")
    assert pucker[291, 0] < -0.035 and pucker[61, 0] > 0.035
    brow = shape(basis, "browOuterUpRight")
    assert brow[list(mesh.BROW_RIGHT_UPPER), 1].mean() < -0.03
    assert shape(basis, "eyeBlinkLeft")[386, 1] > 0.05 > shape(basis, "eyeBlinkLeft")[374, 1]


def test_eyes_do_not_move_the_mouth_nor_the_mouth_the_brows(basis):
    lips = list(mesh.LIPS_OUTER)
    brows = list(mesh.BROW_LEFT_UPPER + mesh.BROW_RIGHT_UPPER)
    for name in ("eyeBlinkLeft", "eyeWideRight", "browInnerUp"):
        assert shape(basis, name)[lips].norm(dim=1).max() < 0.02
    for name in ("jawOpen", "mouthFunnel", "mouthSmileLeft"):
        assert shape(basis, name)[brows].norm(dim=1).max() < 0.03


def test_closed_lips_are_asked_to_be_closed(basis):
    resting = torch.zeros(2, 52)
    resting[1, ARKIT_INDEX["jawOpen"]] = 0.02
    assert not basis.asked_aperture(resting).any()
    opening = torch.zeros(5, 52)
    opening[:, ARKIT_INDEX["jawOpen"]] = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    asked = basis.asked_aperture(opening)
    assert (asked.diff() > 0).all() and 0.1 < asked[-1] < 0.4


def test_a_rigid_fit_finds_the_similarity(basis):
    angles = torch.tensor([[0.2, -0.3, 0.1], [-0.1, 0.25, -0.4]])
    rotation, scale, offset = rotation_matrix(angles), torch.tensor([80.0, 0.5]), torch.randn(2, 3) * 10
    moved = apply_rigid(basis.mean.expand(2, -1, -1), rotation, scale, offset)
    found = rigid_fit(basis.mean.expand(2, -1, -1), moved)
    assert torch.allclose(found[0], rotation, atol=1e-4)
    assert torch.allclose(found[1], scale, rtol=1e-4)
    assert torch.allclose(found[2], offset, atol=1e-2)
    assert torch.allclose(undo_rigid(moved, rotation, scale, offset), basis.mean.expand_as(moved), atol=1e-3)


def test_rotation_angles_undo_the_matrix_and_have_the_promised_signs():
    angles = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 0.4
    assert torch.allclose(rotation_angles(rotation_matrix(angles)), angles, atol=1e-5)
    nose, crown = torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.0, -1.0, 0.0])
    ten = math.radians(10)
    assert (rotation_matrix(torch.tensor([ten, 0, 0])) @ nose)[1] > 0.17  # looks down
    assert (rotation_matrix(torch.tensor([0, ten, 0])) @ nose)[0] > 0.17  # to the picture's right
    assert (rotation_matrix(torch.tensor([0, 0, ten])) @ crown)[0] > 0.17  # leans clockwise
