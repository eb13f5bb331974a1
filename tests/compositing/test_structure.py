from dataclasses import fields, replace

import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.draw import MAP_CHANNELS
from portraittalk.compositing.structure import build_structure, structure_coefficients
from portraittalk.config import SMALL
from portraittalk.motion.track import MotionTrack


def speaking(frames: int) -> MotionTrack:
    expression = torch.zeros(frames, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.linspace(0, 0.4, frames)
    return replace(
        MotionTrack.of_expression(expression, 25.0), rotation=torch.linspace(0, 0.1, frames)[:, None].repeat(1, 3)
    )


def test_every_part_has_the_promised_shape(identity, basis):
    structure = build_structure(identity, speaking(3), basis, SMALL)
    assert len(structure) == 3
    assert structure.landmarks.shape == (3, 478, 3)
    assert structure.map.shape == (3, len(MAP_CHANNELS), 64, 64)
    assert structure.coefficients.shape == (3, 64)
    assert structure.flow.shape == (3, 8, *[SMALL.structure.flow_size] * 2)
    assert structure.warped.shape == (3, 3, 256, 256)
    assert structure.mask.shape == (3, 1, 256, 256)
    for f in fields(structure):
        assert getattr(structure, f.name).isfinite().all(), f.name


def test_the_tongue_of_the_track_is_that_of_the_structure(identity, basis):
    track = replace(speaking(3), tongue=torch.tensor([0.0, 0.5, 1.5]))
    track.expression[:, ARKIT_INDEX["tongueOut"]] = torch.tensor([0.25, 0.0, -1.0])
    structure = build_structure(identity, track, basis, SMALL)
    assert structure.tongue.tolist() == [[0.0, 0.25], [0.5, 0.0], [1.0, 0.0]]
    assert structure[1:].tongue.tolist() == [[0.5, 0.0], [1.0, 0.0]]
    still = build_structure(identity, speaking(3), basis, SMALL)
    assert not still.tongue.any()
    for name in ("landmarks", "map", "coefficients", "warped", "borrowed"):
        assert torch.equal(getattr(structure, name), getattr(still, name)), name


def test_a_slice_of_the_track_gives_the_slice_of_the_structure(identity, basis):
    whole = build_structure(identity, speaking(4), basis, SMALL)
    part = build_structure(identity, speaking(4)[1:3], basis, SMALL)
    assert torch.allclose(part.warped, whole.warped[1:3], atol=1e-4)
    assert torch.allclose(part.map, whole.map[1:3], atol=1e-4)


def test_coefficients_stand_where_they_are_documented():
    track = MotionTrack(
        25.0,
        torch.zeros(2, 52),
        torch.full((2, 3), 0.1),
        torch.full((2, 3), 0.2),
        torch.full((2, 2), 0.3),
        torch.full((2,), 0.4),
        torch.zeros(2),
        torch.ones(2),
        torch.zeros(2),
    )
    values = structure_coefficients(torch.full((2, 52), 0.5), track, torch.full((2,), 0.1))
    known = torch.arange(52) != ARKIT_INDEX["tongueOut"]
    assert (values[:, :52][:, known] == 0.5).all() and not values[:, :52][:, ~known].any()
    assert torch.allclose(values[0, 52:], torch.tensor([0.4] * 3 + [2.0] * 3 + [1.2] * 2 + [0.4, 0.5, 0.0, 0.0]))
