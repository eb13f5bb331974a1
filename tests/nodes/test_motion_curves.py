"""Edit Motion: what it changes, what it takes from other nodes, and what it shows."""

import gc
import json
import math

import pytest
import torch

from portraittalk.motion.curves import CURVES


@pytest.fixture
def motion(library):
    return library("motion.track").MotionTrack.of_expression(torch.full((13, 52), 0.2), 25.0)


@pytest.fixture
def edit(run, motion):
    """edit(text, **more): runs the node."""
    return lambda text="{}", **more: run("PortraitTalkEditMotion", motion=motion, edits=text, **more)


def test_keys_turn_the_head_and_nothing_else(edit, motion):
    keys = [{"time": 0.1, "value": 0}, {"time": 0.4, "value": 20}]
    turned = edit(json.dumps({"head_yaw": keys}))[0]
    assert turned.rotation[0].abs().max() == 0
    assert turned.rotation[-1].tolist() == pytest.approx([0, math.radians(20), 0])
    assert torch.equal(turned.expression, motion.expression)
    for text in ("", "{}"):
        assert torch.equal(edit(text)[0].rotation, motion.rotation)


@pytest.mark.parametrize(
    "values",
    [[0.0, 2.0], (0.0, 2.0), ([0.0, 2.0],), torch.tensor([0.0, 2.0])],
    ids=["list", "tuple", "list in a tuple", "tensor"],
)
def test_lists_of_other_nodes_replace_a_curve(edit, values):
    jaw = edit('{"intensity": [3]}', values=values, values_for="intensity")[0].expression[:, 24]
    assert jaw[0] == 0 and jaw[-1].item() == pytest.approx(0.4) and (jaw.diff() >= 0).all()


def test_one_number_holds_throughout(edit):
    assert edit(values=0.5, values_for="smile")[0].expression[:, 43].tolist() == pytest.approx([0.7] * 13)


def test_mistakes_are_told_before_the_run_and_in_it(nodes, edit, library):
    node, error = nodes["PortraitTalkEditMotion"], library("errors").MotionError
    assert node.validate_inputs(edits="{}") is True
    assert node.validate_inputs(edits=None) is True  # connected to another node
    assert node.validate_inputs(edits='{"nose": [1]}').startswith("The input 'edits' has the unknown curve 'nose'")
    for values, words in (("fast", "'values' must be a number or a list"), ([9.0], "between -1 and 1"), ([], "1 and")):
        with pytest.raises(error, match=words):
            edit(values=values, values_for="smile")


def test_the_landmarks_move_in_a_video_with_the_speech(edit, speech, folders):
    _, picture, video = edit('{"mouth_open": [-1, 1]}', audio=speech, preview_seconds=0.32)
    parts = video.get_components()
    assert parts.images.shape == (8, 384, 384, 3) and parts.frame_rate == 25
    assert abs(parts.audio["waveform"].shape[-1] / parts.audio["sample_rate"] - 0.32) < 0.06
    assert (parts.images[0] - parts.images[-1]).abs().amax() > 0.3
    assert picture.shape[0] == 1 and picture.shape[-1] == 3
    silent = edit()[2].get_components()
    assert len(silent.images) == 13 and silent.audio is None


def test_the_portrait_lies_behind_the_landmarks(edit, identity):
    plain, own = (edit(identity=person)[2].get_components().images[0] for person in (None, identity))
    assert own.std() > 1.5 * plain.std() or (own - plain).abs().mean() > 0.05


def test_the_editor_is_told_what_it_draws(edit, speech, motion, folders):
    told = edit(audio=speech).ui
    gc.collect()  # what the front end plays stays when no output holds the video
    (curves,) = told["motion_curves"]
    assert len(told["images"]) == 1 and (folders["temp"] / curves["video"]).is_file()
    assert curves["seconds"] == pytest.approx(0.52) and len(curves["peaks"]) > 100
    assert curves["peaks"][-5:] == [0.0] * 5  # the motion is longer than the sound
    assert curves["curves"]["mouth_open"] == pytest.approx([0.2] * 13) and "intensity" not in curves["curves"]
    json.dumps(told["motion_curves"])


def test_the_editor_knows_all_curves(nodes):
    import sys

    info = sys.modules[nodes["PortraitTalkEditMotion"].__module__].curves_info("")
    assert [curve["name"] for curve in info["curves"]] == list(CURVES)
    assert all(curve["low"] < curve["neutral"] < curve["high"] for curve in info["curves"])


def test_cancel_stops_it(edit, cancel_after, folders):
    import comfy.model_management as management

    cancel_after(-1)
    with pytest.raises(management.InterruptProcessingException):
        edit()
    assert not list(folders["temp"].iterdir())
