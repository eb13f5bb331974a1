"""Masks and planes of pixels."""

import pytest
import torch
from torch.nn import functional as F

from portraittalk.compositing.planes import dilated, distances, halved, resized


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("reach", [0, 1, 2, 5, 14, 70])
@pytest.mark.parametrize("shape", [(1, 40, 33), (2, 3, 1, 7), (1, 1, 1)])
def test_masks_grow_as_by_pooling(shape, reach):
    values = some(*shape) - 0.3
    pooled = F.max_pool2d(F.max_pool2d(values, (1, 2 * reach + 1), 1, (0, reach)), (2 * reach + 1, 1), 1, (reach, 0))
    assert torch.equal(dilated(values, reach), pooled)
    mask = values > 0.6
    grown = dilated(mask, reach)
    assert grown.dtype == torch.float32
    assert torch.equal(grown, dilated(mask.float(), reach))


@pytest.mark.parametrize("limit", [3.0, 8.5, 100.0])
@pytest.mark.parametrize("share", [0.002, 0.05, 1.0])
def test_distances_are_exact_up_to_the_limit_and_larger_beyond(limit, share):
    known = some(37, 52, seed=3) < share
    known[20, 11] = True
    cells = torch.stack(torch.meshgrid(torch.arange(37.0), torch.arange(52.0), indexing="ij"), -1)
    true = torch.cdist(cells.flatten(0, 1), cells[known]).amin(1).view(37, 52)
    found, near = distances(known, limit), true <= limit
    torch.testing.assert_close(found[near], true[near])
    assert (found[~near] > limit).all()
    assert (distances(torch.zeros_like(known), limit) > limit).all()


@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 9), (7, 9), (1, 5), (1, 1)])
def test_halving_takes_the_means_of_what_is_there(size):
    planes = some(3, *size)
    pooled = F.avg_pool2d(planes[None], 2, ceil_mode=True, count_include_pad=False)[0]
    torch.testing.assert_close(halved(planes), pooled)
    torch.testing.assert_close(resized(planes, 0.5), pooled)


def test_planes_are_enlarged_one_by_one_as_together():
    planes = some(3, 9, 14)
    size = torch.Size((17, 40))
    torch.testing.assert_close(resized(planes, size), F.interpolate(planes[None], size, mode="bilinear")[0])
    assert resized(planes, planes.shape[-2:]) is planes
