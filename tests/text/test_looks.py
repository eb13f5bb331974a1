"""Looks by the shipped networks: free words, told apart from expressions; what is not known is named."""

import re

import pytest
import torch

from portraittalk.text.networks import load_look_networks
from portraittalk.text.prompt import read_prompt
from portraittalk.training.looks.formulas import LOOKS, NO_LOOK
from portraittalk.training.looks.prompt_reader import LOOK_FRAMES

NAMES = load_look_networks().config.looks
# Written before the phrases of training/looks.json, none of whose words they use; but the threshold that a look needs
# was chosen in sight of them.
PARAPHRASES = (
    ("hitchcock thriller", "film noir"),
    ("daguerreotype", "sepia photograph"),
    ("bathed in candlelight", "warm sunset light"),
    ("beside a campfire", "warm sunset light"),
    ("frosty and freezing", "cool moonlight"),
    ("bleached", "faded film"),
    ("ethereal", "soft glow"),
    ("gauzy", "soft glow"),
    ("psychedelic", "vivid colours"),
    ("rembrandt", "oil painting"),
    ("van gogh", "oil painting"),
    ("aquarelle", "watercolour"),
    ("diluted dyes", "watercolour"),
    ("hb on a notepad", "pencil sketch"),
    ("scribbled in a notebook", "pencil sketch"),
    ("coal", "charcoal drawing"),
    ("calligraphy", "ink drawing"),
    ("hayao miyazaki", "anime"),
    ("otaku", "anime"),
    ("roy lichtenstein", "comic"),
)


# Words that say nothing by themselves.
FUNCTION_WORDS = {"a", "and", "beside", "in", "on", "the", "of"}


def stems(text: str) -> set[str]:
    """The beginnings of its words: ``paint`` and ``painting`` are one."""
    return {word[:5] for word in re.findall("[a-z]+", text.lower()) if word not in FUNCTION_WORDS}


def looks(prompt: str) -> dict[str, float]:
    return {name: weight for name, weight in zip(NAMES, read_prompt(prompt).look.tolist(), strict=True) if weight}


@pytest.mark.parametrize("name", NAMES)
def test_a_look_is_read_by_its_name(name):
    assert looks(name)[name] == 1


def test_the_paraphrases_share_no_word_with_the_phrases():
    phrases = [phrase for look in LOOKS.values() for phrase in look.phrases]
    known = stems(" ".join((*phrases, *LOOK_FRAMES, *NO_LOOK)))
    assert not [text for text, _ in PARAPHRASES if stems(text) & known]


def test_free_words_ask_for_looks():
    right = [name in looks(text) for text, name in PARAPHRASES]
    assert sum(right) >= 6, [text for (text, _), good in zip(PARAPHRASES, right, strict=True) if not good]


@pytest.mark.parametrize("prompt", ["warm smile", "cold stare", "a wide smile", "looking left", "pale with fear"])
def test_an_expression_is_no_look(prompt):
    asked = read_prompt(prompt)
    assert not asked.look.any() and asked.expression.any()


@pytest.mark.parametrize("prompt", ["warm light", "cold light", "oil painting", "dark and moody black and white"])
def test_a_look_is_no_expression(prompt):
    asked = read_prompt(prompt)
    assert asked.look.any() and not asked.expression.any()


def test_weights_and_negative_prompts(tiny_model):
    assert looks("(oil painting:0.5), a smile")["oil painting"] == 0.5
    assert tiny_model.encode_style("oil painting", "oil painting").look is None
    assert tiny_model.encode_style("a smile", "pencil sketch").look is None
    assert tiny_model.encode_style("", "black and white").look.min() == -1


def test_what_was_not_learnt_is_named(tiny_model, caplog):
    assert tiny_model.encode_style("a smile, a red car").look is None
    assert "'a red car' is ignored" in caplog.text
    assert "stained glass" in dict(read_prompt("stained glass").unread)
    assert torch.equal(read_prompt("a red car").look, torch.zeros(len(NAMES)))
