"""Turning the head of the demo portrait: what moves, how far, and what stays."""

import math
from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.head import LOWEST, Head, amplitude_of, within_limits
from portraittalk.config import SMALL
from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, extract_crop, from_crop, to_crop
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks, rotation_angles, rotation_matrix
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Crop, Identity

SIZE = 256
DEGREES = [(8, 0, 0), (-8, 0, 0), (0, 12, 0), (0, -12, 0), (0, 0, 10), (0, 0, -10), (4, -8, 5)]
POSES = torch.tensor([[*map(math.radians, angles), 0.05, -0.05, 0.1] for angles in DEGREES])


@pytest.fixture(scope="module")
def identity(portrait, portrait_face) -> Identity:
    crop = aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), SIZE)
    return Identity(
        portrait=portrait,
        crop=crop,
        landmarks=to_crop(portrait_face.landmarks, crop),
        blendshapes=torch.zeros(len(ARKIT_NAMES)),
        references=extract_crop(portrait, crop)[None],
        tokens=torch.zeros(0, 1),
    )


@pytest.fixture(scope="module")
def head(identity) -> Head:
    return Head(identity, load_basis())


@pytest.fixture(scope="module")
def compositor(identity, head) -> Compositor:
    return Compositor(identity.portrait, identity.crop, head)


def still(count: int) -> tuple[torch.Tensor, ...]:
    cells = SMALL.structure.flow_size
    return torch.zeros(count, 8, cells, cells), torch.zeros(count, 3, SIZE, SIZE), torch.zeros(count, 1, SIZE, SIZE)


def shown_at(head: Head, points: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Return where points (P, 2) of the portrait are seen (F, P, 2), by inverting the backward flow."""
    seen = points.expand(len(offsets), -1, -1)
    first, across, down = head.at[0, 0], head.at[0, -1] - head.at[0, 0], head.at[-1, 0] - head.at[0, 0]
    for _ in range(20):
        relative = seen - first
        grid = torch.stack((relative @ across / across.square().sum(), relative @ down / down.square().sum()), -1)
        sampled = torch.nn.functional.grid_sample(offsets, grid[:, None] * 2 - 1, align_corners=True)[:, :, 0]
        seen = points - sampled.transpose(1, 2)
    return seen


def test_without_a_pose_the_frame_is_the_portrait_bit_for_bit(compositor, identity, head):
    frames = compositor(*still(2), pose=torch.zeros(2, 6))
    assert torch.equal(frames, identity.portrait.expand(2, -1, -1, -1))
    offsets = head.offsets(torch.zeros(1, 6))
    assert offsets.abs().max() < 1e-4


def test_nothing_outside_of_the_head_and_its_surroundings_changes(compositor, identity, head):
    frames = compositor(*still(len(POSES)), pose=POSES)
    x0, y0, x1, y1 = head.box
    outside = torch.ones(identity.portrait.shape[1:], dtype=torch.bool)
    outside[y0:y1, x0:x1] = False
    assert torch.equal(frames[:, :, outside], identity.portrait[:, outside].expand(len(POSES), -1, -1))
    assert ((frames - identity.portrait).abs().amax((1, 2, 3)) > 0.05).all()


def test_the_face_goes_where_the_turned_landmarks_are(head, identity):
    """Within the inner face, to a tenth of the motion of the landmarks' own geometry."""
    motion = MotionTrack.of_expression(torch.zeros(len(POSES), len(ARKIT_NAMES)), 25.0)
    turning = replace(motion, rotation=POSES[:, :3], translation=POSES[:, 3:])
    posed = move_landmarks(identity.landmarks, identity.blendshapes, turning, load_basis())
    inner = [*mesh.LIPS_OUTER, *mesh.EYE_LEFT, *mesh.EYE_RIGHT, *mesh.BROW_LEFT_LOWER, *mesh.BROW_RIGHT_LOWER]
    seen = shown_at(head, identity.landmarks[inner, :2], head.offsets(POSES))
    moved = (posed[:, inner, :2] - identity.landmarks[inner, :2]).norm(dim=-1)
    wrong = (posed[:, inner, :2] - seen).norm(dim=-1)
    assert (wrong.mean(1) < 0.2 * moved.mean(1).clamp_min(3)).all()


def test_the_field_is_smooth_and_never_folds(head):
    offsets = head.offsets(POSES)  # (F, 2, h, w)
    spacing = (head.at[0, 1] - head.at[0, 0]).norm()
    across, down = offsets.diff(dim=3)[:, :, :-1] / spacing, offsets.diff(dim=2)[..., :-1] / spacing
    jacobian = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
    assert jacobian.min() > 0.3 and jacobian.max() < 2.0
    for dim in (2, 3):  # no zigzag
        assert offsets.diff(n=2, dim=dim).abs().amax() < 0.6 * spacing


@pytest.mark.parametrize("axis", [0, 1])
def test_straight_lines_in_the_hair_stay_nearly_straight(head, identity, axis):
    """Lines of half an eye distance over and beside the forehead bend by less than 3 % of their length."""
    eye = 0.4 * SIZE
    top = identity.landmarks[10, :2]
    temple = identity.landmarks[127, :2]
    for start in (top + torch.tensor((0.0, -0.3 * eye)), temple + torch.tensor((-0.2 * eye, -0.4 * eye))):
        steps = torch.linspace(0, 0.5 * eye, 20)[:, None] * torch.eye(2)[axis]
        seen = shown_at(head, start + steps, head.offsets(POSES))
        chord = torch.nn.functional.normalize(seen[:, -1] - seen[:, 0], dim=-1)
        relative = seen - seen[:, :1]
        aside = (relative[..., 0] * chord[:, None, 1] - relative[..., 1] * chord[:, None, 0]).abs().amax(1)
        assert (aside / (0.5 * eye) < 0.03).all()


def test_hair_that_hangs_beside_the_chin_bends_little_when_the_head_tilts(head, identity):
    """Where the motion fades; a rigid head would bend nothing. An elliptic fading bends these lines by up to 2.3 %."""
    oval = identity.landmarks[list(mesh.FACE_OVAL), :2]
    middle, half = (oval.amin(0) + oval.amax(0)) / 2, (oval.amax(0) - oval.amin(0)) / 2
    tilted = torch.zeros(2, 6)
    tilted[:, 2] = torch.tensor((math.radians(10), -math.radians(10)))
    bends = []
    for across in (-2.2, -1.9, 1.9, 2.2):
        for down in (-0.2, 0.2, 0.6):
            steps = torch.linspace(-0.25, 0.25, 12)[:, None] * 0.4 * SIZE * torch.tensor((0.0, 1.0))
            seen = shown_at(head, middle + half * torch.tensor((across, down)) + steps, head.offsets(tilted))
            chord, relative = seen[:, -1] - seen[:, 0], seen - seen[:, :1]
            aside = (relative[..., 0] * chord[:, None, 1] - relative[..., 1] * chord[:, None, 0]).abs().amax(1)
            bends.append(aside / chord.square().sum(-1))
    assert torch.stack(bends).max() < 0.02


def test_no_head_turns_further_than_a_photograph_can_show(head):
    far, limit = torch.zeros(2, 6), torch.zeros(2, 6)
    far[:, 1] = torch.tensor((1.2, -1.2))
    own = rotation_angles(head._facing)[1]
    limit[:, 1] = torch.tensor((math.radians(28), -math.radians(28))) - own
    torch.testing.assert_close(head.offsets(far), head.offsets(limit), atol=1e-3, rtol=0)
    turned = rotation_matrix(torch.tensor((0.0, 0.7, 0.0)))  # a portrait at 40 degrees
    yaw = within_limits(torch.tensor([[0.0, 0.3, 0.0], [0.0, -0.3, 0.0]]), turned)[:, 1]
    assert yaw.tolist() == pytest.approx([0.0, -0.3], abs=1e-5)


def test_the_shoulders_stay(head, identity):
    offsets = head.offsets(POSES).norm(dim=1)  # (F, h, w)
    oval = identity.landmarks[list(mesh.FACE_OVAL), 1]
    share = (head.at[..., 1] - oval.max()) / (oval.max() - oval.min())
    assert offsets[:, -1].max() < 0.05  # the lowest row of what may move
    assert offsets[:, share > 0.5].mean() < 0.35 * offsets[:, (share > -0.5) & (share < 0)].mean()


def test_crops_are_turned_within_the_crop_only(compositor, identity):
    """A crop that is pasted back meets the untouched portrait without a seam."""
    crops = compositor.crops(*still(1), pose=POSES[2:3])
    plain = extract_crop(identity.portrait, identity.crop, crops.shape[-1])
    difference = (crops - plain).abs()
    assert difference.max() > 0.1
    rim = torch.cat(
        [difference[..., side, :].flatten() for side in (0, -1)] + [difference[..., side].flatten() for side in (0, -1)]
    )
    assert rim.max() < 0.02


def test_the_background_beside_the_head_stands_still(compositor, identity, head):
    """Where the person neither is nor comes, not a pixel changes; before there was a matte, the wall moved with it."""
    height, width = identity.portrait.shape[1:]
    matte = head.matte((0, 0, width, height))
    reach = round(head.farthest / 2)
    near = torch.nn.functional.max_pool2d((matte > 0.01).float(), 2 * reach + 1, 1, reach)[0] > 0
    x0, y0, x1, y1 = head.box
    beside = torch.zeros_like(near)
    beside[y0:y1, x0:x1] = ~near[y0:y1, x0:x1]
    assert beside.sum() > 1000
    change = (compositor(*still(len(POSES)), pose=POSES) - identity.portrait).abs().amax(1)
    assert change[:, beside].max() < 0.004
    assert change[:, matte[0] > 0.9].max() > 0.1


def test_a_frontal_portrait_moves_freely(head):
    assert head.amplitude == 1


def test_a_profile_and_a_head_at_the_border_move_less_and_it_is_said(identity, caplog):
    turned = rotation_matrix(torch.tensor((0.0, math.radians(35), 0.0)))
    with caplog.at_level("WARNING"):
        assert amplitude_of(identity.landmarks, identity.crop, turned) == pytest.approx(LOWEST)
    assert "40 % as far" in caplog.text and "from the side" in caplog.text
    caplog.clear()
    moved = Crop(identity.crop.matrix.clone(), identity.crop.size, identity.crop.image_size)
    brows = from_crop(identity.landmarks[9:10], identity.crop)[0, 1]  # the picture begins at the brows
    moved.matrix[:, 2] += moved.matrix[:, :2] @ torch.tensor((0.0, float(brows)))
    with caplog.at_level("WARNING"):
        assert LOWEST < amplitude_of(identity.landmarks, moved, torch.eye(3)) < 1
    assert "border" in caplog.text


def test_the_amplitude_lowers_the_pose(identity):
    head = Head(identity, load_basis())
    whole = head.offsets(0.5 * POSES)
    head.amplitude = 0.5
    torch.testing.assert_close(head.offsets(POSES), whole)
