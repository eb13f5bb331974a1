"""Random captions that ask for expressions, with their targets: the training data of the text networks.

``captions.json`` holds phrases of our own and the target of each concept. A target consists of ARKit coefficients (a
name ending in _ stands for both sides) and of angles in radians: ``right`` and ``down`` for the gaze, ``pitch``,
``yaw`` and ``roll`` for the head, as in ``MotionTrack``. Sides are those of the picture.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from ...arkit import EXPRESSION_NAMES
from ..data.clips import one_of, uniform
from ..looks.formulas import LOOKS


@dataclass(frozen=True)
class Concept:
    target: dict[str, float]
    phrases: tuple[str, ...]


_WRITTEN = json.loads(Path(__file__).with_name("captions.json").read_text(encoding="utf-8"))
CONCEPTS = {
    name: Concept(concept["target"], tuple(concept["phrases"])) for name, concept in _WRITTEN["expressions"].items()
}
# Phrases found in prompts that say nothing about expression, including those of looks.
ELSE = (*_WRITTEN["else"], *(phrase for look in LOOKS.values() for phrase in look.phrases))

FRAMES = (
    "{}", "a person {}", "{} expression", "looks {}", "very natural, {}", "portrait, {}", "the woman is {}", "he is {}",
    "speaking, {}", "{} while talking", "he seems {}", "she feels {}", "a face that is {}", "please make them {}",
    "{} face", "as if {}", "with a look that says {}", "{} person", "like somebody who is {}", "feeling {}",
)  # fmt: skip
STRENGTHS = {
    "slightly {}": 0.4, "a little {}": 0.45, "somewhat {}": 0.6, "faintly {}": 0.35, "a bit {}": 0.45,
    "subtle, {}": 0.4, "very {}": 1.25, "extremely {}": 1.4, "really {}": 1.2, "intensely {}": 1.4,
    "strongly {}": 1.3, "so {}": 1.2,
}  # fmt: skip
DENIALS = ("not {}", "without being {}", "never {}", "no longer {}", "not at all {}")
JOINTS = ("{} and {}", "{}, {}", "{} but {}", "{} with {}", "both {} and {}")


def target_vector(target: dict[str, float]) -> Tensor:
    """Convert a concept's target to a vector (T,) in the order of ``EXPRESSION_NAMES``."""
    vector = torch.zeros(len(EXPRESSION_NAMES))
    for name, value in target.items():
        sides = (f"{name[:-1]}Left", f"{name[:-1]}Right") if name.endswith("_") else (name,)
        for side in sides:
            vector[EXPRESSION_NAMES.index(side)] = value
    return vector


@dataclass(frozen=True)
class Caption:
    """concepts: those the text mentions, empty if it asks for no expression. strength: 1 if the text does not mention
    it, 0 if it negates the concepts."""

    text: str
    concepts: tuple[str, ...]
    strength: float = 1.0


def random_caption(generator: Generator) -> Caption:
    """Return a phrase alone, in a sentence, strengthened or weakened, negated, or combined with another or an unrelated
    one; or only an unrelated phrase."""

    def of(options: Sequence[str]) -> str:
        return one_of(options, generator)

    def pick() -> tuple[str, str]:
        name = of(list(CONCEPTS))
        return name, of(CONCEPTS[name].phrases)

    name, phrase = pick()
    kind = float(uniform(0, 1, generator))
    if kind < 0.35:
        return Caption(phrase, (name,))
    if kind < 0.55:
        return Caption(of(FRAMES).format(phrase), (name,))
    if kind < 0.68:
        form = of(list(STRENGTHS))
        return Caption(form.format(phrase), (name,), STRENGTHS[form])
    if kind < 0.73:
        return Caption(of(DENIALS).format(phrase), (name,), 0.0)
    if kind < 0.84:
        other, second = pick()
        return Caption(of(JOINTS).format(phrase, second), (name, other))
    if kind < 0.88:
        return Caption(of(("{}, {}", "{1}, {0}")).format(phrase, of(ELSE)), (name,))
    return Caption(of(FRAMES[:4]).format(of(ELSE)), ())
