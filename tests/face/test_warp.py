import pytest
import torch

from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, extract_crop, eye_distance, to_crop
from portraittalk.face.warp import flow_between, sample, warp
from portraittalk.motion.arkit import ARKIT_INDEX
from portraittalk.motion.basis import load_basis, rigid_fit

SIZE = 256
LIPS = [*mesh.LIPS_OUTER, *mesh.LIPS_INNER]


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


def test_landmarks_land_where_they_are_asked(landmarks, targets):
    flow = flow_between(landmarks, targets, SIZE)
    asked = (landmarks - targets)[..., :2]
    missed = (sample(flow, targets[..., :2] / SIZE) * SIZE - asked).norm(dim=-1)  # pixels
    inside = ((targets[..., :2] > 30) & (targets[..., :2] < SIZE - 30)).all(-1)
    assert asked.norm(dim=-1).amax(1).min() > 4
    assert missed[:, LIPS].max() < 1.5
    assert missed[inside].quantile(0.98) < 1
    assert missed[inside].mean() < 0.3


def test_the_border_stays(reference, landmarks, targets):
    flow = flow_between(landmarks, targets, SIZE)
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert flow[:, :, edge].abs().max() * SIZE < 0.5
    moved = warp(reference, flow)
    assert (moved[:, :, 0] - reference[:, 0]).abs().max() < 0.05


def test_nothing_folds(landmarks, targets):
    flow = flow_between(landmarks, targets, SIZE) * 64  # in cells
    across, down = flow.diff(dim=3)[:, :, :-1], flow.diff(dim=2)[:, :, :, :-1]
    area = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
    # Inside of an opened mouth all cells show one line, and closed lips that cross by half a pixel turn them over.
    assert area.min() > -0.2
    assert (area < 0).float().mean() < 5e-3


def test_closing_shows_the_lips_and_not_what_was_between_them(landmarks, targets):
    """Just above a closed seam lies the upper lip, just below it the lower one."""
    opened = targets[0]
    flow = flow_between(opened, landmarks[None], SIZE)
    cell = SIZE / 64
    for lip, side in ((13, -1.0), (14, 1.0)):
        point = landmarks[lip, :2] + torch.tensor([0.0, side * cell])
        shown = point + sample(flow, point[None, None] / SIZE)[0, 0] * SIZE
        assert side * (shown[1] - opened[lip, 1]) > -cell / 2


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
