import torch

from portraittalk.smooth import decayed, power, smoothstep


def test_it_rises_smoothly_from_0_to_1_and_stays_there():
    position = torch.linspace(-1, 2, 301)
    risen = smoothstep(position)
    assert risen[position <= 0].eq(0).all() and risen[position >= 1].eq(1).all()
    assert risen.diff().ge(0).all() and risen.diff().max() < 0.016  # the steepest is 1.5 a unit, in the middle
    assert torch.allclose(risen + smoothstep(1 - position), torch.ones_like(risen), atol=1e-6)


def test_what_decays_is_a_power_of_e_without_numbers_that_are_not_normal():
    exponent = torch.cat((torch.linspace(-70, 0, 50), torch.tensor((-88.0, -100.0, -1e9, -torch.inf))))
    decay = decayed(exponent)
    assert torch.allclose(decay[:50], exponent[:50].exp(), rtol=1e-5)
    assert decay.ge(torch.finfo(torch.float32).tiny).all() and decay[50:].lt(1e-30).all()


def test_powers_are_those_of_torch():
    base, exponent = torch.rand(3, 50), torch.tensor((0.7, 1.0, 1.15))[:, None]
    assert torch.allclose(power(base, exponent), base**exponent, atol=1e-6)
    assert power(torch.zeros(1), torch.tensor(0.7)) < 1e-20 and power(torch.ones(1), torch.tensor(0.7)) == 1
