import torch

from portraittalk.smooth import smoothstep


def test_it_rises_smoothly_from_0_to_1_and_stays_there():
    position = torch.linspace(-1, 2, 301)
    risen = smoothstep(position)
    assert risen[position <= 0].eq(0).all() and risen[position >= 1].eq(1).all()
    assert risen.diff().ge(0).all() and risen.diff().max() < 0.016  # the steepest is 1.5 a unit, in the middle
    assert torch.allclose(risen + smoothstep(1 - position), torch.ones_like(risen), atol=1e-6)
