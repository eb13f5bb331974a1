"""Prompts that change over time, written as ``[0:2.5] neutral [2.5:] a big smile``."""

import re
from dataclasses import dataclass

from ..errors import SettingsError

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_MARK = re.compile(rf"\[\s*({_NUMBER})?\s*:\s*({_NUMBER})?\s*\]")


@dataclass(frozen=True)
class Span:
    """A prompt from ``start`` to ``end`` in seconds; end is None for the end of the video."""

    start: float
    end: float | None
    prompt: str


def read_timeline(prompt: str) -> list[Span]:
    """Return the spans of a prompt with times, in their order; none for a prompt without.

    A missing start is the end of the span before, a missing end the start of the next one. Raises SettingsError for
    text before the first time, for a span that ends before it begins, and for spans that overlap.
    """
    marks = list(_MARK.finditer(prompt))
    if not marks:
        return []
    before = prompt[: marks[0].start()].strip()
    if before:
        raise SettingsError(
            f"The prompt has '{before}' before its first time, {marks[0].group()}: write [0:] before it, or remove it."
        )
    texts = [
        prompt[mark.end() : following].strip().strip(",;").strip()
        for mark, following in zip(marks, [*(mark.start() for mark in marks[1:]), len(prompt)], strict=True)
    ]
    spans: list[Span] = []
    for number, (mark, text) in enumerate(zip(marks, texts, strict=True)):
        start = _start(mark, spans)
        end = None if mark[2] is None else float(mark[2])
        if end is None and number + 1 < len(marks) and marks[number + 1][1] is not None:
            end = float(marks[number + 1][1])
        if end is not None and end <= start:
            raise SettingsError(
                f"In the prompt, the time {mark.group()} ends before it begins: use [start:end] in seconds."
            )
        if spans and (spans[-1].end is None or start < spans[-1].end):
            raise SettingsError(f"In the prompt, the time {mark.group()} begins before the one before it ends.")
        spans.append(Span(start, end, text))
    return spans


def _start(mark: re.Match[str], spans: list[Span]) -> float:
    if mark[1] is not None:
        return float(mark[1])
    if spans and spans[-1].end is None:
        raise SettingsError(f"In the prompt, the time {mark.group()} has no start, and the one before it no end.")
    return spans[-1].end or 0.0 if spans else 0.0
