"""Skin follows moving brows up to the hairline and down to the eyes, and is nowhere folded."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.compositing.warp import flow_between
from portraittalk.face import topology as mesh
from portraittalk.face.align import eye_distance
from portraittalk.motion.brow_skin import BROW_LANDMARKS, held_brows, skin_followers
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack

SIZE, CELLS = 256, 64
RAISED = 0.63  # coefficients with which brows rise by 1.5 times the range of real speakers
TOP = (10, 109, 67, 103, 338, 297, 332)  # of the forehead


def moved(identity, basis, brows: dict[str, float]) -> torch.Tensor:
    track = MotionTrack.of_expression(torch.zeros(1, 52), 25.0)
    for name, value in brows.items():
        track.expression[:, ARKIT_INDEX[name]] = value
    return move_landmarks(identity.landmarks, identity.blendshapes, track, basis)


@pytest.fixture(scope="module")
def raised(identity, basis):
    """How far landmarks (478, 3) move with raised brows, in eye distances."""
    names = [name for name in ARKIT_NAMES if name.startswith(("browInner", "browOuter"))]
    up = moved(identity, basis, dict.fromkeys(names, RAISED))
    still = moved(identity, basis, {})
    return up, (up - still)[0] / eye_distance(identity.landmarks)


def test_the_forehead_rises_with_the_brows_and_less_towards_the_hairline(raised, basis):
    _, displacement = raised
    brows = displacement[list(BROW_LANDMARKS), 1].mean()
    assert -0.12 < brows < -0.08
    forehead = basis.mean[:468, 1] < -0.28
    assert displacement[:468][forehead, 1].max() < 0
    assert brows < displacement[[69, 299, 151], 1].mean() < displacement[list(TOP), 1].mean() < 0.1 * brows


def test_eyes_and_everything_below_stay(raised, basis):
    _, displacement = raised
    eyes = [*mesh.EYE_RIGHT, *mesh.EYE_LEFT]
    below = (basis.mean[:, 1] > 0.05).nonzero()[:, 0].tolist()
    assert displacement[eyes].abs().max() < 0.01
    assert displacement[below].abs().max() < 0.01


def test_skin_is_not_pressed_together_above_raised_brows(raised, identity):
    """The smallest area to which the warp brings a piece of skin of area 1."""
    up, _ = raised
    flow = flow_between(identity.landmarks, up, SIZE, CELLS)
    x, y = (flow[:, :2] * CELLS).unbind(1)
    (x_down, x_across), (y_down, y_across) = (torch.gradient(offsets, dim=(1, 2)) for offsets in (x, y))
    density = (1 + x_across) * (1 + y_down) - x_down * y_across
    assert 1 / density[flow[:, 6] > 1 / CELLS].max() > 0.47


def test_each_brow_drags_its_own_side(basis):
    weights = skin_followers(basis)
    assert weights.shape == (478, len(BROW_LANDMARKS)) and weights.min() >= 0 and weights.sum(1).max() < 1.001
    right = basis.mean[list(BROW_LANDMARKS), 0] < 0
    assert weights[69, right].sum() > 0.9 * weights[69].sum()
    assert weights[299, ~right].sum() > 0.9 * weights[299].sum()
    assert weights[[4, 13, 152]].abs().max() == 0


def test_brows_that_do_not_move_move_no_landmark(identity, basis):
    plain = moved(identity, basis, {})
    assert torch.equal(moved(identity, basis, {"browInnerUp": 0.0}), plain)


def lowered_brows(identity, by: float):
    """Return the identity with brows that lie closer to the eyes by a share of the way to the lids."""
    landmarks = identity.landmarks.clone()
    lids = landmarks[[159, 386], 1].mean()
    brows = list(BROW_LANDMARKS)
    landmarks[brows, 1] += by * (lids - landmarks[brows, 1])
    return replace(identity, landmarks=landmarks)


def rise(identity, basis, value: float) -> float:
    """Return how far the lower edges of the brows rise, in eye distances."""
    names = [name for name in ARKIT_NAMES if name.startswith(("browInner", "browOuter"))]
    still, up = (moved(identity, basis, dict.fromkeys(names, amount)) for amount in (0.0, value))
    edges = [*mesh.BROW_RIGHT_LOWER, *mesh.BROW_LEFT_LOWER]
    return float((still - up)[0, edges, 1].mean() / eye_distance(identity.landmarks))


def test_brows_close_to_the_eyes_rise_less_far(identity, basis):
    low = lowered_brows(identity, 0.5)
    distance = (low.landmarks[[160, 159, 158], 1].mean() - low.landmarks[list(mesh.BROW_RIGHT_LOWER), 1].mean()).item()
    most = distance / eye_distance(low.landmarks).item()
    assert 0.6 * most < rise(low, basis, 1.0) < 1.2 * most < rise(identity, basis, 1.0)
    assert rise(low, basis, 0.15) == pytest.approx(rise(identity, basis, 0.15), rel=0.05)
    heights = [rise(low, basis, value) for value in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert heights == sorted(heights)


def test_each_brow_is_held_by_its_own_lid_and_lowered_brows_are_not(basis):
    face = basis.mean.clone()
    face[list(mesh.BROW_RIGHT_UPPER + mesh.BROW_RIGHT_LOWER), 1] += 0.08  # the right one lies lower
    up = torch.zeros(1, len(BROW_LANDMARKS), 3)
    up[..., 1] = -0.1
    held = held_brows(up, face)[0, :, 1]
    right = [BROW_LANDMARKS.index(point) for point in mesh.BROW_RIGHT_LOWER]
    left = [BROW_LANDMARKS.index(point) for point in mesh.BROW_LEFT_LOWER]
    assert held[right].min() > 0.6 * held[left].min() and held[left].max() < -0.08
    assert torch.equal(held_brows(-up, face), -up)
