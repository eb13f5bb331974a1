"""Keyframes and lists of values: their curves over time, their JSON, and what they do to a track."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_examples import EXAMPLES

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.errors import MotionError
from portraittalk.motion.curves import CURVES
from portraittalk.motion.keyframes import Key, Keyframes, MotionEdit, Samples
from portraittalk.motion.track import TENSORS, MotionTrack, check_motion

FPS = 25.0
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*CURVES, "time", "value", "interpolation", "x"]), inner, max_size=4)
    ),
    max_leaves=16,
)


def track(frames: int = 50) -> MotionTrack:
    """A track in which everything moves, some of it beyond the usual range."""
    wave = 0.6 * torch.sin(torch.arange(frames) / FPS * 5)
    still = MotionTrack.of_expression(torch.zeros(frames, len(ARKIT_NAMES)), FPS)
    return still.each(lambda values: values + wave.view(-1, *[1] * (values.dim() - 1)))


def same(one: MotionTrack, other: MotionTrack, frames: slice = slice(None)) -> bool:
    return all(torch.equal(getattr(one, name)[frames], getattr(other, name)[frames]) for name in TENSORS)


def test_no_edit_is_the_same_track():
    before = track()
    neutral = {name: Samples((curve.neutral,)) for name, curve in CURVES.items()}
    for edit in (MotionEdit(), MotionEdit.parse(""), MotionEdit.parse(" {}\n"), MotionEdit(neutral)):
        assert same(edit.apply(before), before)


def test_frames_between_neutral_keys_are_as_they_were():
    keys = Keyframes((Key(0.4, 0.0), Key(0.8, 10.0), Key(1.2, 0.0)))
    before = track()
    after = MotionEdit({"head_yaw": keys, "smile": Samples((0.0,))}).apply(before)
    assert same(before, after, slice(0, 10)) and same(before, after, slice(30, None))
    added = (after.rotation - before.rotation)[:, 1]
    assert (added[10:30] > 0).all() and added.max() == pytest.approx(math.radians(10), rel=0.01)


def test_smooth_keys_are_level_and_linear_ones_are_not():
    def between(interpolation: str) -> list[float]:
        keys = Keyframes((Key(0.02, 0.0, interpolation), Key(1.02, 8.0)))
        return keys.sampled(26, FPS).tolist()

    smooth, linear = between("smooth"), between("linear")
    assert linear == pytest.approx([8 * frame / 25 for frame in range(26)])
    assert smooth[0] == 0 and smooth[25] == pytest.approx(8)
    assert smooth[1] < linear[1] / 4 and smooth[24] > 8 - (8 - linear[24]) / 4
    assert sum(smooth) == pytest.approx(sum(linear))  # symmetric about the middle


def test_the_ends_are_held():
    assert Keyframes((Key(3.0, 0.5),)).sampled(4, FPS).tolist() == [0.5] * 4
    values = Keyframes((Key(0.4, -1.0, "linear"), Key(0.8, 1.0))).sampled(50, FPS)
    assert values[:10].tolist() == [-1.0] * 10 and values[20:].tolist() == [1.0] * 30


def test_a_list_of_values_is_spread_over_the_clip():
    values = tuple(number / 10 for number in range(7))
    assert Samples(values).sampled(7, FPS).tolist() == pytest.approx(values)
    assert Samples((0.25,)).sampled(3, FPS).tolist() == [0.25] * 3
    longer = Samples(values).sampled(70, FPS)
    assert (longer.diff() >= 0).all() and longer[[0, -1]].tolist() == pytest.approx([0, 0.6])
    assert longer.mean().item() == pytest.approx(0.3)


def test_what_is_saved_loads_again(tmp_path):
    edit = MotionEdit(
        {
            "head_pitch": Keyframes((Key(0.0, -3.5), Key(1.25, 12.0, "linear"), Key(2.0, 0.0))),
            "intensity": Samples((0.5, 1.0, 2.0)),
        }
    )
    edit.save(tmp_path / "edit.json")
    assert MotionEdit.load(tmp_path / "edit.json") == edit == MotionEdit.from_dict(edit.to_dict())
    assert "interpolation" in (text := (tmp_path / "edit.json").read_text()) and text.count("\n") == 4
    MotionEdit().save(tmp_path / "none.json")
    assert MotionEdit.load(tmp_path / "none.json") == MotionEdit()


def test_keys_may_stand_in_any_order():
    backwards = '{"blink": [{"time": 2, "value": 0}, {"time": 1, "value": 1}]}'
    assert MotionEdit.parse(backwards).curves["blink"] == Keyframes((Key(1.0, 1.0), Key(2.0, 0.0)))
    assert MotionEdit.parse('{"blink": []}') == MotionEdit()  # an editor may leave it empty


KEY = '{"time": 1, "value": 0}'
MISTAKES = {
    "[]": "must be an object of curves",
    "{": "is not valid JSON",
    '{"head": [1]}': "unknown curve 'head': the curves are intensity, liveliness, head_motion, head_yaw",
    '{"smile": 1}': "smile must be a list of keys or of numbers, not 1",
    '{"smile": [0.5, true]}': "smile: value 1 must be a number between -1 and 1, not True",
    '{"smile": [2]}': "value 0 must be a number between -1 and 1, not 2",
    '{"head_yaw": [NaN]}': "value 0 must be a number between -30 and 30, not nan",
    f'{{"smile": [{KEY}, 1]}}': 'smile: key 1 must be an object such as {"time": 1.5, "value": 0.5}',
    '{"smile": [{"time": -1, "value": 0}]}': "key 0: time must be a number between 0 and 86400, not -1",
    '{"smile": [{"time": 1}]}': "key 0: value must be a number between -1 and 1, not None",
    '{"smile": [{"time": 1, "value": 0, "ease": 1}]}': "unknown entry 'ease'",
    '{"smile": [{"time": 1, "value": 0, "interpolation": "cubic"}]}': "must be smooth or linear, not 'cubic'",
    f'{{"smile": [{KEY}, {KEY}]}}': "two keys at 1 s",
    '{"format": "portraittalk.motion", "version": 1}': "unknown curve 'format'",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named_in_a_sentence(text, tmp_path):
    (tmp_path / "edit.json").write_text(text)
    with pytest.raises(MotionError) as parsed:
        MotionEdit.parse(text, "The input 'edits'")
    assert MISTAKES[text] in str(parsed.value) and str(parsed.value).startswith("The input 'edits'")
    with pytest.raises(MotionError, match=r"edit\.json") as loaded:
        MotionEdit.load(tmp_path / "edit.json")
    assert MISTAKES[text] in str(loaded.value) and "\n" not in str(loaded.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(MotionError, match=r"gone\.json' cannot be read"):
        MotionEdit.load(tmp_path / "gone.json")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe\xfd")
    with pytest.raises(MotionError, match=r"picture\.png' is not a motion edit"):
        MotionEdit.load(tmp_path / "picture.png")


def test_values_of_other_nodes_replace_a_curve():
    edit = MotionEdit.parse('{"smile": [{"time": 0, "value": 1}], "blink": [0]}').with_values("smile", [0.0, 0.5])
    assert edit.curves == {"smile": Samples((0.0, 0.5)), "blink": Samples((0.0,))}
    with pytest.raises(MotionError, match="between 1 and 500000 values, not 0"):
        edit.with_values("smile", [])
    with pytest.raises(MotionError, match="unknown curve"):
        edit.with_values("nose", [1.0])


@EXAMPLES
def test_any_json_is_an_edit_or_refused(examples):
    @examples
    @given(anything)
    def check(data):
        text = json.dumps(data)
        try:
            edit = MotionEdit.parse(text)
        except MotionError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            return
        assert MotionEdit.parse(json.dumps(edit.to_dict())) == edit
        after = edit.apply(track(3))
        check_motion(after)
        assert same(after, edit.apply(track(3)))

    check()


@EXAMPLES
def test_every_edit_stays_within_its_keys(examples):
    keys = st.dictionaries(st.integers(0, 300), st.floats(-1, 1, width=32), min_size=1, max_size=6)

    @examples
    @given(keys, st.lists(st.sampled_from(["smooth", "linear"]), min_size=6, max_size=6))
    def check(values, kinds):
        made = [
            Key(time / 100, value, kind) for (time, value), kind in zip(sorted(values.items()), kinds, strict=False)
        ]
        sampled = Keyframes(tuple(made)).sampled(80, FPS)
        assert min(values.values()) - 1e-6 <= sampled.min() and sampled.max() <= max(values.values()) + 1e-6
        shifted = [replace(key, time=key.time + 1) for key in made]
        assert torch.allclose(Keyframes(tuple(shifted)).sampled(105, FPS)[25:], sampled, atol=1e-6)

    check()
