"""Which way depth points, from what a motion extractor reads of turned heads."""

import pytest
import torch

from portraittalk.models.liveportrait.keypoints import rotation_of
from portraittalk.motion.geometry import rotation_matrix
from portraittalk.motion.keypoint_axes import depth_sign, turned_probes

NONE = torch.zeros(1)


def read(turned, sign, share=1.0):
    """What is read of these poses: upstream's angles, of a head that has a pose of its own, each a little too small."""
    angles = (share * turned).rad2deg()
    relative = rotation_of(sign * angles[:, 0], -sign * angles[:, 1], angles[:, 2])
    own = rotation_of(NONE + 4, NONE - 7, NONE + 2)
    return relative @ own


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_side_to_which_heads_turn_tells(sign, share, caplog):
    turned = turned_probes().rotation
    assert depth_sign(read(turned, sign, share), turned) == sign
    assert ("the other way" in caplog.text) == (sign < 0)


def test_what_cannot_be_read_is_taken_for_upstreams():
    turned = turned_probes().rotation
    noise = rotation_matrix(0.05 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    assert depth_sign(noise, turned) == 1
    assert depth_sign(torch.eye(3).expand(5, -1, -1), turned) == 1
