"""Prompts of the shipped text networks: free words act, what is not understood is named, nothing acts by itself."""

import re
from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import EXPRESSION_NAMES
from portraittalk.errors import SettingsError, WeightsError
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.prompted import with_expression, with_style
from portraittalk.motion.track import MotionTrack
from portraittalk.text.plain_rules import SMILE, expression_of
from portraittalk.text.prompt import clauses, read_prompt
from portraittalk.text.style import read_performance, read_style
from portraittalk.training.text.captions import CONCEPTS, DENIALS, ELSE, FRAMES, STRENGTHS, target_vector
from portraittalk.types import Style

# Words that say nothing by themselves.
FUNCTION_WORDS = {
    "about", "after", "from", "off", "under", "before", "such", "it", "a", "an", "the", "of", "to", "in",
    "on", "at", "by", "for", "with", "and", "or",
    "over", "bit", "bits", "like", "her", "his", "up", "against", "is", "not", "ready",
}  # fmt: skip
BASIS = load_basis()
ENDINGS = re.compile(r"(?<=...)(iness|ingly|ing|ed|en|ity|ily|iety|ious|ion|ful|ly|y|es|s|e)$")
# Written by somebody who had not seen the training captions, in words that none of them uses; and which of the
# training's concepts each comes near.
PARAPHRASES = (
    ("elated", "smile"),
    ("jolly", "smile"),
    ("over the moon", "smile"),
    ("ecstatic", "smile"),
    ("thrilled to bits", "smile"),
    ("homesick", "sad"),
    ("despondent", "sad"),
    ("crestfallen", "sad"),
    ("gloomy", "sad"),
    ("miserable", "sad"),
    ("seething", "angry"),
    ("livid", "angry"),
    ("fuming", "angry"),
    ("furious", "angry"),
    ("outraged", "angry"),
    ("flabbergasted", "surprised"),
    ("taken aback", "surprised"),
    ("dumbfounded", "surprised"),
    ("gobsmacked", "surprised"),
    ("fretting", "worried"),
    ("jittery", "worried"),
    ("uneasy", "worried"),
    ("apprehensive", "worried"),
    ("petrified", "afraid"),
    ("spooked", "afraid"),
    ("shaking like a leaf", "afraid"),
    ("fleeing from a monster", "afraid"),
    ("yuck", "disgust"),
    ("repulsed", "disgust"),
    ("revolted", "disgust"),
    ("sneering", "smirk"),
    ("cocky", "smirk"),
    ("dubious", "doubt"),
    ("with a pinch of salt", "doubt"),
    ("yawning", "tired"),
    ("exhausted", "tired"),
    ("drowsy", "tired"),
    ("deadpan", "calm"),
    ("wincing", "pain"),
    ("twiddling his thumbs", "bored"),
)
CALM = 0.45  # length of what is asked for below which a face stays as it is


def asked(prompt):
    return read_prompt(prompt).expression


def amount(prompt, name):
    return float(asked(prompt)[EXPRESSION_NAMES.index(name)])


def acts(prompt: str, concept: str) -> bool:
    """Whether a prompt moves the face as the concept does: in its direction, by a third of it at least.

    The smile that it takes from the portrait does not count.
    """
    found, wanted = asked(prompt), target_vector(CONCEPTS[concept].target)
    smile = expression_of(SMILE) > 0
    found[smile] = found[smile].clamp_min(0)
    if not wanted.any():
        return bool(found.norm() < CALM)
    along = (found @ wanted) / wanted.norm()
    return bool(along / found.norm().clamp_min(1e-6) > 0.6 and along / wanted.norm() > 0.35)


def test_clauses_and_their_weights():
    assert clauses("a smile, (looking left:0.5); calm") == [("a smile", 1.0), ("looking left", 0.5), ("calm", 1.0)]
    assert clauses(" , ;\n") == [] and clauses("(sad:-1)") == [("sad", -1.0)]


def stems(text: str) -> set[str]:
    """The roots of its words, roughly: ``smiles`` and ``smiling`` are one, as are ``jolly`` and ``jollity``."""
    words = (word for word in re.findall("[a-z]+", text.lower()) if word not in FUNCTION_WORDS)
    return {re.sub(r"(.)\1$", r"\1", ENDINGS.sub("", word))[:5] for word in words}


def test_the_paraphrases_share_no_word_with_the_captions():
    phrases = [phrase for concept in CONCEPTS.values() for phrase in concept.phrases]
    known = stems(" ".join((*phrases, *FRAMES, *STRENGTHS, *DENIALS, *ELSE)))
    assert len(PARAPHRASES) == 40 and len({text for text, _ in PARAPHRASES}) == 40
    for text, _ in PARAPHRASES:
        assert not stems(text) & known, text


SMILES = ("mouthSmileLeft", "mouthSmileRight")


@pytest.mark.parametrize("prompt", ["angry", "sad", "disgusted", "bored", "a serious face", "neutral expression"])
def test_moods_without_a_smile_take_the_portraits(prompt):
    taken = [amount(prompt, name) for name in SMILES]
    assert all(-0.85 < value < -0.4 for value in taken)
    assert amount(f"({prompt}:0.5)", SMILES[0]) == pytest.approx(taken[0] / 2, abs=0.02)
    # Subtracted, it asks for no smile.
    assert all(read_prompt(prompt, negative=True).expression[EXPRESSION_NAMES.index(name)] >= 0 for name in SMILES)


@pytest.mark.parametrize("prompt", ["happy", "a wide smile", "proud", "left eye closed", "looking up"])
def test_others_do_not(prompt):
    assert all(amount(prompt, name) >= 0 for name in SMILES)


@pytest.mark.parametrize(
    "mood", ["sad", "serious", "stern", "happy", "thoughtful", "determined", "puzzled", "neutral", "worried"]
)
def test_an_expression_is_a_mood(mood):
    """The word itself says nothing, and must not drown what it is about."""
    plain = asked(mood)
    for text in (f"{mood} expression", f"a {mood} facial expression"):
        found = asked(text)
        assert float((found - plain).norm()) < 0.3 * float(plain.norm()), text


@pytest.mark.parametrize("text", ["no expression", "without expression", "without any expression", "not an expression"])
def test_no_expression_is_one_too(text):
    assert torch.equal(asked(text), asked("expressionless"))


def test_who_is_asked_to_smile_keeps_the_portraits_smile():
    track = MotionTrack.of_expression(torch.zeros(50, 52), 25.0)
    track = replace(track, relaxed=torch.full((50,), 0.6))
    smiling, angry, slight = (
        with_expression(track, asked(text), BASIS) for text in ("a smile", "angry", "(a smile:0.3)")
    )
    assert smiling.relaxed[0] == pytest.approx(0.6) and not smiling.relaxed[25:].any()
    assert torch.equal(angry.relaxed, track.relaxed)
    assert 0.1 < slight.relaxed[-1] < 0.5


def test_a_sad_smile_keeps_some_of_it():
    assert amount("a sad smile", SMILES[0]) > -0.1 > amount("sad", SMILES[0])


def test_free_words_act():
    """Four of five at least; see portraittalk/assets/text/README.md for those that do not."""
    right = [acts(text, concept) for text, concept in PARAPHRASES]
    assert sum(right) >= 32, [text for (text, _), good in zip(PARAPHRASES, right, strict=True) if not good]


@pytest.mark.parametrize(
    ("prompt", "concept"),
    [
        ("a wide smile", "smile"),
        ("worried", "worried"),
        ("surprised, eyebrows up", "surprised"),
        ("angry", "angry"),
        ("eyes looking left", "gaze_left"),
        ("looking right", "gaze_right"),
        ("HAPPY!!", "smile"),
    ],
)
def test_plain_wishes_act(prompt, concept):
    assert acts(prompt, concept)


def test_left_and_right_are_the_pictures():
    assert amount("looking left", "right") < -0.15 and amount("looking right", "right") > 0.15


def test_strengths_weights_and_combinations():
    assert 0.05 < amount("slightly smiling", "mouthSmileLeft") < 0.75 * amount("smiling", "mouthSmileLeft")
    assert amount("(smiling:0.5)", "mouthSmileLeft") == pytest.approx(
        0.5 * amount("smiling", "mouthSmileLeft"), abs=0.01
    )
    assert amount("((smiling))", "mouthSmileLeft") > 1.15 * amount("smiling", "mouthSmileLeft")
    assert amount("（smiling：.5）", "mouthSmileLeft") == pytest.approx(amount("(smiling:0.5)", "mouthSmileLeft"))
    both = asked("a smile, looking left")
    assert torch.allclose(both, (asked("a smile") + asked("looking left")).clamp(-1, 1), atol=1e-5)
    assert abs(amount("not angry", "browDownLeft")) < 0.5 * amount("angry", "browDownLeft")


def test_what_asks_for_nothing_known_is_named_or_refused(tiny_model, caplog):
    assert [clause for clause, _ in read_prompt("a red car, smiling").unread] == ["a red car"]
    style = tiny_model.encode_style("a red car, smiling")
    assert "'a red car' is ignored" in caplog.text and style.expression.norm() > 0.3
    with pytest.raises(SettingsError, match=r"names no expression.*look that is known.*describe an expression"):
        tiny_model.encode_style("a red car")
    assert tiny_model.encode_style(" ", "\n") == Style()


def test_a_negative_prompt_takes_away(tiny_model):
    style = tiny_model.encode_style("", "smiling")
    assert style.expression[EXPRESSION_NAMES.index("mouthSmileLeft")] < -0.3
    assert tiny_model.encode_style("smiling", "smiling").expression.abs().max() == 0


def test_a_motion_takes_an_expression_on():
    track = MotionTrack.of_expression(torch.full((50, 52), 0.1), 25.0)
    wish = target_vector({"mouthSmile_": 0.5, "right": -0.3, "roll": 0.2, "browInnerUp": 0.95})
    moved = with_expression(track, wish, BASIS)
    index = EXPRESSION_NAMES.index("mouthSmileLeft")
    assert torch.equal(moved.expression[0], track.expression[0]), "the first frame is the portrait's own"
    assert torch.allclose(moved.expression[20:, index], torch.tensor(0.6)) and moved.expression.max() <= 1
    assert torch.allclose(moved.gaze[20:], torch.tensor([-0.3, 0.0])) and torch.allclose(
        moved.rotation[20:, 2], torch.tensor(0.2)
    )
    assert torch.equal(with_expression(track, torch.zeros(57), BASIS).expression, track.expression)


def test_a_motion_takes_a_prompt_once(tmp_path):
    track = MotionTrack.of_expression(torch.zeros(50, 52), 25.0)
    style = Style("smile", "frown", expression=asked("a wide smile"))
    smiling = with_style(track, style, 1.0, BASIS)
    smiling.save(tmp_path / "smiling.json")
    loaded = MotionTrack.load(tmp_path / "smiling.json")
    assert loaded.prompt == "smile - frown" and torch.allclose(loaded.expression, smiling.expression, atol=1e-5)
    assert with_style(smiling, style, 1.0, BASIS) is smiling
    other = Style("worried", expression=asked("worried"))
    assert not torch.equal(with_style(smiling, other, 1.0, BASIS).expression, smiling.expression)
    assert with_style(track, style, 0.0, BASIS) is track


def test_without_the_tokenizer_the_sentence_says_what_to_install(monkeypatch):
    import sys

    from portraittalk.text.networks import load_tokenizer

    load_tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(WeightsError, match="pip install tokenizers"):
        read_prompt("ecstatic")
    load_tokenizer.cache_clear()


@pytest.mark.parametrize("read", [read_style, read_performance])
def test_a_prompt_of_any_length_is_read_or_refused_in_a_short_sentence(read):
    with pytest.raises(SettingsError, match="The prompt has 10000000 characters: shorten it to at most 5000"):
        read("x" * 10_000_000)
    with pytest.raises(SettingsError, match="The negative prompt has 7000 characters"):
        read("a smile", "smile, " * 1000)
    assert read("a smile, " + "( " * 2000).expression is not None


def test_a_long_text_is_not_repeated_in_a_message():
    with pytest.raises(SettingsError, match=r"names no expression") as error:
        read_style("zxqv " * 900)
    assert len(str(error.value)) < 350


def test_a_wide_smile_shows_teeth_unless_its_lips_are_closed():
    track = MotionTrack.of_expression(torch.zeros(50, 52), 25.0)
    opened, closed = (
        BASIS.asked_aperture(with_style(track, read_style(prompt), 1.0, BASIS).expression)[-1]
        for prompt in ("a wide smile", "a wide smile, lips closed")
    )
    assert opened > closed + 0.02 and closed < 0.03
