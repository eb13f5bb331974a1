"""The box filter under the guided filter."""

import pytest
import torch
from torch.nn import functional as F

from portraittalk.face.guided import box_mean


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
