"""What is said of a portrait before the run, on pictures made from the demo portrait, of which nothing is said."""

import logging

import pytest
import torch
from PIL import Image, ImageDraw

from portraittalk.face.mesh import MeshProvider
from portraittalk.face.rigid import apply_rigid, rigid_fit, undo_rigid
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import EYE_LEFT, EYE_RIGHT, LIPS, rotation_matrix, set_gap
from portraittalk.pipelines.suitability import eye_opening, turned_away, warnings_about
from portraittalk.types import Face


def moved(face, change):
    """The face after ``change`` of its landmarks as a frontal face in eye distances."""
    mean = load_basis().mean
    pose = rigid_fit(mean, face.landmarks)
    return Face(apply_rigid(change(undo_rigid(face.landmarks, *pose)), *pose), face.blendshapes)


def with_polygon(image, points, colour):
    picture = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
    ImageDraw.Draw(picture).polygon([tuple(point) for point in points.tolist()], fill=colour)
    return (
        torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(*image.shape[1:], 3).permute(2, 0, 1)
        / 255
    )


def test_a_good_portrait_needs_no_words(portrait, portrait_face):
    assert warnings_about(portrait, portrait_face) == []


def test_a_small_face(portrait, portrait_face, shrink):
    small = Face(portrait_face.landmarks * 192 / 768, portrait_face.blendshapes)
    (sentence,) = warnings_about(shrink(portrait, 192), small)
    assert sentence.startswith("The face is only 6") and "at least 100" in sentence


@pytest.mark.parametrize(("pitch", "yaw", "warned"), [(0, 35, True), (0, -35, True), (32, 0, True), (0, 10, False)])
def test_a_turned_face(portrait, portrait_face, pitch, yaw, warned):
    angles = torch.deg2rad(torch.tensor([float(pitch), float(yaw), 0]))
    turned = moved(portrait_face, lambda points: points @ rotation_matrix(angles).T)
    told = [sentence for sentence in warnings_about(portrait, turned) if "turned by" in sentence]
    assert len(told) == warned


def test_roll_is_no_turn_away(portrait_face):
    angles = torch.tensor([0, 0, 2.0])
    rolled = portrait_face.landmarks @ rotation_matrix(angles).T
    assert turned_away(rolled) == pytest.approx(turned_away(portrait_face.landmarks), abs=1)


def test_a_mouth_wide_open(portrait, portrait_face):
    mean = load_basis().mean
    wide, smile = (
        moved(portrait_face, lambda points, gap=gap: set_gap(points[None], LIPS, torch.tensor([gap]), mean)[0])
        for gap in (0.3, 0.08)
    )
    assert "mouth is wide open" in " ".join(warnings_about(portrait, wide))
    assert warnings_about(portrait, smile) == []


def test_shut_eyes(portrait, portrait_face):
    mean = load_basis().mean

    def shut(points):
        for seam in (EYE_LEFT, EYE_RIGHT):
            points = set_gap(points[None], seam, torch.zeros(1), mean)[0]
        return points

    closed = moved(portrait_face, shut)
    assert eye_opening(closed.landmarks, EYE_LEFT) < 0.06 < eye_opening(portrait_face.landmarks, EYE_LEFT)
    (sentence,) = warnings_about(portrait, closed)
    assert sentence.startswith("The eyes are closed")


@pytest.mark.parametrize("colour", [(160, 200, 220), (20, 20, 24), (240, 240, 236)])
def test_a_mask_before_the_mouth(portrait, portrait_face, colour):
    edge = portrait_face.landmarks[[5, 50, 147, 172, 152, 397, 376, 280], :2]
    masked = with_polygon(portrait, edge, colour)
    assert "in front of the mouth" in " ".join(warnings_about(masked, portrait_face))


def test_nothing_is_before_the_mouth_of_a_drawing_without_one(portrait_face):
    """Where a face was placed by hand on a picture that shows none."""
    assert warnings_about(torch.full((3, 768, 768), 0.8), portrait_face) == []


def test_encode_identity_says_it_of_the_portrait_only(tiny_model, portrait, portrait_face, shrink, caplog):
    small = shrink(portrait, 256)
    with caplog.at_level(logging.WARNING, "portraittalk"):
        tiny_model.encode_identity([portrait, small])
        assert not caplog.text
        tiny_model.encode_identity([small, portrait])
    assert [record.getMessage() for record in caplog.records] == warnings_about(small, MeshProvider()(small)[0])
    assert "The face is only" in caplog.text
