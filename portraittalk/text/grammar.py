"""A small grammar of plain descriptions: part of the face, side, direction, strength, denial.

"left eye slightly closed", "no smile" or "nodding slowly" say exactly what the face must do, and a sentence encoder
reads them worse than rules do: "eyes closed" and "one eye closed" are near each other in meaning. Words between joints
such as "and" are read here only if all of them are known (``text.lexicon``) and a rule fits them
(``text.plain_rules``). Everything else, above all moods and paraphrases, is left to the networks.

Left and right are those of the picture, as in all prompts; "her own left eye" means the person's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from . import lexicon
from .plain import Piece, Plain
from .plain_rules import ALONE, DIRECTIONS, rule_for

_WORD = re.compile(r"[^\W]+")
_PHRASES = tuple((re.compile(pattern), spelled) for pattern, spelled in (
    (r"['\u2019]", ""),
    (r"\ba (lot|little|bit)\b", r"a\1"),
    (r"\b(lower|bottom) lip\b", "lowerlip"),
    (r"\b(upper|top) lip\b", "lip"),
    (r"\b(from )?(side to side|left to right|left and right(?! (eye|brow))|back and forth)\b", "sidetoside"),
    (r"\bup and down\b", "upanddown"),
    (r"\b((off )?to|on|at) (the|one|a|her|his|their) side\b(?! of)", "aside"),
    (r"\b(from )?ear to ear\b", "wide"),
    (r"\bside (eye|eyes|glance|glances|gaze)\b", r"\1 aside"),
    (r"\beye contact\b", "eyes camera"),
    (r"\b(at|into|towards?|with) (me|you|us)\b", "camera"),
    (r"\bun(smiling|blinking|moving|furrowed)\b", r"not \1"),
    (r"\b(movement|motion)less\b", "still"),
    (r"\bsharp focus\b", "detailed"),
    (r"\b(high|low) res\b", r"\1 resolution"),
    (r"\bclose up\b", "closeup"),
))  # fmt: skip


# Neighbours that mean one brow or eye.
SINGLE = {("an", "eye")} | {
    pair
    for brow in ("brow", "eyebrow")
    for pair in (("a", brow), ("an", brow), ("raised", brow), ("arched", brow), (brow, "raised"))
}


@dataclass
class _Segment:
    """The words between two joints, and the pieces that they consist of. joint: the word before them."""

    joint: str
    words: list[str]
    pieces: list[Piece]


def read_plain(clause: str, weight: float = 1.0, negative: bool = False) -> Plain | None:
    """Return what a plain description asks for, or None if the clause is none.

    weight: of the clause. negative: for negative prompts, whose reading is subtracted: it only takes away from the
    portrait, and never asks for the opposite of a direction.
    """
    words = _words(clause)
    if _is_idle(words):
        return Plain(idle=True)
    segments: list[_Segment] = []
    impossible: list[str] = []
    for segment in _segments(words):
        parts = _impossible(segment.words)
        impossible += parts
        segments += [] if parts else _feeling(segment) or [segment]
    left = _complete(segments)
    pieces = [piece for segment in segments for piece in segment.pieces]
    if not pieces and not impossible:
        return None
    found = Plain(read=bool(pieces))
    for piece in pieces:
        rule = rule_for(piece)
        assert rule is not None
        asked = rule(piece, weight, negative)
        found = replace(found, expression=found.expression + asked.expression, manner=found.manner + asked.manner)
    rest = " ".join(word for segment in left for word in segment.words)
    return replace(found, impossible=tuple(dict.fromkeys(impossible)), rest=rest)


def _words(clause: str) -> list[str]:
    text = clause.lower().replace("-", " ").replace("/", " ")
    for pattern, spelled in _PHRASES:
        text = pattern.sub(spelled, text)
    return _WORD.findall(text)


def _is_idle(words: list[str]) -> bool:
    """Whether words are about the quality of a picture, such as "8k, detailed eyes", or say who is in it."""
    if any(word in lexicon.QUALITY for word in words):
        return all(_says_nothing(word) or word in lexicon.PARTS for word in words)
    return all(map(_says_nothing, words)) and any(word in lexicon.SUBJECTS for word in words)


def _says_nothing(word: str) -> bool:
    kinds = (lexicon.FILLER, lexicon.SUBJECTS, lexicon.QUALITY, lexicon.PERHAPS_QUALITY)
    return any(word in kind for kind in kinds) or (word.isdigit() and len(word) < 3)


def _impossible(words: list[str]) -> list[str]:
    """Return what plain words ask for in vain; a figure of speech, such as "tongue tied", has other words as well."""
    parts = [lexicon.IMPOSSIBLE[word] for word in words if word in lexicon.IMPOSSIBLE]
    plain = all(_known(word) or word in lexicon.IMPOSSIBLE or word in lexicon.IMPOSSIBLE_STATES for word in words)
    return parts if plain else []


def _known(word: str) -> bool:
    kinds = (
        lexicon.PARTS, lexicon.STATES, lexicon.SIDES, lexicon.STRENGTHS, lexicon.TEMPOS, lexicon.OFTEN, lexicon.DENIALS,
        lexicon.ONE, lexicon.OWN,
    )  # fmt: skip
    return _says_nothing(word) or any(word in kind for kind in kinds)


def _segments(words: list[str]) -> Iterator[_Segment]:
    """Yield the words between joints. A denial reaches over "or" and "nor"."""
    segment = _Segment("", [], [])
    for word in words:
        if word not in lexicon.JOINTS:
            segment.words.append(word)
            continue
        if segment.words:
            yield segment
        reaches = word == "or" and any(one in lexicon.DENIALS for one in segment.words)
        segment = _Segment(word, ["not"] if word in lexicon.DENYING or reaches else [], [])
    if segment.words:
        yield segment


def _feeling(segment: _Segment) -> tuple[_Segment, _Segment] | None:
    """Return a segment without its feeling, and the feeling: "eyes wide", "shock" of "eyes wide in shock"."""
    if "in" not in segment.words:
        return None
    place = segment.words.index("in")
    words, feeling = segment.words[:place], segment.words[place + 1 :]
    if not words or not all(map(_known, words)) or all(map(_known, feeling)):
        return None
    return _Segment(segment.joint, words, []), _Segment("in", feeling, [])


def _complete(segments: list[_Segment]) -> list[_Segment]:
    """Read the pieces of segments; return the segments that say something else.

    Words that say nothing alone share those of the segment before or after: "eyes and mouth closed", "looking up and to
    the left".
    """
    left: list[_Segment] = []
    waiting: list[_Segment] = []
    before: Piece | None = None
    for segment in segments:
        if all(map(_says_nothing, segment.words)):
            continue
        if not all(map(_known, segment.words)):
            left.append(segment)
            continue
        piece = _piece(segment.words)
        joined = None if before is None else _joined(before, piece)
        # "winking with the left eye", "smile with teeth"
        by_means = segment.joint == "with" and bool(piece.sides or piece.words) and not _states(piece)
        if joined is not None and rule_for(joined) is not None and (by_means or rule_for(piece) is None):
            segment.pieces = [joined]
            if by_means and before is not None and before in (known := _last(segments, segment)):
                known.remove(before)
        elif rule_for(piece) is not None:
            segment.pieces = [piece]
        else:
            segment.pieces = _cut(segment.words)
        if not segment.pieces:
            waiting.append(segment)
            continue
        before = segment.pieces[-1]
        for one in waiting:
            alone = _piece(one.words)
            shared = replace(before, words=(*alone.words, *_states(before)), sides=alone.sides)
            one.pieces = [shared] if rule_for(shared) is not None else []
        left += [one for one in waiting if not one.pieces]
        waiting = []
    return left + waiting


def _last(segments: list[_Segment], segment: _Segment) -> list[Piece]:
    """Return the pieces of the segment before one, to be changed."""
    return segments[segments.index(segment) - 1].pieces


def _piece(words: list[str]) -> Piece:
    content = [word for word in words if word in lexicon.PARTS or word in lexicon.STATES]
    lemmas = [lexicon.PARTS.get(word) or lexicon.STATES[word] for word in content]
    shaken = "shake" in lemmas  # "shaking her head no"
    strengths = tuple(word for word in words if word in lexicon.STRENGTHS)
    if len(lemmas) == 1 and lemmas[0] in lexicon.PARTS.values():  # nothing else is said of it: "big eyes", "tight lips"
        lemmas += ["large"] if set(strengths) & lexicon.LARGE else []
        lemmas += ["press"] if set(strengths) & lexicon.TIGHT else []
    if "lid" in lemmas and "half" in strengths and set(lemmas) <= {"lid", "eye"}:
        lemmas.append("closed")  # "half-lidded"
    return Piece(
        tuple(dict.fromkeys(lemma for lemma in lemmas if lemma != "yes")),
        tuple(lexicon.SIDES[word] for word in words if word in lexicon.SIDES),
        strengths,
        sum(lexicon.TEMPOS.get(word, 0.0) for word in words),
        sum(lexicon.OFTEN.get(word, 0.0) for word in words),
        sum(word in lexicon.DENIALS and not (shaken and word == "no") for word in words) % 2 == 1,
        any(word in lexicon.ONE for word in words) or any(pair in SINGLE for pair in pairwise(words)),
        any(word in lexicon.OWN for word in words),
    )


def _cut(words: list[str]) -> list[Piece]:
    """Return the pieces of words that name several parts: "mouth open eyes closed", "open mouth closed eyes"."""
    places = [
        place for place, word in enumerate(words) if word in lexicon.PARTS or lexicon.STATES.get(word) in ALONE
    ]  # fmt: skip
    bounds = [0]
    for first, second in pairwise(places):
        states = [place for place in range(first + 1, second) if words[place] in lexicon.STATES]
        stated = any(word in lexicon.STATES for word in words[bounds[-1] : first])
        bounds.append(first + 1 if stated or not states else states[-1] + 1)
    bounds.append(len(words))
    pieces = [_piece(words[start:end]) for start, end in pairwise(bounds)]
    pieces = [replace(piece, denied=piece.denied or pieces[0].denied) for piece in pieces]
    return pieces if len(pieces) > 1 and all(rule_for(piece) is not None for piece in pieces) else []


def _joined(before: Piece, piece: Piece) -> Piece:
    """Return a piece with the words of the one before it, unless it has such words itself."""
    parts = [word for word in piece.words if word in lexicon.PARTS.values()]
    if not parts:
        parts = [word for word in before.words if word in lexicon.PARTS.values()]
    own = _states(piece)
    directed = bool(piece.sides) or bool(own)
    states = [word for word in _states(before) if not (directed and word in DIRECTIONS)]
    states = [] if set(own) - DIRECTIONS else states
    words = tuple(dict.fromkeys((*parts, *states, *own)))
    strengths = piece.strengths or before.strengths
    return replace(piece, words=words, strengths=strengths, denied=before.denied or piece.denied)


def _states(piece: Piece) -> tuple[str, ...]:
    return tuple(word for word in piece.words if word not in lexicon.PARTS.values())
