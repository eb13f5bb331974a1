import math

import torch
from torch.nn.functional import grid_sample

from portraittalk.compositing.resample import doubled

SIZE = 96


def texture(dx=0.0, dy=0.0):
    """A picture (1, 3, SIZE, SIZE) with a photograph's spectrum, 1 / f, moved by some pixels."""
    noise = torch.fft.fft2(torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    f = torch.fft.fftfreq(SIZE)
    radius = (f[:, None].square() + f.square()).sqrt().clamp_min(1 / SIZE)
    return torch.fft.ifft2(noise / radius * torch.exp(2j * math.pi * (f * dx + f[:, None] * dy))).real


def test_every_other_pixel_is_one_of_the_picture():
    picture = torch.rand(1, 4, 9, 12, generator=torch.Generator().manual_seed(0))
    found = doubled(picture)
    assert found.shape == (1, 4, 18, 24)
    assert torch.equal(found[..., ::2, ::2], picture)


def test_channels_after_the_colours_are_interpolated_linearly():
    picture = torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    share = doubled(picture)[0, 3]
    assert torch.allclose(share[:-1:2, 1:-1:2], (picture[0, 3, :, :-1] + picture[0, 3, :, 1:]) / 2)
    assert share.min() >= 0 and share.max() <= 1


def test_a_flat_picture_stays_flat():
    assert torch.allclose(doubled(torch.full((1, 3, 7, 5), 0.3)), torch.tensor(0.3))


def test_sampled_linearly_it_is_nearer_the_truth_than_bicubic_sampling():
    shifts = torch.rand(12, 2, generator=torch.Generator().manual_seed(1)).tolist()
    picture, inner = texture(), (..., slice(8, -8), slice(8, -8))
    fine = doubled(picture)
    errors = {"bicubic": 0.0, "linear": 0.0}
    for dx, dy in shifts:
        x, y = (2 * (torch.arange(SIZE) + 0.5 + shift) / SIZE - 1 for shift in (dx, dy))
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        wanted = texture(dx, dy)
        bicubic = grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False)
        linear = grid_sample(fine, grid - 0.5 / SIZE, padding_mode="border", align_corners=False)
        errors["bicubic"] += float((bicubic - wanted)[inner].abs().mean())
        errors["linear"] += float((linear - wanted)[inner].abs().mean())
    assert errors["linear"] < 0.95 * errors["bicubic"]
