"""The pieces of a plain description, and what they ask for: the data of ``text.grammar`` and ``text.plain_rules``."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor

from ..arkit import EXPRESSION_NAMES, MANNER_NAMES
from .lexicon import STRENGTHS


@dataclass(frozen=True)
class Plain:
    """What plain words ask for.

    expression: (T,) in the order of ``EXPRESSION_NAMES``. manner: (M,) in that of ``MANNER_NAMES``. impossible: what
    is asked for in vain. rest: words that no rule reads, for the networks. read: whether a rule was found for others.
    idle: the clause says nothing about a face.
    """

    expression: Tensor = field(default_factory=lambda: torch.zeros(len(EXPRESSION_NAMES)))
    manner: Tensor = field(default_factory=lambda: torch.zeros(len(MANNER_NAMES)))
    impossible: tuple[str, ...] = ()
    rest: str = ""
    read: bool = False
    idle: bool = False


@dataclass(frozen=True)
class Piece:
    """Words that belong together.

    words: lemmas of parts and states. sides: left and right, as written. strengths: the words that strengthen or
    weaken. tempo: octaves. often: how much more or less often. one: "one eye". own: sides are the person's.
    """

    words: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    strengths: tuple[str, ...] = ()
    tempo: float = 0.0
    often: float = 0.0
    denied: bool = False
    one: bool = False
    own: bool = False

    @property
    def strength(self) -> float:
        """The factor of the strengths: "very slightly" is weaker than "slightly"."""
        factors = [STRENGTHS[word] for word in self.strengths]
        weak, strong = [factor for factor in factors if factor < 1], [factor for factor in factors if factor > 1]
        if weak:
            return min(weak) * (0.75 if strong else 1)
        return reduce(lambda product, factor: product * factor, strong, 1.0)

    def without(self, *strengths: str) -> "Piece":
        return replace(self, strengths=tuple(word for word in self.strengths if word not in strengths))


Rule = Callable[[Piece, float, bool], Plain]
"""From a piece, the weight of its clause, and whether the prompt is the negative one, whose reading is subtracted."""
