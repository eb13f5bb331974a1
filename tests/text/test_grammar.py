"""Plain descriptions of parts of the face: what the rules read, what they leave to the networks, what they refuse."""

import json

import pytest
import torch

from portraittalk.arkit import EXPRESSION_NAMES, MANNER_NAMES
from portraittalk.errors import SettingsError
from portraittalk.text.grammar import read_plain
from portraittalk.text.prompt import read_prompt
from portraittalk.training.text.captions import CONCEPTS, ELSE, target_vector

LEFT_SEEN, RIGHT_SEEN = "Right", "Left"  # ARKit's sides are the person's, those of prompts the picture's


def asked(text, weight=1.0, negative=False):
    """Return what a plain description asks for, by name, without what is 0."""
    plain = read_plain(text, weight, negative)
    assert plain is not None, text
    values = zip((*EXPRESSION_NAMES, *MANNER_NAMES), (*plain.expression.tolist(), *plain.manner.tolist()), strict=True)
    return {name: value for name, value in values if value}


@pytest.mark.parametrize(
    "text",
    ["eyes closed", "closed eyes", "with her eyes shut", "both eyes are closed", "closing his eyes", "eyes not open"],
)
def test_both_lids_close_in_any_order_of_words(text):
    found = asked(text)
    assert found["eyeBlinkLeft"] == found["eyeBlinkRight"] > 0.6 and not any("mouth" in name for name in found)


def test_sides_are_those_of_the_picture_unless_they_are_the_person_s_own():
    assert set(asked("left eye closed")) == {f"eyeBlink{LEFT_SEEN}"}
    assert set(asked("her own left eye closed")) == {"eyeBlinkLeft"}
    assert set(asked("raises the right eyebrow")) == {f"browOuterUp{RIGHT_SEEN}"}
    assert asked("winking with the left eye") == asked("left eye winks")
    assert asked("looking left")["right"] < 0 < asked("looking to the right")["right"]
    assert asked("head turned left")["yaw"] < 0 and asked("head tilted to the right")["roll"] > 0
    assert set(asked("mouth to the left")) == {"mouthRight"}


def test_strengths():
    def smile(text):
        return asked(text)["mouthSmileLeft"]

    assert smile("very slight smile") < smile("slight smile") < smile("smile") < smile("big smile")
    assert (
        asked("mouth slightly open")["jawOpen"] < asked("mouth open")["jawOpen"] < asked("mouth wide open")["jawOpen"]
    )
    lids = [asked(text)["eyeBlinkLeft"] for text in ("eyes slightly closed", "eyes half closed", "eyes closed")]
    assert lids == sorted(lids) and asked("eyes half open") == asked("eyes half closed")
    assert set(asked("eyes wide open")) == {"eyeWideLeft", "eyeWideRight"} and asked("eyes open") == {}


@pytest.mark.parametrize("text", ["a wide smile", "a big smile", "smiling very broadly", "grinning"])
def test_a_broad_smile_shows_teeth_and_narrows_the_eyes(text):
    found, modest = asked(text), asked("a smile")
    assert found["mouthUpperUpLeft"] > 0.15 and found["eyeSquintLeft"] > 0.15
    assert found["cheekSquintLeft"] > modest["cheekSquintLeft"] and "mouthUpperUpLeft" not in modest
    assert found["mouthSmileLeft"] > modest["mouthSmileLeft"]


@pytest.mark.parametrize("text", ["a wide closed mouth smile", "no big smile", "a slight smile"])
def test_other_smiles_show_no_teeth(text):
    assert "mouthUpperUpLeft" not in asked(text)


def test_weights():
    assert asked("smile", 0.5)["mouthSmileLeft"] == pytest.approx(asked("smile")["mouthSmileLeft"] / 2)
    assert asked("eyes closed", 0.5) == asked("eyes half closed")
    assert asked("nodding", 0.5)["nod"] == pytest.approx(asked("nodding")["nod"] / 2)


def test_denials_only_take_away():
    for text in ("no smile", "not smiling", "without a smile", "unsmiling", "never smiles"):
        assert asked(text)["mouthSmileLeft"] < 0, text
    for text in ("eyes not closed", "not looking left", "head not tilted", "mouth not open", "not nodding"):
        assert asked(text) == {}, text
    assert asked("eyes not wide open")["eyeWideLeft"] < 0 and "eyeBlinkLeft" not in asked("eyes not wide open")
    assert asked("eyes not fully open") == asked("eyes half closed")
    assert asked("not blinking") == asked("without blinking") == {"blinks": -1}
    assert asked("eyes closed but not smiling")["eyeBlinkLeft"] > 0.6
    assert asked("not smiling or laughing")["mouthSmileLeft"] < -1


def test_negative_prompts_only_take_away():
    assert asked("smiling", negative=True)["mouthSmileLeft"] > 0  # it is subtracted
    for text in ("looking left", "mouth open", "nodding", "head down"):
        assert asked(text, negative=True) == {}, text


def test_several_parts_in_one_clause():
    both = asked("mouth open eyes closed")
    assert both == asked("open mouth closed eyes") == asked("mouth open and eyes closed")
    assert both["jawOpen"] > 0.3 and both["eyeBlinkLeft"] > 0.6
    assert asked("eyes and lips closed") == {**asked("eyes closed"), **asked("lips closed")}
    up_left = asked("looking up and to the left")
    assert up_left["down"] < 0 and up_left["right"] < 0
    assert asked("turns her head to the left and looks right").keys() == {"yaw", "right"}
    assert asked("smiling with the right side of the mouth") == asked("right side smile")


def test_gestures_and_their_tempo():
    assert asked("nods").keys() == {"nod"} and asked("shaking her head no").keys() == {"shake"}
    assert asked("tilting the head from side to side").keys() == {"sway"}
    assert asked("nodding slowly")["tempo"] < 0 < asked("nodding quickly")["tempo"]
    assert asked("keeping the head still")["head"] < -0.5


def test_other_words_go_to_the_networks():
    for text in (
        "on cloud nine",
        "a sad face",
        "shaking like a leaf",
        "tongue-tied",
        "a red car",
        "still life",
        "drawing",
    ):
        assert read_plain(text) is None, text
    mixed = read_plain("furious with closed eyes")
    assert mixed.rest == "furious" and mixed.expression[EXPRESSION_NAMES.index("eyeBlinkLeft")] > 0.6
    whole = read_prompt("furious with closed eyes").expression
    assert whole[EXPRESSION_NAMES.index("browDownLeft")] > 0.3 and whole[EXPRESSION_NAMES.index("eyeBlinkLeft")] > 0.6


@pytest.mark.parametrize(
    "text", ["masterpiece", "best quality", "8k", "RAW photo", "a photo of a woman", "1girl, solo"]
)
def test_words_on_quality_do_nothing(tiny_model, text):
    style = tiny_model.encode_style(text)
    assert style.expression.abs().max() == 0 and style.look is None and style.manner is None
    smiling = tiny_model.encode_style(f"{text}, smiling").expression
    assert torch.equal(smiling, tiny_model.encode_style("smiling").expression)


def test_what_cannot_be_moved_is_said(tiny_model, caplog):
    smiling = tiny_model.encode_style("smiling with her tongue out")
    assert "'smiling with her tongue out' asks for what cannot be shown: the tongue cannot be moved" in caplog.text
    assert torch.equal(smiling.expression, tiny_model.encode_style("smiling").expression)
    with pytest.raises(SettingsError, match=r"'ears wiggling' cannot be shown, because the ears cannot be moved"):
        tiny_model.encode_style("ears wiggling")


def test_rules_agree_with_the_captions_of_the_networks():
    """Captions that the rules read as well mean the same there; pictures that they do not mean ask for nothing."""
    cosines = []
    for concept in CONCEPTS.values():
        target = target_vector(concept.target)
        for phrase in concept.phrases:
            plain = read_plain(phrase)
            if plain is not None and plain.read and not plain.rest and target.any():
                cosines.append(torch.nn.functional.cosine_similarity(plain.expression, target, dim=0).item())
    assert len(cosines) > 300
    assert sum(cosine > 0.5 for cosine in cosines) > 0.92 * len(cosines)
    for phrase in ELSE:
        plain = read_plain(phrase)
        assert plain is None or not (plain.expression.any() or plain.manner.any()), phrase


def test_the_plain_descriptions_are_split_in_halves(repository):
    data = json.loads((repository / "tests/data/plain_words.json").read_text(encoding="utf-8"))
    halves = [{(row["text"], row.get("negative")) for row in data[half]} for half in ("development", "held_out")]
    assert [len(half) for half in halves] == [75, 75] and not halves[0] & halves[1]


def test_development_half_is_read_by_rules(repository):
    """All are; whether they act is measured on videos, by benchmarks/plain_words.py."""
    data = json.loads((repository / "tests/data/plain_words.json").read_text(encoding="utf-8"))
    for row in data["development"]:
        for text in filter(None, (row["text"], row.get("negative", ""))):
            parsed = read_prompt(text)
            assert not parsed.unread and len(parsed.impossible) == (row["kind"] == "cannot"), text
