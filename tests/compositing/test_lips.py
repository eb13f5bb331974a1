"""Lips are found where they are in a mouth that stands open, because the mouth is closed to look for them."""

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing import lips
from portraittalk.compositing.draw import fill, mouth_opening
from portraittalk.compositing.lips import LIPS, find_hidden_lips, find_lips, settle_lips
from portraittalk.compositing.teeth import painted_mouth
from portraittalk.compositing.warp import flow_between, warp
from portraittalk.face import topology as mesh
from portraittalk.face.align import eye_distance
from portraittalk.face.mesh import MeshProvider
from portraittalk.face.networks import load_face_networks
from portraittalk.motion.geometry import lip_aperture, move_landmarks
from portraittalk.motion.track import MotionTrack

SIZE = 256


@pytest.fixture(scope="module")
def gape(identity, basis):
    """The demo's face with its mouth wide open: the picture, the true landmarks, and the face that is detected."""
    track = MotionTrack.of_expression(torch.zeros(1, 52), 25.0)
    track.expression[:, ARKIT_INDEX["jawOpen"]] = 0.8
    moved = move_landmarks(identity.landmarks, identity.blendshapes, track, basis)
    picture = warp(identity.references[0], flow_between(identity.landmarks, moved, SIZE))
    picture = picture.lerp(painted_mouth(identity, moved, basis), mouth_opening(moved, SIZE))
    return picture[0], moved[0], MeshProvider()(picture[0])[0]


def apart(points, true) -> float:
    """Mean distance of the lips in eye distances."""
    return float((points - true)[list(LIPS), :2].norm(dim=-1).mean() / eye_distance(true))


def test_a_gaping_mouth_is_seen_as_wide_as_it_is(gape, basis):
    picture, true, seen = gape
    found = find_lips(picture, seen.landmarks, seen.blendshapes, basis, load_face_networks())
    assert found is not None
    landmarks, shapes = found
    assert lip_aperture(seen.landmarks) < 0.8 * lip_aperture(true)
    assert lip_aperture(landmarks) > 0.9 * lip_aperture(true)
    assert apart(landmarks, true) < 0.6 * apart(seen.landmarks, true)
    assert shapes[ARKIT_INDEX["jawOpen"]] > seen.blendshapes[ARKIT_INDEX["jawOpen"]]


def test_wide_open_mouths_are_settled_and_closed_ones_stay_closed(gape, identity):
    picture, true, seen = gape
    known = identity.landmarks[None], identity.blendshapes[None]
    settled = settle_lips(identity.references, *known)
    moved = (settled[0] - known[0]).norm(dim=-1) / eye_distance(known[0])[:, None]
    assert moved.max() < 0.015  # to where the lips are seen to meet
    assert torch.allclose(lip_aperture(settled[0]), lip_aperture(known[0]), atol=0.001)
    assert torch.equal(settled[1], known[1])
    views = torch.stack((picture, identity.references[0]))
    landmarks = torch.stack((seen.landmarks, identity.landmarks))
    settled = settle_lips(views, landmarks, torch.stack((seen.blendshapes, identity.blendshapes)))
    assert lip_aperture(settled[0][0]) > 0.9 * lip_aperture(true)
    assert torch.equal(settled[0][1], settle_lips(identity.references, *known)[0][0])


def test_lips_that_cannot_be_brought_together_stay_where_they_were_found(gape):
    """A picture without a face."""
    _, _, seen = gape
    noise = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    landmarks, _ = settle_lips(noise[None], seen.landmarks[None], seen.blendshapes[None])
    assert torch.equal(landmarks[0], seen.landmarks) or lip_aperture(landmarks[0]) < 2 * lip_aperture(seen.landmarks)


UPPER, LOWER = list(mesh.LIPS_INNER_UPPER[1:-1]), list(mesh.LIPS_INNER_LOWER[1:-1])
BLUE = torch.tensor([0.0, 0.0, 1.0])[:, None, None]


@pytest.fixture
def hidden(gape):
    """A mouth whose inside is blue, and its landmarks with the lips nearly shut; the true ones."""
    picture, true, _ = gape
    inside = fill(true[None, list(mesh.LIPS_INNER), :2], SIZE)
    taken = true.clone()
    taken[LOWER, :2] = true[UPPER, :2] + 0.1 * (true[LOWER, :2] - true[UPPER, :2])
    return picture.lerp(BLUE, inside), taken, true


def seen_in_part(picture, landmarks, networks):
    """Stands in for sharper looks: sees the lower lip half way down what is blue, and blue where it ends as shut."""
    seen = landmarks.clone()
    rows = ((picture - BLUE).abs().amax(0) < 0.4)[:, int(landmarks[UPPER, 0].mean())].nonzero()[:, 0].float()
    if len(rows):
        top, bottom = rows[0], rows[-1] + 1
        seen[UPPER, 1], seen[LOWER, 1] = top, top + 0.5 * (bottom - top)
    else:
        seen[LOWER, 1] = seen[UPPER, 1]
    return seen


def test_open_lips_that_are_taken_for_shut_are_found(hidden, basis, monkeypatch):
    picture, taken, true = hidden
    monkeypatch.setattr(lips, "look_sharper", seen_in_part)
    found = find_hidden_lips(picture, taken, torch.zeros(52), 0.0, basis, None)
    assert found is not None
    landmarks, shapes = found
    assert lip_aperture(taken) < 0.3 * lip_aperture(true)
    assert 0.7 * lip_aperture(true) < lip_aperture(landmarks) < 1.3 * lip_aperture(true)
    assert (landmarks - true)[UPPER, 1].abs().mean() < 0.04 * eye_distance(true)
    assert shapes[ARKIT_INDEX["jawOpen"]] > 0.3


def test_lips_stay_shut_where_sharper_looks_see_no_more_or_never_an_end(hidden, basis, monkeypatch):
    picture, taken, true = hidden
    monkeypatch.setattr(lips, "look_sharper", lambda picture, landmarks, networks: landmarks)
    assert find_hidden_lips(picture, taken, torch.zeros(52), lips.OPENED, basis, None) is None
    settled = settle_lips(picture[None], taken[None], torch.zeros(1, 52))
    assert torch.equal(settled[0][0], taken)
    monkeypatch.setattr(lips, "look_sharper", lambda picture, landmarks, networks: true)
    assert find_hidden_lips(picture, taken, torch.zeros(52), 0.0, basis, None) is None
    monkeypatch.setattr(lips, "look_sharper", seen_in_part)
    assert find_hidden_lips(picture, taken, torch.zeros(52), 1.0, basis, None) is None


@pytest.mark.parametrize("seen", ["nothing", "a moustache as mouth"])
def test_sharper_looks_settle_what_the_others_miss(hidden, basis, monkeypatch, seen):
    """The lips of a mouth that is open are never brought together, or far above where they are."""
    picture, taken, true = hidden
    taken[LOWER, :2] = true[UPPER, :2] + 0.4 * (true[LOWER, :2] - true[UPPER, :2])
    far = true.clone()
    far[UPPER, 1] -= 1.0 * eye_distance(true)
    monkeypatch.setattr(lips, "find_lips", lambda *view: None if seen == "nothing" else (far, torch.zeros(52)))
    monkeypatch.setattr(lips, "look_sharper", seen_in_part)
    landmarks, _ = settle_lips(picture[None], taken[None], torch.zeros(1, 52))
    assert 0.7 * lip_aperture(true) < lip_aperture(landmarks[0]) < 1.3 * lip_aperture(true)


def apart_by(points, aperture):
    """Return landmarks with the lips so far apart, in eye distances."""
    seen = points.clone()
    seen[LOWER, :2] = points[UPPER, :2] + torch.tensor([0.0, aperture]) * eye_distance(points)
    return seen


@pytest.mark.parametrize(("left", "found"), [(0.025, True), (0.04, False)])
def test_lips_that_come_no_closer_meet_if_they_are_near(hidden, basis, monkeypatch, left, found):
    picture, taken, true = hidden
    looks = iter([true])
    monkeypatch.setattr(lips, "look_sharper", lambda picture, points, _: next(looks, apart_by(points, left)))
    assert (find_hidden_lips(picture, taken, torch.zeros(52), 0.1, basis, None) is not None) == found


@pytest.mark.parametrize(
    ("apertures", "looks"),
    [([0.1, 0.1, 0.06, 0.04, 0.03, 0.01], 6), ([0.1, 0.1, 0.04, 0.02, 0.01], 4), ([0.1, 0.01], 2)],
)
def test_lips_are_looked_for_longer_only_until_they_have_met(gape, basis, monkeypatch, apertures, looks):
    picture, _, seen = gape
    left = iter(apertures)
    monkeypatch.setattr(lips, "_landmarks_near", lambda picture, points, _: apart_by(points, next(left)))
    assert find_lips(picture, seen.landmarks, seen.blendshapes, basis, None) is not None
    assert len(list(left)) == len(apertures) - looks


def test_lips_that_stay_apart_are_looked_for_in_views_that_show_them_no_further_apart(hidden, basis, monkeypatch):
    picture, taken, true = hidden
    taken[LOWER, :2] = true[UPPER, :2] + 0.5 * (true[LOWER, :2] - true[UPPER, :2])
    monkeypatch.setattr(lips, "find_lips", lambda *view: None)
    monkeypatch.setattr(lips, "look_sharper", seen_in_part)  # half as far apart as they are
    landmarks, _ = settle_lips(picture[None], taken[None], torch.zeros(1, 52))
    assert 0.7 * lip_aperture(true) < lip_aperture(landmarks[0]) < 1.3 * lip_aperture(true)
