"""The words of plain descriptions of a face, from ``assets/text/plain_words.json``.

Every form of a word stands for one lemma: ``PARTS["eyelids"]`` is ``lid``. ``text.grammar`` puts lemmas together, and
``text.plain_rules`` says what they ask for.
"""

import json
from pathlib import Path

_WORDS = json.loads((Path(__file__).parent.parent / "assets" / "text" / "plain_words.json").read_text(encoding="utf-8"))


def _lemmas(name: str) -> dict[str, str]:
    return {form: lemma for lemma, forms in _WORDS[name].items() for form in forms.split()}


def _numbers(name: str) -> dict[str, float]:
    return {form: float(number) for number, forms in _WORDS[name].items() for form in forms.split()}


def _set(name: str) -> frozenset[str]:
    return frozenset(word for line in _WORDS[name] for word in line.split())


PARTS, STATES, SIDES = _lemmas("parts"), _lemmas("states"), _lemmas("sides")
# What no coefficient moves, by the words that ask for it; and words that go with it.
IMPOSSIBLE, IMPOSSIBLE_STATES = _lemmas("impossible"), _set("impossible_states")

STRENGTHS = _numbers("strengths")  # factors of what is asked for; below 1: weak, above: strong
TEMPOS = _numbers("tempos")  # octaves: -1 is half as fast
OFTEN = _numbers("often")  # relative change of a rate
LARGE, TIGHT = _set("large"), _set("tight")  # strengths that are states of a part that nothing else is said of

DENIALS, JOINTS, DENYING = _set("denials"), _set("joints"), _set("denying_joints")  # DENYING: joints that deny
ONE, OWN = _set("one"), _set("own")  # OWN: the person's own side, instead of that of the picture

FILLER = _set("filler")  # words that do not change what is asked for
SUBJECTS = _set("subjects")  # who is in the picture
QUALITY = _set("quality")  # of a picture: clauses of these and SUBJECTS say nothing about a face
PERHAPS_QUALITY = _set("perhaps_quality")  # likewise beside those; alone, they may mean something else

RULE_WORDS: dict[str, list[str]] = _WORDS["rules"]  # sets of lemmas, by the name of their rule
