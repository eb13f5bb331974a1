"""A prompt -> what it asks of the face, and which look it asks for.

A prompt is read clause by clause: commas and semicolons separate them, and ``(words:1.3)`` gives a clause its weight.
Each is read by a sentence encoder, so its words are free. It asks for a look, or for an expression, or for neither:
then it is left out, and named.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from .networks import LookNetworks, TextNetworks, load_look_networks, load_text_networks, load_tokenizer

UNDERSTOOD = 0.5  # probability that a clause asks for an expression
LOOKS_SO = 0.15  # probability that a clause asks for a look; it goes before, as the other reader knows few negatives
SURE = 0.6  # presence from which a look is what was asked for
NEAR = 0.25  # presence from which it is taken for want of a nearer one
LARGEST = 4.0  # of a clause's weight
_WEIGHTED = re.compile(r"\(([^():]+):\s*(-?\d+(?:\.\d+)?)\s*\)")


@dataclass(frozen=True)
class Asked:
    """expression: (T,) in the order of ``EXPRESSION_NAMES``. look: (L,), weights in the order of ``LookConfig.looks``.

    read: clauses that ask for an expression or a look. unread: those that ask for neither, with the look that is least
    far from each. near: clauses that ask for a look that was not learnt, and the look that is taken instead.
    """

    expression: Tensor
    look: Tensor
    read: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    near: tuple[tuple[str, str], ...] = ()


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


def read_prompt(prompt: str, networks: TextNetworks | None = None, look_networks: LookNetworks | None = None) -> Asked:
    """What a prompt asks for: the weighted sum of its clauses, those that ask for nothing left out.

    Raises WeightsError where the text networks, or the tokenizer, are not installed.
    """
    networks, look_networks = networks or load_text_networks(), look_networks or load_look_networks()
    names = look_networks.config.looks
    expression, look = torch.zeros(networks.config.targets), torch.zeros(len(names))
    parts = clauses(prompt)
    if not parts:
        return Asked(expression, look)
    with torch.no_grad():
        sentences = networks.sentences(word_pieces([text for text, _ in parts], networks))
        faces, probability = networks.expression.read(sentences)
        presence, asks = (logits.sigmoid() for logits in look_networks.reader(sentences))
    read, unread, near = [], [], []
    for row, (text, weight) in enumerate(parts):
        top = int(presence[row].argmax())
        # A look that is only near does not outdo an expression that is asked for.
        least = NEAR if probability[row] <= UNDERSTOOD else SURE
        if asks[row] > LOOKS_SO and presence[row, top] > least:
            look += weight * _mixture(presence[row])
            near += [(text, names[top])] if presence[row, top] < SURE else []
            read.append(text)
        elif probability[row] > UNDERSTOOD:
            expression += weight * faces[row]
            read.append(text)
        else:
            unread.append((text, names[top]))
    return Asked(expression.clamp(-1, 1), look, tuple(read), tuple(unread), tuple(near))


def _mixture(presence: Tensor) -> Tensor:
    """Weights (L,) of the looks that a clause asks for: the likeliest in full, and what else it surely names."""
    weights = (presence > SURE).to(presence)
    weights[presence.argmax()] = 1.0
    return weights


def word_pieces(texts: list[str], networks: TextNetworks) -> Tensor:
    """(n, L) numbers of word pieces, 0 behind the end of a text; what is longer than the encoder reads is cut off."""
    tokenizer = load_tokenizer()
    encoded = [tokenizer.encode(text).ids[: networks.config.longest] for text in texts]
    longest = max(map(len, encoded))
    return torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;\n]", text) if any(sign.isalnum() for sign in part)]
