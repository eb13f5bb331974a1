"""Prompt parsing: the expression, the manner of moving and the look that a free-text prompt describes.

A prompt is split into clauses at commas and semicolons; ``(words:1.3)`` is a clause with that weight, see
``text.emphasis``. Plain descriptions of parts of the face are read by rules (``text.grammar``). All others are encoded
by a sentence encoder and classified as a look, an expression or neither; the last kind is ignored and reported.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import torch
from torch import Tensor

from ..arkit import EXPRESSION_NAMES, MANNER_NAMES
from . import manner
from .emphasis import SEPARATORS, weighted_spans
from .grammar import read_plain
from .networks import LookNetworks, TextNetworks, load_look_networks, load_text_networks, load_tokenizer

UNDERSTOOD = 0.5  # probability above which a clause is an expression
# Probability above which a clause is a look. Looks are tested first, because the expression predictor was trained with
# few negative examples.
LOOKS_SO = 0.15
SURE = 0.6  # presence above which a look is a match
NEAR = 0.25  # presence above which the nearest look is used as a substitute
EXPRESSION = re.compile(r"\b(facial\s+)?expressions?\b", re.IGNORECASE)
NOTHING_SAID = frozenset(("a", "an", "the", "any", "of", "on", "in", "with", "his", "her", "their", "its", "face"))
DENIED = frozenset(("no", "not", "without"))


@dataclass(frozen=True)
class ParsedPrompt:
    """The content of a prompt.

    expression: (T,) in the order of ``EXPRESSION_NAMES``. manner: (M,) in that of ``MANNER_NAMES``. look: (L,) weights
    in the order of ``LookConfig.looks``. read: clauses that describe one of these. unread: clauses that describe none,
    each with the nearest look. near: clauses that describe an unknown look, each with the look used instead.
    impossible: clauses about what cannot be moved, each with its name. idle: words on the quality of a picture.
    """

    expression: Tensor
    manner: Tensor
    look: Tensor
    read: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    near: tuple[tuple[str, str], ...] = ()
    impossible: tuple[tuple[str, str], ...] = ()
    idle: tuple[str, ...] = ()


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
    prompt: str,
    networks: TextNetworks | None = None,
    look_networks: LookNetworks | None = None,
    negative: bool = False,
) -> ParsedPrompt:
    """Parse a prompt: the weighted sum of its clauses, without those that describe nothing known.

    negative: for negative prompts, see ``text.grammar.read_plain``. Raises WeightsError if the text networks or the
    tokenizer are not installed, SettingsError as ``clauses`` does.
    """
    look_networks = look_networks or load_look_networks()
    names = look_networks.config.looks
    expression, moves, look = (torch.zeros(size) for size in (len(EXPRESSION_NAMES), len(MANNER_NAMES), len(names)))
    free: list[tuple[str, float]] = []  # clauses for the networks
    read: list[str] = []
    impossible, idle, unread, near = [], [], [], []
    for text, weight in clauses(prompt):
        plain = read_plain(text, weight, negative)
        if plain is None:
            free.append((text, weight))
            continue
        expression, moves = expression + plain.expression, moves + plain.manner
        read += [text] if plain.read else []
        free += [(plain.rest, weight)] if plain.rest else []
        impossible += [(text, part) for part in plain.impossible]
        idle += [text] if plain.idle else []
    if free:
        networks = networks or load_text_networks()
        with torch.no_grad():
            sentences = networks.sentences(word_pieces([_said(text) for text, _ in free], networks))
            amounts, is_expression = networks.expression.amounts(sentences)
            presence, is_look = (logits.sigmoid() for logits in look_networks.reader(sentences))
        posture, mood = manner.of_moods(amounts)
        expressions = amounts @ networks.expression.targets + posture
        if not negative:
            expressions += manner.smile_taken(amounts)
    for row, (text, weight) in enumerate(free):
        top = int(presence[row].argmax())
        named = manner.of_words(text)
        # A substitute look must not take precedence over an expression.
        threshold = NEAR if is_expression[row] <= UNDERSTOOD else SURE
        if is_look[row] > LOOKS_SO and presence[row, top] > threshold:
            look += weight * _mixture(presence[row])
            near += [(text, names[top])] if presence[row, top] < SURE else []
        elif is_expression[row] > UNDERSTOOD:
            expression += weight * expressions[row]
            moves += weight * (named if named.any() else mood[row])
        elif named.any():
            moves += weight * named
        else:
            unread.append((text, names[top]))
            continue
        read.append(text)
    return ParsedPrompt(
        expression.clamp(-1, 1), moves, look, tuple(read), tuple(unread), tuple(near), tuple(impossible), tuple(idle)
    )


def _said(text: str) -> str:
    """Return a clause without the word expression, beside which the encoder hardly sees others: "a sad expression"."""
    rest, found = EXPRESSION.subn(" ", text)
    words = set(rest.lower().split()) - NOTHING_SAID
    if found and words and words <= DENIED:
        return "expressionless"
    return rest if words else text


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
