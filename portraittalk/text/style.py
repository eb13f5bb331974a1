"""A prompt and a negative prompt -> ``Style``: what the face does, and the look of the picture."""

import logging
from dataclasses import replace

from torch import Tensor

from ..errors import SettingsError
from ..types import Style
from .networks import load_look_networks
from .prompt import Asked, read_prompt

logger = logging.getLogger(__name__)


def read_style(prompt: str = "", negative_prompt: str = "") -> Style:
    """The expression, head pose and gaze that the text asks for, and the look of the picture, read by a sentence
    encoder, so in free words.

    What the negative prompt names is taken away: an expression also from what the portrait itself shows; looks of light
    and colour are inverted, and ways to draw cancel those of the prompt. The log names the clauses that ask for nothing
    known. Raises SettingsError where a whole prompt asks for nothing known, and WeightsError where ``tokenizers`` is
    not installed.
    """
    style = Style(prompt.strip(), negative_prompt.strip())
    if not (style.prompt or style.negative_prompt):
        return style
    wanted, unwanted = _checked(prompt, "prompt"), _checked(negative_prompt, "negative prompt")
    look = wanted.look - unwanted.look
    look[load_look_networks().config.lights :].clamp_min_(0)  # a photograph has no drawing style to subtract
    expression = _difference(wanted, unwanted)
    return replace(style, expression=expression, look=look if look.any() else None)


def read_expression(prompt: str, negative_prompt: str = "") -> Tensor:
    """The expression alone, (T,): for models that draw by the whole prompt, looks too."""
    return _difference(read_prompt(prompt), read_prompt(negative_prompt))


def _difference(wanted: Asked, unwanted: Asked) -> Tensor:
    return (wanted.expression - unwanted.expression).clamp(-1, 1)


def _checked(text: str, name: str) -> Asked:
    asked = read_prompt(text)
    if asked.unread and not asked.read:
        raise SettingsError(
            f"The {name} '{text.strip()}' names no expression, gaze or pose of the head, and no look that is known: "
            "describe what the face does, such as 'a wide smile, looking left', or a look, such as 'oil painting', "
            "or leave it empty."
        )
    for clause, look in asked.unread:
        logger.warning(
            "Of the %s '%s' is left out: it names no expression, and no known look (the nearest, '%s', is too far).",
            name,
            clause,
            look,
        )
    for clause, look in asked.near:
        logger.warning("The look '%s' of the %s was not learnt; the nearest one is taken: '%s'.", clause, name, look)
    return asked
