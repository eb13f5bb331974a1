"""The weights in a prompt, written as in ComfyUI and AUTOMATIC1111's web UI.

``(words:1.2)`` weighs words by 1.2, ``(words)`` by 1.1, ``((words))`` by 1.21 and ``[words]`` by 1 / 1.1. In nested
brackets an explicit weight replaces those of the brackets around it, as in ComfyUI. ``\\(`` and the like are plain
characters, and so are brackets without a counterpart. Full-width brackets, colons, commas and digits count as their
ASCII forms, and a decimal comma as a point.
"""

import logging
import re
import unicodedata
from dataclasses import dataclass

from ..errors import SettingsError

EMPHASIS = 1.1  # weight of a pair of round brackets; that of square ones is its reciprocal
LARGEST = 4.0  # largest absolute weight
SEPARATORS = ",;\n"
_OPENING = {")": "(", "]": "["}
_TOKEN = re.compile(r"\\[()\[\]:\\]|[()\[\]]|(?:[^()\[\]\\]|\\(?![()\[\]:\\]))+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)")
_LIKE_A_NUMBER = re.compile(r"[+-]*[.,]?\d.*|\W*", re.DOTALL)
_WITHOUT_BRACKETS = re.compile(rf"[^\W\d_]\s*:+\s*[+-]?[.,]?\d[\d.,]*\s*(?=[{SEPARATORS}]|$)")
# Minus signs, and the commas and semicolons of other scripts, that NFKC keeps.
_OTHER_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u3001": ",", "\u060c": ",", "\u061b": ";"})
_EXAMPLE = "(oil painting:0.5)"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A part of a prompt with one weight. group: number of the innermost brackets with an explicit weight; 0: none."""

    text: str
    weight: float
    group: int


@dataclass
class _Piece:
    """A part of the prompt while it is read. literal: an escaped character, or a bracket still without counterpart."""

    text: str
    weight: float = 1.0
    group: int = 0
    literal: bool = False


def weighted_spans(prompt: str) -> list[Span]:
    """Split a prompt into parts of one weight each, and remove the brackets and weights.

    Logs a warning for brackets without a counterpart, which stay as text, and for weights beyond ``LARGEST``, which are
    limited to it. Raises SettingsError for a weight that cannot be read, and for the web UI's square brackets that
    change a prompt during sampling.
    """
    pieces: list[_Piece] = []
    opened: list[int] = []  # positions in pieces
    groups = unmatched = 0
    for token in _TOKEN.findall(unicodedata.normalize("NFKC", prompt).translate(_OTHER_SIGNS)):
        if token in ("(", "["):
            opened.append(len(pieces))
            pieces.append(_Piece(token, literal=True))
        elif token in _OPENING and opened and pieces[opened[-1]].text == _OPENING[token]:
            start = opened.pop()
            inside = pieces[start + 1 :]
            if token == "]":
                _refuse_changes(inside)
            explicit = _cut_weight(inside) if token == ")" else None
            groups += explicit is not None
            factor = EMPHASIS if token == ")" else 1 / EMPHASIS
            for piece in inside:
                if piece.group == 0:  # else an inner explicit weight applies
                    piece.weight *= factor if explicit is None else explicit
                    piece.group = 0 if explicit is None else groups
            pieces[start:] = [piece for piece in inside if piece.text]
        else:
            unmatched += token in _OPENING
            escaped = len(token) == 2 and token[0] == "\\" and token[1] in "()[]:\\"
            pieces.append(_Piece(token[escaped:], literal=escaped or token in _OPENING))
    if unmatched or opened:
        logger.warning("The prompt '%s' has a bracket without its counterpart: it is read as text.", prompt.strip())
    _refuse_weights_without_brackets(pieces)
    return [Span(piece.text, _limited(piece), piece.group) for piece in pieces]


def _cut_weight(inside: list[_Piece]) -> float | None:
    """Remove the weight from the end of what stands in round brackets and return it; None if there is none."""
    if not inside or inside[-1].literal:
        return None
    last = inside[-1]
    words, colon, end = last.text.rpartition(":")
    number = end.strip()
    if not colon or not _LIKE_A_NUMBER.fullmatch(number):
        return None
    if not _NUMBER.fullmatch(number):
        raise SettingsError(
            f"The weight '{number}' after '{words.strip()}' is not a number: write it as in {_EXAMPLE}."
        )
    last.text = words.rstrip()
    return float(number.replace(",", "."))


def _refuse_changes(inside: list[_Piece]) -> None:
    """Raise SettingsError for ``[from:to:when]`` and ``[one|other]``."""
    if any(sign in piece.text for piece in inside if not piece.literal for sign in ":|"):
        written = "".join(piece.text for piece in inside)
        raise SettingsError(
            f"'[{written}]' is not understood, because prompts do not change during sampling: a weight stands in round "
            f"brackets, as in {_EXAMPLE}."
        )


def _refuse_weights_without_brackets(pieces: list[_Piece]) -> None:
    for piece in pieces:
        found = None if piece.literal else _WITHOUT_BRACKETS.search(piece.text)
        if found:
            start = max(piece.text.rfind(sign, 0, found.start()) for sign in SEPARATORS) + 1
            written = piece.text[start : found.end()].strip()
            raise SettingsError(f"The weight in '{written}' needs brackets around it, as in {_EXAMPLE}.")


def _limited(piece: _Piece) -> float:
    if abs(piece.weight) <= LARGEST:
        return piece.weight
    logger.warning("The weight %g of '%s' is limited to %g.", piece.weight, piece.text.strip(), LARGEST)
    return LARGEST if piece.weight > 0 else -LARGEST
