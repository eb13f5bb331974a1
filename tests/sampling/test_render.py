import torch

from portraittalk.face.draw import landmark_map
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from portraittalk.motion.geometry import lip_aperture
from portraittalk.sampling.render import active_cells, stretched_mouth
from portraittalk.types import Structure


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


def structure(gap: float) -> Structure:
    """One frame of a face whose lips are ``gap`` pixels apart; all that the mouth's opening depends on."""
    landmarks = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks.clone()[None]
    landmarks[:, list(LIPS_INNER_LOWER[1:-1]), 1] = 150.0 + gap
    landmarks[:, list(LIPS_INNER_UPPER), 1] = 150.0
    maps = landmark_map(landmarks, 256)
    empty = torch.zeros(1, 1, 256, 256)
    return Structure(landmarks, maps, torch.zeros(1, 64), torch.zeros(1, 2, 64, 64), empty.expand(-1, 3, -1, -1), empty)


def test_only_what_closed_lips_are_stretched_over_is_replaced():
    opened = structure(gap=12.0)
    closed, as_open = torch.tensor(0.0), lip_aperture(opened.landmarks)[0]
    replaced = stretched_mouth(opened, closed)
    assert replaced.shape == (1, 1, 256, 256)
    assert replaced[0, 0, 154:158, 126:130].min() > 0.8  # the middle of the mouth
    assert replaced[0, 0, :130].max() == 0 and replaced[0, 0, 180:].max() == 0
    assert stretched_mouth(opened, as_open).max() == 0
    assert stretched_mouth(structure(gap=0.0), closed).max() < 0.01
