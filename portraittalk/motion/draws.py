"""Random numbers that belong to a moment of the speech, not to the order in which they are drawn.

So a longer speech starts exactly like a shorter one, and a change at one place leaves all other places as they were.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

SLOTS = 25.0  # per second; events in one slot of one stream share their numbers
_PRIMES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


@dataclass(frozen=True)
class Draws:
    """Random numbers of one kind of event. stream: distinguishes the kinds."""

    seed: int
    stream: int

    def uniform(self, seconds: float, count: int) -> Tensor:
        """Return ``count`` numbers in 0..1 for the moment ``seconds``."""
        return torch.rand(count, generator=self._generator(seconds))

    def normal(self, seconds: float, count: int) -> Tensor:
        """Return ``count`` numbers of standard deviation 1 for the moment ``seconds``, within -2..2."""
        return torch.randn(count, generator=self._generator(seconds)).clamp(-2, 2)

    def _generator(self, seconds: float) -> Generator:
        parts = (self.seed, self.stream, round(seconds * SLOTS))
        mixed = sum((part + 1) * prime for part, prime in zip(parts, _PRIMES, strict=True)) % 2**64
        mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9 % 2**64  # as in SplitMix64: near seeds become far ones
        return Generator().manual_seed((mixed ^ (mixed >> 32)) % 2**63)
