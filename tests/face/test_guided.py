"""The guided filter, and the box filter under it."""

import pytest
import torch
from torch.nn import functional as F

from portraittalk.face.guided import box_mean, guided


@pytest.mark.parametrize("radius", [0, 1, 6, 11])
@pytest.mark.parametrize("shape", [(3, 40, 30), (1, 7, 64), (2, 1, 1)])
def test_means_over_windows_are_those_of_average_pooling_bit_for_bit(shape, radius):
    planes = torch.randn(shape, generator=torch.Generator().manual_seed(radius))
    size = (2 * min(radius, shape[1] - 1) + 1, 2 * min(radius, shape[2] - 1) + 1)
    pooled = planes
    for kernel in ((1, size[1]), (size[0], 1)):
        half = (kernel[0] // 2, kernel[1] // 2)
        pooled = F.avg_pool2d(pooled[None], kernel, 1, half, count_include_pad=False)[0]
    assert torch.equal(box_mean(planes, radius), pooled)


def test_half_precision_is_summed_in_single():
    planes = torch.full((1, 50, 50), 0.1, dtype=torch.float16)
    assert torch.equal(box_mean(planes, 20), planes)


@pytest.mark.parametrize("colourful", [1.0, 0.02, 0.0])
def test_the_filter_fits_affine_functions_by_least_squares(colourful):
    """The normal equations are solved in closed form: as by ``solve``, for grey pictures too."""
    generator = torch.Generator().manual_seed(5)
    grey, colour, mask = (torch.rand(n, 24, 30, generator=generator) for n in (1, 3, 1))
    picture = grey.expand(3, -1, -1).lerp(colour, colourful)
    means = box_mean(torch.cat((picture, mask)).double(), 2)
    squares = box_mean((picture[:, None] * picture).flatten(0, 1).double(), 2).view(3, 3, 24, 30)
    covariance = (squares - means[:3, None] * means[:3]).permute(2, 3, 0, 1) + 1e-3 * torch.eye(3, dtype=torch.float64)
    wanted = (box_mean((picture * mask).double(), 2) - means[:3] * means[3]).permute(1, 2, 0)
    slope = torch.linalg.solve(covariance, wanted[..., None])[..., 0].permute(2, 0, 1)
    offset = means[3:] - (slope * means[:3]).sum(0)
    expected = (box_mean(slope, 2) * picture).sum(0, keepdim=True) + box_mean(offset, 2)
    torch.testing.assert_close(guided(mask, picture, 2, 1e-3), expected.float(), atol=1e-4, rtol=0)
