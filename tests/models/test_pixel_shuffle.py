import pytest
import torch
from torch.nn import functional as F

from portraittalk.models.pixel_shuffle import pixel_shuffle, pixel_unshuffle


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_pixels_are_shuffled_as_torch_does_it(factor: int) -> None:
    pictures = torch.rand(2, 3, 8, 12)
    folded = F.pixel_unshuffle(pictures, factor)
    assert torch.equal(pixel_unshuffle(pictures, factor), folded)
    assert torch.equal(pixel_shuffle(folded, factor), pictures)
