import math

import pytest
import torch

from portraittalk.face.align import (
    aligned_crop,
    bounds,
    extract_crop,
    eye_distance,
    from_crop,
    grid_from_crop,
    grid_to_crop,
    scale_of,
    to_crop,
)
from portraittalk.types import Crop


def turned(points: torch.Tensor, degrees: float, scale: float, offset: tuple[float, float]) -> torch.Tensor:
    c, s = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    flat = points[:, :2] @ torch.tensor([[c, -s], [s, c]]).T + torch.tensor(offset)
    return torch.cat((flat, points[:, 2:] * scale), 1)


def test_points_go_to_the_crop_and_back(portrait_face):
    crop = aligned_crop(turned(portrait_face.landmarks, 25, 1.7, (30, -12)), (900, 1200), 256)
    points = torch.rand(50, 3) * 1000
    assert torch.allclose(from_crop(to_crop(points, crop), crop), points, atol=1e-2)
    assert torch.allclose(from_crop(to_crop(points[:, :2].double(), crop), crop), points[:, :2].double(), atol=1e-9)


def test_points_of_a_grid_go_where_each_of_them_goes(portrait_face):
    crop = aligned_crop(turned(portrait_face.landmarks, 25, 1.7, (30, -12)), (900, 1200), 256)
    columns, rows = torch.arange(7, dtype=torch.float64) * 31 + 0.5, torch.arange(5, dtype=torch.float64) * 47
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    torch.testing.assert_close(grid_to_crop(columns, rows, crop), to_crop(points, crop), atol=1e-9, rtol=0)
    torch.testing.assert_close(grid_from_crop(columns, rows, crop), from_crop(points, crop), atol=1e-9, rtol=0)


def test_the_crop_is_a_similarity_with_level_eyes_at_a_fixed_place(portrait_face):
    for degrees, scale in ((0, 1.0), (30, 0.4), (-75, 3.0), (180, 1.0)):
        landmarks = turned(portrait_face.landmarks, degrees, scale, (11, 500))
        crop = aligned_crop(landmarks, (768, 768), 256)
        linear = crop.matrix[:, :2].double()
        assert torch.allclose(linear @ linear.T, torch.eye(2).double() * scale_of(crop) ** 2, atol=1e-6)
        assert torch.linalg.det(linear) > 0
        eyes = to_crop(landmarks, crop)[[33, 263], :2]
        assert torch.allclose(eyes, torch.tensor([[76.8, 87.04], [179.2, 87.04]]), atol=0.02)


def test_the_crop_does_not_depend_on_mouth_and_brows(portrait_face):
    landmarks = portrait_face.landmarks.clone()
    landmarks[[13, 14, 17, 152, 105, 334]] += torch.tensor([3.0, 20.0, 0.0])
    changed = aligned_crop(landmarks, (768, 768), 256)
    assert torch.equal(changed.matrix, aligned_crop(portrait_face.landmarks, (768, 768), 256).matrix)


def test_a_turned_head_keeps_its_size(portrait_face):
    flat = portrait_face.landmarks
    angle = math.radians(35)
    turned_head = flat.clone()
    turned_head[:, 0] = flat[:, 0] * math.cos(angle) + flat[:, 2] * math.sin(angle)
    across = (turned_head[263, :2] - turned_head[33, :2]).norm()
    assert 1.05 * across < eye_distance(turned_head)
    assert eye_distance(turned_head) == pytest.approx(eye_distance(flat).item(), rel=0.15)


def test_a_crop_in_the_pixel_grid_is_exact():
    image = torch.rand(2, 3, 120, 160, generator=torch.Generator().manual_seed(0))
    crop = Crop(torch.tensor([[1.0, 0.0, -50.0], [0.0, 1.0, -30.0]]), 64, (120, 160))
    assert torch.allclose(extract_crop(image, crop), image[:, :, 30:94, 50:114], atol=2e-5)
    assert bounds(crop) == (50, 30, 114, 94)


def test_the_border_is_repeated_outside_of_the_picture():
    image = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(0))
    crop = Crop(torch.tensor([[1.0, 0.0, 20.0], [0.0, 1.0, -100.0]]), 64, (120, 160))
    cut = extract_crop(image, crop)
    assert torch.allclose(cut[:, :20, 20:], image[:, 100:, :44], atol=2e-5)
    assert torch.allclose(cut[:, 25:, 20:], image[:, -1:, :44].expand(-1, 39, -1), atol=2e-5)
    assert torch.allclose(cut[:, :20, :20], image[:, 100:, :1].expand(-1, -1, 20), atol=2e-5)


def test_shrinking_does_not_alias():
    stripes = (torch.arange(2000) % 2).float().expand(3, 2000, 2000)
    crop = Crop(torch.tensor([[256 / 2000, 0.0, 0.0], [0.0, 256 / 2000, 0.0]]), 256, (2000, 2000))
    assert (extract_crop(stripes, crop)[:, :, 4:-4] - 0.5).abs().max() < 0.001


def test_the_crop_of_a_turned_face_shows_the_same(portrait, portrait_face, turned_portrait, provider):
    upright = extract_crop(portrait, aligned_crop(portrait_face.landmarks, (768, 768), 256))
    found = provider(turned_portrait)[0]
    size = (turned_portrait.shape[1], turned_portrait.shape[2])
    tilted = extract_crop(turned_portrait, aligned_crop(found.landmarks, size, 256))
    assert (upright - tilted)[:, 40:220, 60:200].abs().mean() < 0.03


def test_a_larger_crop_shows_the_same_square(portrait, portrait_face):
    crop = aligned_crop(portrait_face.landmarks, (768, 768), 128)
    large = extract_crop(portrait, crop, 384)
    small = torch.nn.functional.avg_pool2d(large, 3)
    assert large.shape == (3, 384, 384)
    assert (small - extract_crop(portrait, crop)).abs().mean() < 0.01
