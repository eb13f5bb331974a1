"""Faces that look to the side: the average face, turned by known angles."""

import pytest
import torch

from portraittalk.face import topology as mesh
from portraittalk.face.turned import RINGS, along_outline, looks_aside, seen_share, unfolded
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import rotation_matrix

INNER = torch.tensor(RINGS[-1])  # upper and lower edge, left to right
JAW = (361, 288, 397, 365)  # right in the picture
OTHER_JAW = (132, 58, 172, 136)


def turned(yaw: float) -> torch.Tensor:
    """The average face in pixels, turned by a yaw in degrees."""
    rotation = rotation_matrix(torch.tensor([0.0, yaw, 0.0]).deg2rad())
    return 100 * load_basis().mean @ rotation.T + 128


def far_side(yaw: float) -> torch.Tensor:
    """Which landmarks are on the far side: (478,)."""
    right = load_basis().mean[:, 0] > 0.05
    left = load_basis().mean[:, 0] < -0.05
    return right if is_right_far(yaw) else left


def is_right_far(yaw: float) -> bool:
    points = turned(yaw)
    nose = points[4, 0]
    return bool((points[454, 0] - nose).abs() < (points[234, 0] - nose).abs())


def test_faces_look_aside_from_a_yaw_on():
    shares = looks_aside(torch.stack([turned(yaw) for yaw in (0.0, 14.0, -14.0, 19.5, -19.5, 25.0, -40.0)]))
    assert shares[:3].eq(0).all() and shares[5:].eq(1).all()
    assert shares[3:5].sub(0.5).abs().max() < 0.05


@pytest.mark.parametrize("yaw", [-35.0, 35.0])
def test_the_far_jaw_is_hidden_and_the_near_side_is_seen(yaw):
    seen, far = seen_share(turned(yaw)), far_side(yaw)
    jaw, other = (JAW, OTHER_JAW) if is_right_far(yaw) else (OTHER_JAW, JAW)
    assert seen[list(jaw)].max() < 0.1
    assert seen[list(other)].eq(1).all() and seen[~far].eq(1).all()
    assert seen[list(mesh.LIPS_OUTER + mesh.EYE_LEFT + mesh.EYE_RIGHT + mesh.NOSE_BASE_LINE)].eq(1).all()


def test_everything_is_seen_from_the_front():
    for yaw in (0.0, 10.0, -14.0):
        assert seen_share(turned(yaw)).eq(1).all()
        assert along_outline(turned(yaw)) is None


@pytest.mark.parametrize("yaw", [-35.0, 35.0])
def test_far_skin_keeps_to_the_outline_and_near_skin_moves_freely(yaw):
    found = along_outline(turned(yaw))
    assert found is not None
    skin, seen = found
    lengths = torch.linalg.svdvals(seen)
    assert (lengths[:, 0] - 1).abs().max() < 1e-4  # along the outline
    far, outer = far_side(yaw)[skin], load_basis().mean[skin, 0].abs() > 0.5
    assert lengths[far & outer, 1].min() < 0.05
    assert (seen[~far] - torch.eye(2)).abs().max() < 1e-4
    points = turned(yaw)[skin]
    edge = (far & (lengths[:, 1] < 0.05) & (points[:, 1] < turned(yaw)[mesh.LIPS_OUTER_LOWER[5], 1])).nonzero()[:, 0]
    assert len(edge)
    sideways = (seen[edge] @ torch.tensor([1.0, 0.0])).norm(dim=-1)
    assert sideways.max() < 0.6  # the outline of a cheek is upright


def test_lips_of_frontal_faces_stay_as_they_are():
    faces = torch.stack([turned(yaw) for yaw in (0.0, 9.0, -14.0)])
    assert unfolded(faces) is faces


def test_far_lips_are_unfolded():
    face = turned(-33.0)
    right = is_right_far(-33.0)
    corner, beside = (308, (415, 324)) if right else (78, (191, 95))
    outwards = 1.0 if right else -1.0
    face[corner, 0] = face[list(beside), 0].mean() - 8 * outwards
    found = unfolded(face)
    steps = found[INNER, 0].diff(dim=-1)
    assert steps.min() > 0
    assert (outwards * (found[corner, 0] - found[list(beside), 0])).min() > 0
    lips = [*mesh.LIPS_OUTER, *mesh.LIPS_BETWEEN, *mesh.LIPS_INNER]
    changed = (found != face).any(1).nonzero()[:, 0].tolist()
    assert corner in changed and set(changed) <= set(lips)
    assert found[:, 1:].equal(face[:, 1:])


def test_each_frame_is_unfolded_by_itself():
    face = turned(-33.0)
    face[[78, 308], 0] = face[13, 0]
    frames = torch.stack((face, turned(-33.0), turned(3.0)))
    together = unfolded(frames)
    for frame, found in zip(frames, together, strict=True):
        assert (unfolded(frame) - found).abs().max() < 1e-4
