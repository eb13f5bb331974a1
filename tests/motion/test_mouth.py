"""What shows between opening lips: the portrait's own mouth, another reference's, or nothing but stretched lip."""

import torch
from torch import Tensor

from portraittalk.face.draw import mouth_opening
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from portraittalk.motion.geometry import SHOWS_TEETH, lip_aperture
from portraittalk.motion.mouth import PARTED, lend_mouth, open_mouth, stretched_mouth

SIZE = 256
MIDDLE = (0, slice(None), 156, 128)  # of the mouth
CLOSED = torch.tensor(0.0)


def face(gap: float) -> Tensor:
    """Landmarks (1, 478, 3) of a face whose lips are ``gap`` pixels apart."""
    landmarks = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks.clone()[None]
    landmarks[:, list(LIPS_INNER_LOWER[1:-1]), 1] = 150.0 + gap
    landmarks[:, list(LIPS_INNER_UPPER), 1] = 150.0
    return landmarks


def pictures(*, light: float = 1.0) -> Tensor:
    """A portrait of grey skin, and one in another light, whose open mouth is green."""
    grey = torch.full((3, SIZE, SIZE), 0.4)
    other = light * grey
    other[:, 150:162, 100:156] = light * torch.tensor([0.1, 0.5, 0.1])[:, None, None]
    return torch.stack((grey, other))


def stretched(landmarks: Tensor, portrait_aperture: Tensor) -> Tensor:
    return stretched_mouth(mouth_opening(landmarks, SIZE), landmarks, portrait_aperture)


def test_only_what_closed_lips_are_stretched_over_is_replaced():
    opened = face(gap=12.0)
    replaced = stretched(opened, CLOSED)
    assert replaced.shape == (1, 1, SIZE, SIZE)
    assert replaced[0, 0, 154:158, 126:130].min() > 0.8  # the middle of the mouth
    assert replaced[0, 0, :130].max() == 0 and replaced[0, 0, 180:].max() == 0
    assert stretched(opened, lip_aperture(opened)[0]).max() == 0
    assert stretched(face(gap=0.0), CLOSED).max() < 0.01


def test_a_portrait_keeps_the_mouth_that_it_shows_and_closed_lips_leave_none():
    opened = face(gap=12.0)
    asked = lip_aperture(opened)[0]
    ajar, wide = 0.4 * SHOWS_TEETH, 1.6 * SHOWS_TEETH
    assert asked - ajar > PARTED and asked > 1.2 * wide
    assert stretched(opened, torch.tensor(ajar))[MIDDLE] > 0.99
    share = stretched(opened, torch.tensor(wide))[MIDDLE]
    assert abs(share - (1 - wide / asked)) < 0.01


def test_the_widest_mouth_of_the_references_is_found():
    landmarks = torch.cat((face(0.0), face(4.0), face(12.0)))
    references = torch.stack((*pictures(), pictures()[1]))
    found = open_mouth(references, landmarks)
    assert found is not None and torch.equal(found.landmarks, landmarks[2])
    assert open_mouth(references[:1], landmarks[:1]) is None
    assert open_mouth(references[:2], landmarks[[0, 0]]) is None  # none is open
    assert open_mouth(references, landmarks[[2, 0, 1]]) is None  # the portrait's own is
    assert open_mouth(references, landmarks[[2, 2, 2]]) is None  # and the others show no more


def test_closed_lips_open_over_the_mouth_of_another_reference_in_the_portraits_light():
    landmarks = torch.cat((face(0.0), face(12.0)))
    references = pictures(light=0.6)
    mouth = open_mouth(references, landmarks)
    assert mouth is not None
    shown, lent = lend_mouth(references[:1], face(10.0), lip_aperture(landmarks[0]), mouth, 64)
    torch.testing.assert_close(shown[MIDDLE], torch.tensor([0.1, 0.5, 0.1]), atol=0.02, rtol=0)
    assert lent[MIDDLE] > 0.99
    torch.testing.assert_close(shown[..., :140, :], references[:1, :, :140])  # nothing but the mouth
    shown, lent = lend_mouth(references[:1], face(0.0), lip_aperture(landmarks[0]), mouth, 64)
    assert lent.max() < 0.01
    further = lend_mouth(references[:1], face(24.0), lip_aperture(landmarks[0]), mouth, 64)[1]
    assert 0.4 < further[MIDDLE] < 0.6  # it shows half as much
