import pytest
import torch

from portraittalk.compositing.draw import (
    LINE_WIDTH,
    MAP_CHANNELS,
    OUTSIDE,
    draw_lines,
    drawn_share,
    fill,
    landmark_map,
    motion_mask,
    mouth_opening,
)
from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, to_crop

SIZE = 256
MOUTH, EYES, IRISES = (MAP_CHANNELS.index(name) for name in ("open mouth", "open eyes", "irises"))


@pytest.fixture(scope="module")
def landmarks(portrait, portrait_face):
    crop = aligned_crop(portrait_face.landmarks, tuple(portrait.shape[1:]), SIZE)
    return to_crop(portrait_face.landmarks, crop)


def with_lips(landmarks: torch.Tensor, aperture: float) -> torch.Tensor:
    """The same face, its inner lips ``aperture`` pixels apart all along."""
    moved = landmarks.clone()
    upper, lower = list(mesh.LIPS_INNER_UPPER[1:-1]), list(mesh.LIPS_INNER_LOWER[1:-1])
    middle = (moved[upper] + moved[lower]) / 2
    moved[upper], moved[lower] = middle.clone(), middle.clone()
    moved[lower, 1] += aperture
    return moved


def test_a_line_between_points_that_coincide_is_a_dot():
    points = torch.full((1, 2, 2), 5.5)
    drawn = draw_lines(points, [(0, 1)], 16)[0]
    assert drawn[5, 5] == pytest.approx(1) and drawn.sum() < 4


def test_filling_covers_exactly_the_area():
    generator = torch.Generator().manual_seed(0)
    angles = torch.linspace(0, 2 * torch.pi, 25)[:-1]
    circle = torch.stack((-angles.cos(), -angles.sin()), 1)  # clockwise as seen, y down
    offsets = 10 + 12 * torch.rand(20, 1, 2, generator=generator)
    radii = 0.2 + 6 * torch.rand(20, 1, 1, generator=generator)
    polygons = offsets + radii * circle
    nxt = polygons.roll(-1, 1)
    area = (polygons[..., 0] * nxt[..., 1] - polygons[..., 1] * nxt[..., 0]).sum(1) / 2
    covered = fill(polygons, 32)
    assert torch.allclose(covered.sum((1, 2)), area, rtol=0.01)
    assert covered.min() >= 0 and covered.max() <= 1
    assert not fill(polygons.flip(1), 32).any()  # turned inside out


@pytest.mark.parametrize("corner", [(-3.0, -3.0), (13.5, -2.0), (-40.0, 5.0), (4.0, 50.0), (15.9, 15.9)])
def test_polygons_that_leave_the_picture_are_cut_at_its_border(corner):
    rectangle = torch.tensor([[0.0, 0.0], [5.0, 0.0], [5.0, 4.0], [0.0, 4.0]]) + torch.tensor(corner)
    covered, (x, y) = fill(rectangle[None], 16)[0], corner
    wide, tall = (max(min(at + side, 16.0) - max(at, 0.0), 0.0) for at, side in ((x, 5.0), (y, 4.0)))
    assert covered.shape == (16, 16) and covered.sum().item() == pytest.approx(wide * tall, abs=1e-4)


def test_small_polygons_cost_little():
    """Only the cells that they can touch are computed: the lips are a small part of a picture."""
    sizes = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.append(result.numel() if isinstance(result, torch.Tensor) else 0)
            return result

    with Recorder():
        fill(torch.tensor([[[8.0, 8.0], [12.0, 8.0], [10.0, 11.0]]]), 256)
    assert max(sizes) <= 256 * 256  # the result itself


def test_a_line_falls_off_with_the_exact_distance():
    points = torch.tensor([[[5.3, 8.1], [25.7, 20.4]]])
    drawn = draw_lines(points, [(0, 1)], 32)[0]
    a, b = points[0].double()
    for x, y in ((5, 8), (14, 13), (15, 17), (26, 20), (28, 22)):
        cell = torch.tensor([x + 0.5, y + 0.5]).double()
        share = ((cell - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
        distance = (cell - a - share * (b - a)).norm()
        assert drawn[y, x].item() == pytest.approx(torch.exp(-(distance**2) / (2 * LINE_WIDTH**2)).item(), abs=1e-3)


def test_the_map_has_its_channels_in_range(landmarks):
    drawn = landmark_map(landmarks[None], SIZE)
    assert drawn.shape == (1, len(MAP_CHANNELS), 64, 64) and len(MAP_CHANNELS) == 8
    assert drawn.min() >= 0 and drawn.max() <= 1
    empty = {name for name, channel in zip(MAP_CHANNELS, drawn[0], strict=True) if channel.max() < 0.3}
    assert empty <= {"open mouth"}


def test_a_closed_mouth_is_empty_and_an_open_one_reads_in_fractions_of_a_cell(landmarks):
    apertures = torch.tensor([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
    faces = torch.stack([with_lips(landmarks, a) for a in apertures.tolist()])
    covered = landmark_map(faces, SIZE)[:, MOUTH].sum((1, 2))
    assert covered[0] < 1e-3
    assert torch.allclose(covered[1:] / apertures[1:], (covered[-1] / 8).expand(5), rtol=0.05)


def test_closed_eyes_are_empty_and_hide_the_irises(landmarks):
    shut = landmarks.clone()
    for upper, lower in (
        (mesh.EYE_LEFT_UPPER, mesh.EYE_LEFT_LOWER),
        (mesh.EYE_RIGHT_UPPER, mesh.EYE_RIGHT_LOWER),
    ):
        shut[list(upper)] = shut[list(lower)]
    drawn = landmark_map(torch.stack((landmarks, shut)), SIZE)
    assert drawn[0, EYES].sum() > 5 and drawn[0, IRISES].sum() > 1
    assert drawn[1, EYES].max() < 1e-3 and drawn[1, IRISES].max() < 1e-3


def test_both_eyes_are_drawn(landmarks):
    eyes = landmark_map(landmarks[None], SIZE)[0, EYES]
    assert eyes[:, :32].sum() > 2 and eyes[:, 32:].sum() > 2


def test_a_shift_by_a_cell_shifts_the_map(landmarks):
    cell = SIZE / 64
    shifted = landmarks + torch.tensor([cell, 0.0, 0.0])
    first, second = landmark_map(torch.stack((landmarks, shifted)), SIZE)
    assert torch.allclose(first[:, :, 4:-5], second[:, :, 5:-4], atol=1e-3)


def test_the_map_has_the_same_content_at_any_size(landmarks):
    small, large = (landmark_map(landmarks[None], SIZE, size)[0, EYES] for size in (64, 128))
    pooled = torch.nn.functional.avg_pool2d(large[None], 2)[0]
    assert (small - pooled).abs().max() < 0.1


def test_the_mask_covers_lips_and_eyes_of_both_and_spares_the_rest(landmarks):
    target = landmarks.clone()
    target[:, 1] += 12
    mask = motion_mask(landmarks, target[None], SIZE)
    assert mask.shape == (1, 1, SIZE, SIZE)
    assert mask.min() >= 0 and mask.max() <= 1
    for points in (landmarks, target):
        x, y = points[list(mesh.LIPS_OUTER + mesh.EYE_LEFT + mesh.EYE_RIGHT), :2].long().unbind(1)
        assert mask[0, 0, y, x].min() > 0.6
        assert mask[0, 0, points[152, 1].long() - 4, points[152, 0].long()] > 0.5
    x, y = landmarks[[10, 151, 4, 67, 297], :2].long().unbind(1)
    assert mask[0, 0, y.clamp_min(0), x].max() < 0.1
    assert mask[0, 0, [0, -1]].max() < 0.1 and mask[0, 0, :, [0, -1]].max() < 0.1


def test_the_mask_is_feathered(landmarks):
    mask = motion_mask(landmarks, landmarks[None], SIZE)[0, 0]
    assert mask.diff(dim=0).abs().max() < 0.12 and mask.diff(dim=1).abs().max() < 0.12


def test_what_is_added_is_shown_between_the_lips_and_hardly_elsewhere(landmarks):
    opened = landmarks.clone()
    opened[[14, 87, 317, 178, 402, 88, 318], 1] += 20  # the lower inner lip
    share = drawn_share(mouth_opening(torch.stack((landmarks, opened)), SIZE))[:, 0]
    x, y = opened[[13, 14], :2].mean(0).long().tolist()
    assert share[1, y, x] > 0.98
    lips, cheek = landmarks[17, :2].long().tolist(), landmarks[50, :2].long().tolist()
    for x, y in (lips, cheek):
        assert share[0, y, x] == pytest.approx(OUTSIDE, abs=1e-3)
    assert share.diff(dim=1).abs().max() < 0.3
