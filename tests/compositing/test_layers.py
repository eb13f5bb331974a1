import torch

from portraittalk.compositing.layers import active_cells


def test_active_cells_hold_the_whole_mask_and_a_rim():
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, 20:24, 33:35] = 0.1
    mask[1, :, 40, 50] = 1.0
    rows, columns = active_cells(mask, 16)  # cells of 4 pixels
    assert (rows, columns) == (slice(4, 12), slice(7, 14))


def test_active_cells_end_at_the_border():
    mask = torch.ones(1, 1, 64, 64)
    assert active_cells(mask, 16) == (slice(0, 16), slice(0, 16))
    corner = torch.zeros(1, 1, 64, 64)
    corner[..., 0, 0] = 1
    assert active_cells(corner, 16) == (slice(0, 2), slice(0, 2))
