"""Conversion of a prompt and a negative prompt to a ``Style``: the expression and the look of the picture."""

import logging
from dataclasses import replace

from torch import Tensor

from ..errors import SettingsError
from ..types import Style
from .networks import load_look_networks
from .prompt import ParsedPrompt, read_prompt

logger = logging.getLogger(__name__)


def read_style(prompt: str = "", negative_prompt: str = "") -> Style:
    """Return the expression, head pose, gaze and look that free-text prompts describe.

    The negative prompt is subtracted: its expressions also from the portrait's own; its looks of light and colour are
    inverted, and its drawing styles cancel those of the prompt. Clauses without a known meaning are logged.
    Raises SettingsError if no clause of a prompt has a known meaning, and WeightsError if ``tokenizers`` is not
    installed.
    """
    style = Style(prompt.strip(), negative_prompt.strip())
    if not (style.prompt or style.negative_prompt):
        return style
    positive, negative = _checked(prompt, "prompt"), _checked(negative_prompt, "negative prompt")
    look = positive.look - negative.look
    look[load_look_networks().config.lights :].clamp_min_(0)  # a photograph has no drawing style to subtract
    expression = _difference(positive, negative)
    return replace(style, expression=expression, look=look if look.any() else None)


def read_expression(prompt: str, negative_prompt: str = "") -> Tensor:
    """Return the expression alone (T,), for models whose generator reads the prompt itself, including its looks."""
    return _difference(read_prompt(prompt), read_prompt(negative_prompt))


def _difference(positive: ParsedPrompt, negative: ParsedPrompt) -> Tensor:
    return (positive.expression - negative.expression).clamp(-1, 1)


def _checked(text: str, name: str) -> ParsedPrompt:
    parsed = read_prompt(text)
    if parsed.unread and not parsed.read:
        raise SettingsError(
            f"The {name} '{text.strip()}' names no expression, gaze, head pose or look that is known: describe an "
            "expression, such as 'a wide smile, looking left', or a look, such as 'oil painting', or leave it empty."
        )
    for clause, look in parsed.unread:
        logger.warning(
            "In the %s, '%s' is ignored: it names no known expression or look (the nearest look, '%s', is too far).",
            name,
            clause,
            look,
        )
    for clause, look in parsed.near:
        logger.warning("The look '%s' of the %s is unknown: the nearest one is used, '%s'.", clause, name, look)
    return parsed
