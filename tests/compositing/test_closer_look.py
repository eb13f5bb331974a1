"""Lips that are hardly parted are looked at again in larger, sharper views; what these disagree on is not believed."""

from types import SimpleNamespace

import pytest
import torch

from portraittalk.compositing.closer_look import (
    ASIDE_VIEWS,
    LIPS,
    SHUT,
    VIEWS,
    WIDE_VIEWS,
    _enlarged,
    look_aside,
    look_closer,
    look_sharper,
)
from portraittalk.compositing.lips import settle_lips
from portraittalk.face import topology as mesh
from portraittalk.face.align import to_crop
from portraittalk.face.mesh import keypoints_of, mesh_crop
from portraittalk.face.networks import load_face_networks
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import SMILES, lip_aperture, rotation_matrix

SIZE = 256
TEETH = (168, 175)  # rows
UPPER, LOWER = list(mesh.LIPS_INNER_UPPER[1:-1]), list(mesh.LIPS_INNER_LOWER[1:-1])


class Ruler:
    """Stands in for the face mesh: returns landmarks whose inner lips are at the ends of the white rows of a crop.

    wrong: factors by which it sees their distance in the crops, one after another.
    """

    device = torch.device("cpu")

    def __init__(self, wrong: tuple[float, ...] = (1.0,) * len(VIEWS)) -> None:
        self.wrong, self.crops = wrong, torch.zeros(0)
        self.config = SimpleNamespace(input_size=load_face_networks().mesh.config.input_size)

    @property
    def mesh(self):
        return self

    def __call__(self, crops):
        self.crops = crops
        landmarks = torch.full((len(crops), 478, 3), crops.shape[-1] / 2)
        for points, crop, wrong in zip(landmarks, crops, self.wrong, strict=True):
            white = (crop[2, :, crop.shape[-1] // 2] > 0.5).nonzero()[:, 0]
            top, bottom = float(white[0]), float(white[-1] + 1)
            points[33, 0], points[263, 0] = 0.0, 100.0
            points[UPPER, 1], points[LOWER, 1] = bottom - wrong * (bottom - top), bottom
        return landmarks, torch.ones(len(crops))


@pytest.fixture
def smile(identity):
    """A picture with a white strip of teeth, and the demo's landmarks with the upper lip half way down the strip."""
    picture = torch.full((3, SIZE, SIZE), 0.2)
    picture[:, TEETH[0] : TEETH[1]] = 1.0
    landmarks = identity.landmarks.clone()
    landmarks[UPPER, 1], landmarks[LOWER, 1] = sum(TEETH) / 2, float(TEETH[1])
    return picture, landmarks


def test_the_upper_lip_is_found_above_the_teeth(smile):
    picture, landmarks = smile
    assert lip_aperture(landmarks) > SHUT
    ruler = Ruler()
    found = look_closer(picture, landmarks, ruler)
    assert (found[UPPER, 1] - TEETH[0]).abs().max() < 1
    assert (found[LOWER, 1] - TEETH[1]).abs().max() < 1
    others = [index for index in range(478) if index not in LIPS]
    assert torch.equal(found[others], landmarks[others])
    heights = (ruler.crops[:, 2, :, 96] > 0.5).sum(1)
    assert heights[-1] > heights[0]  # the views are enlarged more and more


@pytest.mark.parametrize("wrong", [(0.5, 0.55, 0.5), (1.0, 0.6, 1.0), (3.0, 3.5, 4.0)], ids=["same", "differ", "gape"])
def test_landmarks_stay_where_closer_views_show_nothing_new_or_cannot_be_believed(smile, wrong):
    picture, landmarks = smile
    assert torch.equal(look_closer(picture, landmarks, Ruler(wrong)), landmarks)


def test_sharper_looks_are_wider_and_average(smile):
    picture, landmarks = smile
    rulers = Ruler(), Ruler((0.8, 1.2))
    look_closer(picture, landmarks, rulers[0])
    found = look_sharper(picture, landmarks, rulers[1])
    assert (found[UPPER, 1] - TEETH[0]).abs().max() < 1
    assert len(rulers[1].crops) == len(WIDE_VIEWS)
    heights = [(ruler.crops[0, 2, :, 96] > 0.5).sum() for ruler in rulers]
    assert heights[1] < heights[0]


def test_shut_lips_are_not_looked_at_again(smile):
    picture, landmarks = smile
    landmarks[UPPER, 1] = landmarks[LOWER, 1] - 1
    ruler = Ruler()
    assert torch.equal(look_closer(picture, landmarks, ruler), landmarks)
    assert not len(ruler.crops)


@pytest.mark.parametrize("smiles", [True, False])
def test_lips_that_smile_are_looked_at_before_they_are_settled(smile, monkeypatch, smiles):
    """Those of a person who speaks are not: there the closer views take the shade between lips for more of it."""
    picture, landmarks = smile
    shapes = torch.zeros(52)
    shapes[list(SMILES)] = 0.7 if smiles else 0.3
    monkeypatch.setattr("portraittalk.compositing.lips.load_face_networks", Ruler)
    monkeypatch.setattr("portraittalk.compositing.lips.find_hidden_lips", lambda *view: None)
    monkeypatch.setattr("portraittalk.compositing.lips.find_lips", lambda _, points, shapes, *others: (points, shapes))
    settled, _ = settle_lips(picture[None], landmarks[None], shapes[None])
    if smiles:
        assert (settled[0, UPPER, 1] - TEETH[0]).abs().max() < 1
    else:
        assert torch.equal(settled[0], landmarks)


class Glance(Ruler):
    """Stands in for the face networks: its mesh sees landmarks three pixels right of where they are, in each view."""

    def __init__(self, landmarks):
        super().__init__()
        self.landmarks, self.expression = landmarks, load_face_networks().expression
        self.views = 0

    def __call__(self, crops):
        self.views = len(crops)
        base = mesh_crop(keypoints_of(self.landmarks), (SIZE, SIZE), self.config.input_size)
        moved = self.landmarks + torch.tensor([3.0, 0.0, 0.0])
        return torch.stack([to_crop(moved, _enlarged(base, *view)) for view in ASIDE_VIEWS]), torch.ones(len(crops))


def test_faces_that_look_to_the_side_are_seen_closer_below_the_nose():
    picture, shapes = torch.full((3, SIZE, SIZE), 0.4), torch.zeros(52)
    mean = load_basis().mean
    for yaw in (0.0, 12.0, 35.0):
        landmarks = 80 * mean @ rotation_matrix(torch.tensor([0.0, yaw, 0.0]).deg2rad()).T + 128
        networks = Glance(landmarks)
        found, coefficients = look_aside(picture, landmarks, shapes, networks)
        below = mean[:, 1] > mean[2, 1]
        if yaw < 15:
            assert found is landmarks and coefficients is shapes and networks.views == 0
        else:
            assert (found - landmarks)[below].sub(torch.tensor([3.0, 0.0, 0.0])).abs().max() < 0.01
            assert found[~below].equal(landmarks[~below])
            assert coefficients.max() > 0
