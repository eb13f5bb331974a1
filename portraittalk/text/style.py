"""Conversion of a prompt and a negative prompt to a ``Style``: expression, manner of moving and look."""

import logging
from dataclasses import replace

import torch
from torch import Tensor

from ..arkit import GESTURES
from ..errors import SettingsError
from ..types import Style, StylePart
from .networks import load_look_networks
from .prompt import ParsedPrompt, read_prompt
from .timeline import read_timeline

_NAMED = 100  # characters of a clause in a message
LONGEST = 5000  # characters of a prompt: more than any description or timeline has, and read within seconds
logger = logging.getLogger(__name__)


def read_style(prompt: str = "", negative_prompt: str = "") -> Style:
    """Return the expression, head pose, gaze, manner of moving and look that free-text prompts describe.

    A prompt with times, see ``timeline``, has a part for each. The negative prompt is subtracted: its expressions also
    from the portrait's own; its looks of light and colour are inverted, and its drawing styles cancel those of the
    prompt. Clauses without a known meaning are logged.
    Raises SettingsError if no clause of a prompt has a known meaning, or if it is longer than ``LONGEST``, and
    WeightsError if ``tokenizers`` is not installed.
    """
    style = _style(prompt, negative_prompt)
    if not (style.prompt or style.negative_prompt):
        return style
    parts = _parts(prompt, negative_prompt)
    if parts:
        return replace(style, parts=parts, look=_common_look(parts))
    positive, negative = _checked(prompt, "prompt"), _checked(negative_prompt, "negative prompt")
    look = positive.look - negative.look
    look[load_look_networks().config.lights :].clamp_min_(0)  # a photograph has no drawing style to subtract
    return replace(_performed(style, positive, negative), look=look if look.any() else None)


def _style(prompt: str, negative_prompt: str) -> Style:
    """Return a style that asks for nothing but has the texts. Raises SettingsError for one that is too long."""
    for text, name in ((prompt, "prompt"), (negative_prompt, "negative prompt")):
        if len(text) > LONGEST:
            raise SettingsError(f"The {name} has {len(text)} characters: shorten it to at most {LONGEST}.")
    return Style(prompt.strip(), negative_prompt.strip())


def _parts(prompt: str, negative_prompt: str) -> tuple[StylePart, ...]:
    if read_timeline(negative_prompt):
        raise SettingsError("The negative prompt holds times, and it acts throughout: write times in the prompt only.")
    return tuple(
        StylePart(span.start, span.end, read_style(span.prompt, negative_prompt)) for span in read_timeline(prompt)
    )


def _common_look(parts: tuple[StylePart, ...]) -> Tensor | None:
    """Return the first look of the parts; a look cannot change over time, because it is that of the portrait."""
    looks = [(part.style.prompt, part.style.look) for part in parts if part.style.look is not None]
    if not looks:
        return None
    (words, first), *others = looks
    if any(not torch.equal(first, look) for _, look in others):
        logger.warning("The look of the video cannot change over time: that of '%s' is used throughout.", words)
    return first


def read_performance(prompt: str, negative_prompt: str = "") -> Style:
    """Return expression and manner alone, for models whose generator reads the prompt itself, including its looks."""
    style = _style(prompt, negative_prompt)
    return _performed(style, read_prompt(prompt), read_prompt(negative_prompt, negative=True))


def _performed(style: Style, positive: ParsedPrompt, negative: ParsedPrompt) -> Style:
    expression = (positive.expression - negative.expression).clamp(-1, 1)
    manner = positive.manner - negative.manner
    manner[GESTURES].clamp_min_(0)  # what does not nod cannot nod less
    return replace(style, expression=expression, manner=manner if manner.any() else None)


def _checked(text: str, name: str) -> ParsedPrompt:
    parsed = read_prompt(text, negative=name == "negative prompt")
    if parsed.impossible and not parsed.read:
        clause, part = parsed.impossible[0]
        raise SettingsError(
            f"The {name} '{_named(clause)}' cannot be shown, because {part} cannot be moved: describe lips, jaw, "
            "brows, lids, gaze or head instead, or leave it empty."
        )
    if parsed.unread and not parsed.read:
        raise SettingsError(
            f"The {name} '{_named(text.strip())}' names no expression, gaze, head pose or look that is known: "
            "describe an expression, such as 'a wide smile, looking left', or a look, such as 'oil painting', or leave "
            "it empty."
        )
    for clause, part in parsed.impossible:
        logger.warning("In the %s, '%s' asks for what cannot be shown: %s cannot be moved.", name, _named(clause), part)
    for clause in parsed.idle:
        logger.info(
            "In the %s, '%s' has no effect: the picture's quality is that of the portrait.", name, _named(clause)
        )
    for clause, look in parsed.unread:
        logger.warning(
            "In the %s, '%s' is ignored: it names no known expression or look (the nearest look, '%s', is too far).",
            name,
            _named(clause),
            look,
        )
    for clause, look in parsed.near:
        logger.warning("The look '%s' of the %s is unknown: the nearest one is used, '%s'.", _named(clause), name, look)
    return parsed


def _named(text: str) -> str:
    """Return the beginning of a text, for a message."""
    return text if len(text) <= _NAMED else f"{text[:_NAMED]}..."
