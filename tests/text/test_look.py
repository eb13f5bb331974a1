"""Looks by the shipped networks: free words, told apart from expressions; what is not known is named."""

import pytest
import torch

from portraittalk import pipeline
from portraittalk.text.prompt import read_prompt
from portraittalk.weights.text import load_look_networks

NAMES = load_look_networks().config.looks
# Written before the phrases of training/looks.json; but the threshold that a look needs was chosen in sight of them.
PARAPHRASES = (
    ("all the hues erased", "black and white photograph"),
    ("hitchcock thriller", "film noir"),
    ("hard-boiled detective", "film noir"),
    ("daguerreotype", "sepia photograph"),
    ("bathed in candlelight", "warm sunset light"),
    ("beside a campfire", "warm sunset light"),
    ("frosty and freezing", "cool moonlight"),
    ("nightclub lasers", "neon light"),
    ("holographic violet beams", "neon light"),
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
    ("superhero", "comic"),
    ("roy lichtenstein", "comic"),
    ("dusty crayons", "pastel drawing"),
)


def looks(prompt: str) -> dict[str, float]:
    return {name: weight for name, weight in zip(NAMES, read_prompt(prompt).look.tolist(), strict=True) if weight}


@pytest.mark.parametrize("name", NAMES)
def test_a_look_is_read_by_its_name(name):
    assert looks(name)[name] == 1


def test_free_words_ask_for_looks():
    right = [name in looks(text) for text, name in PARAPHRASES]
    assert sum(right) >= 8, [text for (text, _), good in zip(PARAPHRASES, right, strict=True) if not good]


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
    assert pipeline.encode_style(tiny_model, "oil painting", "oil painting").look is None
    assert pipeline.encode_style(tiny_model, "a smile", "pencil sketch").look is None
    assert pipeline.encode_style(tiny_model, "", "black and white").look.min() == -1


def test_what_was_not_learnt_is_named(tiny_model, caplog):
    assert pipeline.encode_style(tiny_model, "a smile, a red car").look is None
    assert "'a red car' is left out" in caplog.text
    assert torch.equal(read_prompt("a red car").look, torch.zeros(len(NAMES)))
