"""How moods change the way one moves."""

import pytest
import torch

from portraittalk.arkit import EXPRESSION_NAMES, MANNER_NAMES
from portraittalk.text import manner
from portraittalk.text.style import read_style
from portraittalk.training.text.captions import CONCEPTS


def moves(prompt, negative_prompt=""):
    style = read_style(prompt, negative_prompt)
    values = torch.zeros(len(MANNER_NAMES)) if style.manner is None else style.manner
    return dict(zip(MANNER_NAMES, values.tolist(), strict=True))


def test_the_concepts_are_those_of_the_training():
    assert tuple(CONCEPTS) == manner.CONCEPT_NAMES and manner.MOODS.keys() <= CONCEPTS.keys()
    known = {*EXPRESSION_NAMES, *MANNER_NAMES}
    assert all(set(changes) <= known for changes in (*manner.MOODS.values(), *manner.WORDS.values()))


@pytest.mark.parametrize("prompt", ["sad", "miserable", "crestfallen"])
def test_sadness_slows_and_shrinks_all_motion(prompt):
    found = moves(prompt)
    assert found["tempo"] < -0.2 and found["head"] < -0.2 and found["brows"] < -0.15 and found["blinks"] < -0.1
    assert read_style(prompt).expression[EXPRESSION_NAMES.index("pitch")] > 0.03


@pytest.mark.parametrize("prompt", ["excited", "an enthusiastic speaker"])
def test_excitement_speeds_it_up_and_widens_it(prompt):
    found = moves(prompt)
    assert found["tempo"] > 0.3 and found["head"] > 0.4 and found["brows"] > 0.5 and found["mouth"] > 0.1


def test_weights_denials_and_negative_prompts():
    assert moves("(sad:0.5)")["tempo"] == pytest.approx(moves("sad")["tempo"] / 2)
    assert moves("", "sad")["tempo"] == pytest.approx(-moves("sad")["tempo"])
    assert moves("sad", "sad") == dict.fromkeys(MANNER_NAMES, 0.0)
    assert moves("looking left", "nodding")["nod"] == 0


def test_plain_descriptions_and_looks_leave_the_manner_alone():
    for prompt in ("a smile", "eyes closed", "looking left", "oil painting"):
        assert read_style(prompt).manner is None, prompt
