"""Prompt parsing: the expression and the look that a free-text prompt describes.

A prompt is split into clauses at commas and semicolons; ``(words:1.3)`` is a clause with that weight, see
``text.emphasis``. Each clause is encoded by a sentence encoder and classified as a look, an expression or neither; the
last kind is ignored and reported.
"""

from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import torch
from torch import Tensor

from .emphasis import SEPARATORS, weighted_spans
from .networks import LookNetworks, TextNetworks, load_look_networks, load_text_networks, load_tokenizer

UNDERSTOOD = 0.5  # probability above which a clause is an expression
# Probability above which a clause is a look. Looks are tested first, because the expression predictor was trained with
# few negative examples.
LOOKS_SO = 0.15
SURE = 0.6  # presence above which a look is a match
NEAR = 0.25  # presence above which the nearest look is used as a substitute


@dataclass(frozen=True)
class ParsedPrompt:
    """The content of a prompt.

    expression: (T,) in the order of ``EXPRESSION_NAMES``. look: (L,) weights in the order of ``LookConfig.looks``.
    read: clauses that describe an expression or a look. unread: clauses that describe neither, each with the nearest
    look. near: clauses that describe an unknown look, each with the look used instead.
    """

    expression: Tensor
    look: Tensor
    read: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    near: tuple[tuple[str, str], ...] = ()


def clauses(prompt: str) -> list[tuple[str, float]]:
    """Split a prompt into clauses and their weights, by default 1.

    Brackets with an explicit weight make clauses of their own. The weight of a clause with other brackets in it is the
    mean over its letters. Raises SettingsError for weights that cannot be read.
    """
    parts: list[tuple[str, float]] = []
    for _, spans in groupby(weighted_spans(prompt), key=lambda span: span.group):
        signs = [(sign, span.weight) for span in spans for sign in span.text]
        for _, clause in groupby(signs, key=lambda pair: pair[0] in SEPARATORS):
            text, weights = zip(*clause, strict=True)
            letters = [weight for sign, weight in zip(text, weights, strict=True) if sign.isalnum()]
            if letters:
                parts.append((" ".join("".join(text).split()), fmean(letters)))
    return parts


def read_prompt(
    prompt: str, networks: TextNetworks | None = None, look_networks: LookNetworks | None = None
) -> ParsedPrompt:
    """Parse a prompt: the weighted sum of its clauses, without those that describe neither expression nor look.

    Raises WeightsError if the text networks or the tokenizer are not installed, SettingsError as ``clauses`` does.
    """
    networks, look_networks = networks or load_text_networks(), look_networks or load_look_networks()
    names = look_networks.config.looks
    expression, look = torch.zeros(networks.config.targets), torch.zeros(len(names))
    parts = clauses(prompt)
    if not parts:
        return ParsedPrompt(expression, look)
    with torch.no_grad():
        sentences = networks.sentences(word_pieces([text for text, _ in parts], networks))
        expressions, is_expression = networks.expression.read(sentences)
        presence, is_look = (logits.sigmoid() for logits in look_networks.reader(sentences))
    read, unread, near = [], [], []
    for row, (text, weight) in enumerate(parts):
        top = int(presence[row].argmax())
        # A substitute look must not take precedence over an expression.
        threshold = NEAR if is_expression[row] <= UNDERSTOOD else SURE
        if is_look[row] > LOOKS_SO and presence[row, top] > threshold:
            look += weight * _mixture(presence[row])
            near += [(text, names[top])] if presence[row, top] < SURE else []
            read.append(text)
        elif is_expression[row] > UNDERSTOOD:
            expression += weight * expressions[row]
            read.append(text)
        else:
            unread.append((text, names[top]))
    return ParsedPrompt(expression.clamp(-1, 1), look, tuple(read), tuple(unread), tuple(near))


def _mixture(presence: Tensor) -> Tensor:
    """Return the weights (L,) of a clause's looks: 1 for the most likely and for all others above ``SURE``."""
    weights = (presence > SURE).to(presence)
    weights[presence.argmax()] = 1.0
    return weights


def word_pieces(texts: list[str], networks: TextNetworks) -> Tensor:
    """Return WordPiece token ids (n, L), padded with 0 and truncated to the encoder's maximum length."""
    tokenizer = load_tokenizer()
    encoded = [tokenizer.encode(text).ids[: networks.config.longest] for text in texts]
    longest = max(map(len, encoded))
    return torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])
