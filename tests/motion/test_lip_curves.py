import math

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face import topology as mesh
from portraittalk.face.align import eye_distance
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.lip_curves import COUNT, FLATTENED, PINCHED, ROWS, smooth_lips
from portraittalk.motion.track import MotionTrack
from portraittalk.training.face.basis import MIRRORED_NAMES

# The strongest rounded lips of o, u and w in speech, and what a prompt may ask for.
ROUND = (
    {"jawOpen": 0.25, "mouthFunnel": 0.3, "mouthPucker": 0.98, "mouthRollUpper": 0.27},
    {"jawOpen": 0.3, "mouthFunnel": 0.8},
    {"mouthFunnel": 1.0},
    {"mouthFunnel": 0.5, "mouthPucker": 0.5},
)


def moved_by(face, portrait, basis, **coefficients):
    expression = torch.zeros(1, 52)
    for name, value in coefficients.items():
        expression[0, ARKIT_INDEX[name]] = value
    return move_landmarks(face, portrait, MotionTrack.of_expression(expression, 25.0), basis)[0]


def turns(points):
    """Return by how much a line (K, 2) turns at each inner point, in radians; positive to the right on the picture."""
    steps = points.diff(dim=0)
    angles = torch.atan2(steps[:, 1], steps[:, 0])
    return angles.diff()


@pytest.mark.parametrize("coefficients", ROUND, ids=range(len(ROUND)))
def test_the_lower_edge_of_rounded_lips_is_one_bow(basis, identity, coefficients):
    faces = ((100 * basis.mean, torch.zeros(52), -0.15), (identity.landmarks, identity.blendshapes, 0.05))
    for face, portrait, bent in faces:
        at = moved_by(face, portrait, basis, **coefficients)[list(mesh.LIPS_OUTER_LOWER), :2]
        assert turns(at).max() < bent  # to the left all along
        lowest = int(at[:, 1].argmax())
        assert (at[: lowest + 1, 1].diff() > 0).all() and (at[lowest:, 1].diff() < 0).all()


def test_without_smoothing_funnelled_lips_have_a_bump_beside_the_corners(basis):
    funnel = torch.zeros(1, 52)
    funnel[0, ARKIT_INDEX["mouthFunnel"]] = 1
    moves = basis.displacement(funnel)
    edge = list(mesh.LIPS_OUTER_LOWER)
    raw, smooth = ((basis.mean + by)[0, edge, :2] for by in (moves, smooth_lips(moves)))
    assert turns(raw).max() > 0.1
    assert turns(smooth).max() < 0.05


def _straight(row):
    """Return the motion (F, K) between the ends of a row that its ends alone have."""
    return row[:, :1].lerp(row[:, -1:], torch.linspace(0, 1, COUNT))


def test_smoothing_keeps_corners_and_smooth_motion_and_settles(basis):
    generator = torch.Generator().manual_seed(0)
    moves = torch.randn(3, 478, 3, generator=generator)
    once = smooth_lips(moves)
    corners = [57, 61, 78, 287, 291, 308]
    lips = {index for row in ROWS for index in row}
    others = [index for index in range(478) if index not in lips]
    assert torch.equal(once[:, corners + others], moves[:, corners + others])
    assert torch.allclose(smooth_lips(once), once, atol=1e-5)
    assert (once - moves).abs().max() > 0.5
    heights = [once[:, list(row), 1] for row in ROWS]
    third = torch.sin(3 * math.pi * torch.linspace(0, 1, COUNT))
    first = torch.sin(math.pi * torch.linspace(0, 1, COUNT))
    for height in heights:
        ratio = (height @ third - _straight(height) @ third) / (height @ first - _straight(height) @ first)
        assert (ratio > PINCHED - 1e-3).all() and (ratio < FLATTENED + 1e-3).all()
    arch = torch.zeros(1, 478, 3)
    for row in ROWS:
        arch[0, list(row), 1] = torch.sin(math.pi * torch.linspace(0, 1, COUNT))
        arch[0, list(row), 0] = torch.linspace(0.3, -0.1, COUNT)
    assert torch.allclose(smooth_lips(arch), arch, atol=1e-5)


def test_rows_run_from_corner_to_corner_and_lie_inside_each_other(basis):
    assert all(len(set(row)) == COUNT for row in ROWS)
    for row in ROWS:
        x = basis.mean[list(row), 0]
        assert (x.diff() > 0).all() and x[COUNT // 2].abs() < 0.01
    middles = basis.mean[[row[COUNT // 2] for row in ROWS], 1]
    upper, lower = middles[::2], middles[1::2]
    assert (upper.diff() > 0).all() and (lower.diff() < 0).all() and upper[-1] < lower[-1]


@pytest.mark.parametrize("stem", ["mouthFunnel", "mouthPucker", "jawOpen", "mouthRollLower", "mouthPress"])
def test_symmetric_coefficients_move_both_sides_alike(basis, stem):
    names = [stem] if stem in ARKIT_INDEX else [f"{stem}Left", f"{stem}Right"]
    coefficients = torch.zeros(1, 52)
    coefficients[0, [ARKIT_INDEX[name] for name in names]] = 1
    assert torch.equal(coefficients, coefficients[:, MIRRORED_NAMES])
    moves = smooth_lips(basis.displacement(coefficients))[0]
    for row in ROWS:
        across, down = moves[list(row), 0], moves[list(row), 1]
        assert torch.allclose(across, -across.flip(0), atol=0.015)
        assert torch.allclose(down, down.flip(0), atol=0.015)


def test_corners_come_in_when_lips_are_rounded(basis, identity):
    rest = moved_by(identity.landmarks, identity.blendshapes, basis)

    def width(points):
        return (points[291, 0] - points[61, 0]) / eye_distance(points)

    widths = [
        width(moved_by(identity.landmarks, identity.blendshapes, basis, mouthPucker=value)) for value in (0.3, 0.6, 1.0)
    ]
    assert width(rest) > widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.9 * width(rest)
