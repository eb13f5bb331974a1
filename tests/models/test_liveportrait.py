"""LivePortrait's networks against what upstream's code computed at small widths."""

import copy
from dataclasses import replace

import pytest
import torch
from golden_tensors import golden
from liveportrait_networks import golden_networks, numbers
from torch.nn.functional import avg_pool2d

from portraittalk.models.liveportrait.keypoints import FaceMotion, rotation_of
from portraittalk.models.liveportrait.motion import degrees
from portraittalk.motion.geometry import rotation_matrix

TOLERANCE = {"atol": 5e-5, "rtol": 0}


@pytest.fixture(scope="module")
def networks():
    return golden_networks()


@pytest.fixture(scope="module")
def tensors():
    return golden("liveportrait")


def close(found, wanted):
    torch.testing.assert_close(found, wanted, **TOLERANCE)


def points(tensors):
    return tensors["W.kp_source"], tensors["W.kp_driving"]


@pytest.fixture(scope="module")
def volume(networks):
    return networks["appearance"]((numbers(1, 1, 3, 128, 256) + 1) / 2)


def test_appearance(volume, tensors):
    close(volume[..., ::2, ::2], tensors["F.out"])


def test_motion(networks, tensors):
    found = networks["motion_extractor"]((numbers(4, 2, 3, 256, 256) + 1) / 2)
    for name, value in (("kp", found.keypoints), ("exp", found.expression)):
        close(value.flatten(1), tensors[f"M.raw.{name}"])
    for name, value in (("raw.t", found.translation), ("raw.scale", found.scale), ("R", found.rotation)):
        close(value, tensors[f"M.{name}"])
    close(found.points(), tensors["M.x"])


def test_warping(networks, tensors):
    source, driving = points(tensors)
    given = numbers(2, 1, 4, 16, 32, 64)
    warping = networks["warping"]
    places, occlusion = warping.dense_motion_network(warping.compressed(given), source, driving)
    close(places[:, :, ::4, ::4], tensors["W.deformation"])
    close(occlusion, tensors["W.occlusion_map"])
    close(warping(given, source, driving)[..., ::2, ::2], tensors["W.out"])


def test_generator_and_all_three_in_a_row(networks, tensors, volume):
    generator = networks["generator"]
    close(generator(numbers(3, 1, 32, 16, 24))[..., ::2, ::2], tensors["G.out"])
    drawn = generator(networks["warping"](volume, tensors["W.kp_source"], tensors["W.kp_driving"]))
    close(avg_pool2d(drawn, 8), tensors["FWG.out_mean_8x8"])


def test_frames_of_a_batch_are_those_drawn_alone(networks, tensors, volume):
    warping, source = networks["warping"], tensors["W.kp_source"]
    driving = torch.cat((tensors["W.kp_driving"], source))
    together = warping(volume, source, driving, warping.compressed(volume))
    for one, frame in zip(driving, together, strict=True):
        close(warping(volume, source, one[None])[0], frame)


def test_half_precision_keeps_places_in_single(networks, tensors, volume):
    """A bf16 number near 1 is a multiple of 1/128, a quarter of a cell."""
    warping, (source, driving) = copy.deepcopy(networks["warping"]).bfloat16(), points(tensors)
    narrow = warping.compressed(volume.bfloat16())
    places, _ = warping.dense_motion_network(narrow, source, driving)
    assert places.dtype == torch.float32 and not torch.equal(places, places.bfloat16())
    drawn, exact = warping(volume.bfloat16(), source, driving), networks["warping"](volume, source, driving)
    assert drawn.dtype == torch.bfloat16
    assert (drawn - exact).norm() < 0.05 * exact.norm()


def test_stitching_and_retargeting(networks, tensors):
    small, source = networks["retargeting"], tensors["S.kp_source"]
    close(small.stitched(source, tensors["S.kp_driving"]), tensors["S.x_d"])
    lips, eyes = tensors["S.lip_ratio"], tensors["S.eye_ratio"]
    close(small.lip_change(source, lips[:, 0], lips[:, 1]), tensors["S.lip_delta"])
    close(small.eye_change(source, eyes[:, :2], eyes[:, 2]), tensors["S.eye_delta"])


def test_keypoints_in_the_crop(tensors):
    given = {name: tensors[f"T.in.{name}"] for name in ("kp", "exp", "t", "scale", "pitch", "yaw", "roll")}
    rotation = rotation_of(*(given[name][:, 0] for name in ("pitch", "yaw", "roll")))
    close(rotation, tensors["T.R"])
    face = FaceMotion(given["kp"], rotation, given["exp"], given["t"], given["scale"])
    close(face.points(), tensors["T.x"])
    close(degrees(tensors["T.bins"]), tensors["T.bins_degrees"])


@pytest.mark.parametrize("setting", ["no_stitch", "no_lip_norm", "default", "multiplier"])
def test_relative_driving(setting, networks, tensors):
    """A portrait driven by the change of another face since its first frame."""
    source = FaceMotion(
        tensors["source.kp"],
        rotation_of(*(tensors[f"source.{name}"][:, 0] for name in ("pitch", "yaw", "roll"))),
        tensors["source.exp"],
        tensors["source.t"],
        tensors["source.scale"],
    )
    own = source.points()
    close(own, tensors["x_s"])
    rotation, expression, translation, scale = (tensors[f"drive.{name}"][:, 0] for name in ("R", "exp", "t", "scale"))
    moved = source.moved(
        rotation @ rotation[:1].mT, expression - expression[:1], translation - translation[:1], scale / scale[:1]
    )
    points, small = moved.points(), networks["retargeting"]
    if setting != "no_stitch":
        points = small.stitched(own, points)
    if setting in ("default", "multiplier", "no_stitch"):  # these close the portrait's lips first
        points = points + small.lip_change(own, tensors["crop.lip_ratio"][:, 0], torch.zeros(len(points)))
    if setting == "multiplier":
        points = own + 1.5 * (points - own)
    close(points, tensors[f"x_d.{setting}"])


def test_our_yaw_is_theirs_in_the_other_direction():
    """Points in front of the head move as ``motion.geometry`` rotates them, for small angles and each axis alone."""
    nose = torch.tensor([[0.0, 0.1, -1.0]])  # towards the camera
    for angles in torch.eye(3) * 0.1:
        pitch, yaw, roll = angles.rad2deg()
        theirs = nose @ rotation_of(pitch[None], -yaw[None], roll[None])[0]
        close(theirs, nose @ rotation_matrix(angles).mT)
    assert (nose @ rotation_matrix(torch.tensor([0.0, 0.1, 0.0])).mT)[0, 0] > 0  # to the picture's right


def test_nothing_moves_without_motion(networks, tensors):
    source = FaceMotion(
        tensors["source.kp"], torch.eye(3)[None], tensors["source.exp"], tensors["source.t"], tensors["source.scale"]
    )
    still = source.moved(torch.eye(3)[None], torch.zeros(1, 21, 3), torch.zeros(1, 3), torch.ones(1, 1))
    assert torch.equal(still.points(), source.points())
    nearer = replace(source, translation=source.translation + torch.tensor([0, 0, 1.0]))
    assert torch.equal(nearer.points(), source.points())
