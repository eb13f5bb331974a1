import math

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.warp import flow_between, sample, warp
from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, extract_crop, eye_distance, to_crop
from portraittalk.face.rigid import rigid_fit
from portraittalk.face.turned import seen_share
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import rotation_matrix

SIZE = 256
UPPER_EDGES = [*mesh.LIPS_INNER_UPPER, *mesh.LIPS_OUTER_UPPER, *mesh.EYE_RIGHT_UPPER, *mesh.EYE_LEFT_UPPER]
LOWER_EDGES = [*mesh.LIPS_INNER_LOWER, *mesh.LIPS_OUTER_LOWER, *mesh.EYE_RIGHT_LOWER, *mesh.EYE_LEFT_LOWER]


@pytest.fixture(scope="module")
def crop(portrait, portrait_face):
    return aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), SIZE)


@pytest.fixture(scope="module")
def reference(portrait, crop):
    return extract_crop(portrait[None], crop)[0]


@pytest.fixture(scope="module")
def landmarks(portrait_face, crop):
    return to_crop(portrait_face.landmarks, crop)


@pytest.fixture(scope="module")
def targets(landmarks):
    """(4, 478, 3): an open mouth, a dropped head, a turned head, one that leans and grows."""
    unit = eye_distance(landmarks)
    basis = load_basis()
    facing, size, _ = rigid_fit(basis.mean, landmarks)
    jaw = landmarks + size * (0.4 * basis.expression[ARKIT_INDEX["jawOpen"]]) @ facing.T
    dropped = landmarks + torch.tensor([0.0, 0.05, 0.0]) * unit
    turned = landmarks.clone()
    turned[:, 0] -= 0.15 * landmarks[:, 2].clamp(-0.5 * unit, 0.3 * unit)
    centre = landmarks.mean(0)
    leaning = (landmarks - centre) @ torch.tensor([[1.03, 0.09, 0.0], [-0.09, 1.03, 0.0], [0.0, 0.0, 1.0]]) + centre
    return torch.stack((jaw, dropped, turned, leaning))


def test_no_motion_is_the_picture_itself(reference, landmarks):
    flow = flow_between(landmarks, landmarks[None], SIZE)
    assert (warp(reference, flow)[0] - reference).abs().max() < 1 / 255


def shown_at(flow, points):
    """Where the picture at points (F, P, 2), in pixels, comes from, by the sheets above and below: (2, F, P, 2)."""
    offsets = sample(flow[:, :4], points / SIZE).unflatten(-1, (2, 2)).movedim(2, 0)
    return points + offsets * SIZE


def test_landmarks_land_where_they_are_asked(landmarks, targets):
    """Upper lips and lids on the sheet above the openings, lower ones on the one below, all else on both."""
    flow = flow_between(landmarks, targets, SIZE)
    asked = (landmarks - targets)[..., :2]
    above, below = (shown_at(flow, targets[..., :2]) - landmarks[:, :2]).norm(dim=-1)  # pixels
    inside = ((targets[..., :2] > 30) & (targets[..., :2] < SIZE - 30)).all(-1)
    assert asked.norm(dim=-1).amax(1).min() > 4
    for missed, edges in ((above, UPPER_EDGES), (below, LOWER_EDGES)):
        assert missed[:, edges].max() < 1.5
    either = torch.minimum(above, below)
    assert either[inside].quantile(0.98) < 1
    assert either[inside].mean() < 0.3


def test_the_border_stays(reference, landmarks, targets):
    flow = flow_between(landmarks, targets, SIZE)
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert flow[:, :6, edge].abs().max() * SIZE < 0.5
    moved = warp(reference, flow)
    assert (moved[:, :, 0] - reference[:, 0]).abs().max() < 0.05


def test_nothing_folds_where_it_is_seen(landmarks, targets):
    flow = flow_between(landmarks, targets, SIZE)
    for sheet, side in ((0, 6), (2, 7)):
        field = flow[:, sheet : sheet + 2] * 64  # in cells
        across, down = field.diff(dim=3)[:, :, :-1], field.diff(dim=2)[:, :, :, :-1]
        area = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
        seen = area[flow[:, side, :-1, :-1] > 0]
        assert seen.min() > -0.2
        assert (seen < 0).float().mean() < 5e-3


def test_closing_shows_the_lips_and_not_what_was_between_them(landmarks, targets):
    """Just above a closed seam lies the upper lip, just below it the lower one, and nothing lies between."""
    opened = targets[0]
    flow = flow_between(opened, landmarks[None], SIZE)
    for lip, side, sheet in ((13, -1.0, 0), (14, 1.0, 1)):
        point = landmarks[lip, :2] + torch.tensor([0.0, side])
        shown = shown_at(flow, point[None, None])[sheet, 0, 0]
        assert side * (shown[1] - opened[lip, 1]) > -1
    opening = -sample(flow[:, 6:], landmarks[None, [13], :2] / SIZE).sum() * SIZE
    assert opening < 2


def test_closing_eyes_hide_the_eyeballs(landmarks):
    """The upper lids come down on the lower ones: pupils painted green are gone."""
    ramp = torch.full((3, SIZE, SIZE), 0.5)
    closed = landmarks.clone()
    for upper, lower in ((mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER), (mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER)):
        x0, x1 = landmarks[list(upper), 0].aminmax()
        rows, columns = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
        top = landmarks[list(upper[2:-2]), 1].max() + 1
        bottom = landmarks[list(lower[2:-2]), 1].min() - 1
        eyeball = (rows > top) & (rows < bottom) & (columns > x0 + 6) & (columns < x1 - 6)
        assert eyeball.sum() > 20
        ramp[1, eyeball] = 1.0
        closed[list(upper[1:-1])] = landmarks[list(lower[1:-1])]
    shown = warp(ramp, flow_between(landmarks, closed[None], SIZE))[0]
    assert (ramp[1] - ramp[0]).max() > 0.4
    assert (shown[1] - shown[0]).max() < 0.1


def test_teeth_stay_with_the_skull_while_lips_slide_over_them(landmarks, targets):
    """A smile that closes half way: what it still shows of the teeth has not been squeezed."""
    opened = targets[0]
    half = opened.clone()
    upper, lower = list(mesh.LIPS_INNER_UPPER[1:-1]), list(mesh.LIPS_INNER_LOWER[1:-1])
    half[lower] = (opened[lower] + opened[upper]) / 2
    flow = flow_between(opened, half[None], SIZE)
    teeth = (half[[13], :2] + half[[14], :2]) / 2
    assert (opened[14, 1] - half[14, 1]) > 3
    assert sample(flow[:, 4:6], teeth[None] / SIZE).norm() * SIZE < 0.7


def test_each_frame_is_by_itself(landmarks, targets):
    together = flow_between(landmarks, targets, SIZE)
    alone = torch.cat([flow_between(landmarks, target[None], SIZE) for target in targets])
    assert torch.allclose(together, alone, atol=1e-5)


def test_any_size_of_picture_is_warped_alike(reference, landmarks, targets):
    flow = flow_between(landmarks, targets[:1], SIZE)
    large = torch.nn.functional.interpolate(reference[None], scale_factor=2, mode="bilinear")
    down = torch.nn.functional.avg_pool2d(warp(large[0], flow), 2)
    assert (down - warp(reference, flow)).abs().mean() < 0.01


def test_a_shift_inside_shifts_the_picture(landmarks):
    ramp = torch.linspace(0, 1, SIZE).expand(3, SIZE, SIZE)
    moved = landmarks + torch.tensor([6.0, 0.0, 0.0])
    shown = warp(ramp, flow_between(landmarks, moved[None], SIZE))
    nose = landmarks[4, :2].long()
    change = (shown - ramp)[0, 0, nose[1], nose[0]] * (SIZE - 1)
    assert change.item() == pytest.approx(-6, abs=0.5)


def test_landmarks_that_a_face_hides_move_no_pixel():
    """The far line of the jaw of a face that looks to the side lies before its cheek and its lips."""
    mean = load_basis().mean
    jaw = [361, 288, 397, 132, 58, 172]
    for yaw, least, most in ((0.0, 2.0, math.inf), (35.0, 0.0, 0.3), (-35.0, 0.0, 0.3)):
        face = 80 * mean @ rotation_matrix(torch.tensor([0.0, yaw, 0.0]).deg2rad()).T + 128
        far = [index for index in jaw if seen_share(face)[index] < 0.02] if yaw else jaw
        assert len(far) >= 3
        moved = face.clone()
        moved[far, 1] += 6
        flow = flow_between(face, moved[None], SIZE)
        assert least < flow[:, :4].abs().max() * SIZE + 1e-9 < most


def test_edges_of_far_lips_are_denser_and_moved_alike(landmarks, targets):
    """The flow of a face that looks to the side has more cells, because the far edges of its lips are steep."""
    mean, opened = load_basis().mean, load_basis().expression[ARKIT_INDEX["jawOpen"]]
    sides = []
    for yaw in (0.0, 30.0):
        rotation = rotation_matrix(torch.tensor([0.0, yaw, 0.0]).deg2rad())
        face, moved = (80 * points @ rotation.T + 128 for points in (mean, mean + 0.4 * opened))
        flow = flow_between(face, moved[None], SIZE)
        sides.append(flow.shape[-1])
        assert flow[:, :6, 0].abs().max() * SIZE < 0.5
        chin = sample(flow[:, 2:4], moved[None, [18], :2] / SIZE)[0, 0] * SIZE
        assert (moved[18, :2] + chin - face[18, :2]).norm() < 1
    assert sides == [64, 128]
