"""Golden tensors: what upstream code computed at small widths, as ``tests/goldens/README.md`` tells."""

import gzip
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
PLACES, NUMBERS = "drawn.places", "drawn.numbers"  # stored numbers among the drawn ones, where ``drawn`` says why
GROUP = 16  # torch draws normal numbers in groups of this many


@cache
def recipes() -> dict[str, dict]:
    """By a golden file's name, how to draw those of its tensors again that are not stored."""
    return json.loads(gzip.decompress((GOLDENS / "draws.json.gz").read_bytes()))


def golden(name: str) -> dict[str, Tensor]:
    """All tensors of a golden file, those that are drawn again among them."""
    tensors = load_file(GOLDENS / f"{name}.safetensors")
    if name in recipes():
        tensors |= drawn(recipes()[name], tensors.pop(PLACES), tensors.pop(NUMBERS))
    return tensors


def drawn(recipe: dict, places: Tensor, numbers: Tensor) -> dict[str, Tensor]:
    """The recipe's tensors in half precision, as ``torch.randn`` on a CPU drew them from its seed, one after another.

    Torch's generator is the Mersenne Twister that NumPy's RandomState is, and no version of NumPy changes its numbers.
    Torch's logarithm and cosine are less exact than the ones used here, so that a few numbers round to another half.
    These are stored, and so are tensors of fewer than 16 numbers, which torch draws in another way: ``numbers``, and
    their ``places`` in the row that all tensors make.
    """
    sizes = [math.prod(shape) for _, shape, _, _ in recipe["tensors"]]
    used = [size if size >= GROUP else 2 * size for size in sizes]
    generator = np.random.RandomState(recipe["seed"])
    words = generator.randint(2**32, size=recipe["start"] + sum(used), dtype=np.uint32)[recipe["start"] :]
    parts = []
    for size, part, (_, _, mean, deviation) in zip(
        sizes, np.split(words, np.cumsum(used)[:-1]), recipe["tensors"], strict=True
    ):
        parts.append(mean + deviation * normal(part) if size >= GROUP else np.zeros(size))
    row = torch.from_numpy(np.concatenate(parts).astype(np.float16))
    row[places.long()] = numbers
    return {
        key: part.reshape(shape) for part, (key, shape, _, _) in zip(row.split(sizes), recipe["tensors"], strict=True)
    }


def normal(words: np.ndarray) -> np.ndarray:
    """Normal numbers of the generator's, by the Box-Muller transform: eight of a group with the eight that follow."""
    first, second = ((words % 2**24) / 2**24).reshape(-1, 2, GROUP // 2).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * math.pi * second
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1).ravel()
