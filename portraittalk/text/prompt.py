"""A prompt -> what it asks of the face.

A prompt is read clause by clause: commas and semicolons separate them, and ``(words:1.3)`` gives a clause its weight.
Each is read by a sentence encoder, so its words are free; a clause that asks for no expression is left out, and named.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from ..weights.text import TextNetworks, load_text_networks, load_tokenizer

UNDERSTOOD = 0.5
LARGEST = 4.0  # of a clause's weight
_WEIGHTED = re.compile(r"\(([^():]+):\s*(-?\d+(?:\.\d+)?)\s*\)")


@dataclass(frozen=True)
class Asked:
    """expression: (T,) in the order of ``EXPRESSION_NAMES``. unread: clauses that ask for nothing that a face does."""

    expression: Tensor
    unread: tuple[str, ...]
    read: tuple[str, ...]


def clauses(prompt: str) -> list[tuple[str, float]]:
    """The clauses of a prompt and their weights, 1 where none is given."""
    found: list[tuple[str, float]] = []
    end = 0
    for match in _WEIGHTED.finditer(prompt):
        found += [(part, 1.0) for part in _split(prompt[end : match.start()])]
        found += [(part, float(match[2])) for part in _split(match[1])]
        end = match.end()
    found += [(part, 1.0) for part in _split(prompt[end:])]
    return [(text, min(max(weight, -LARGEST), LARGEST)) for text, weight in found]


def read_prompt(prompt: str, networks: TextNetworks | None = None) -> Asked:
    """What a prompt asks for: the weighted sum of its clauses, those that say nothing about the face left out.

    Raises WeightsError where the text networks, or the tokenizer, are not installed.
    """
    networks = networks or load_text_networks()
    parts = clauses(prompt)
    if not parts:
        return Asked(torch.zeros(networks.config.targets), (), ())
    with torch.no_grad():
        asked, probability = networks.expression.read(networks.sentences(word_pieces([t for t, _ in parts], networks)))
    understood = probability > UNDERSTOOD
    weights = torch.tensor([weight for _, weight in parts]) * understood
    texts = [text for text, _ in parts]
    return Asked(
        (asked * weights[:, None]).sum(0).clamp(-1, 1),
        tuple(text for text, known in zip(texts, understood, strict=True) if not known),
        tuple(text for text, known in zip(texts, understood, strict=True) if known),
    )


def word_pieces(texts: list[str], networks: TextNetworks) -> Tensor:
    """(n, L) numbers of word pieces, 0 behind the end of a text; what is longer than the encoder reads is cut off."""
    tokenizer = load_tokenizer()
    encoded = [tokenizer.encode(text).ids[: networks.config.longest] for text in texts]
    longest = max(map(len, encoded))
    return torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;\n]", text) if any(sign.isalnum() for sign in part)]
