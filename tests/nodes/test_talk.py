"""From identity to frames: the nodes together, on real networks with random weights."""

import errno
import gc
import json
import os
import sys

import pytest
import torch


@pytest.fixture
def motion(run, model, speech):
    return run(
        "PortraitTalkSpeechToMotion", model=model, audio=speech, head_motion=1.0, expression_strength=1.0, seed=7
    )[0]


@pytest.fixture
def sample(run, model, identity, speech, motion):
    """sample(**changed): runs the sampler."""
    settings = dict(seed=1, steps=1, fps=25.0, output={"output": "frames"}, window=12, overlap=4)
    scales = dict(identity_scale=1.0, audio_scale=1.0, structure_scale=1.0)
    inputs = dict(model=model, identity=identity, audio=speech, motion=motion) | settings | scales
    return lambda **changed: run("PortraitTalkAnimateNetSampler", **(inputs | changed))


@pytest.fixture
def in_workflow(nodes, monkeypatch, shown_text):
    """in_workflow(prompt): the sampler is the node 5 of a workflow."""
    from comfy_api.latest import io

    sampler = nodes["PortraitTalkAnimateNetSampler"]

    def place(prompt):
        hidden = {"hidden_inputs": {io.Hidden.unique_id: "5", io.Hidden.prompt: prompt}}
        clone = sampler.PREPARE_CLASS_CLONE(hidden)
        monkeypatch.setattr(sampler, "PREPARE_CLASS_CLONE", lambda _: clone)

    return place


@pytest.fixture
def connected(in_workflow):
    """A workflow in which another node takes the sampler's frames."""
    in_workflow({"9": {"inputs": {"images": ["5", 0], "fps": ["5", 2]}}})


def test_frames_fps_and_sound(sample, speech, portrait):
    frames, video, fps, _ = sample()
    assert frames.shape == (8, *portrait.shape[1:]) and frames.dtype == torch.float32
    assert frames.min() >= 0 and frames.max() <= 1 and fps == 25.0
    parts = video.get_components()
    assert parts.images is frames and parts.frame_rate == 25 and parts.audio is speech


def test_the_same_seed_gives_the_same_frames(sample):
    first, again, other = (sample(seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("fps", [12.0, 24.0, 29.97, 30.0])
def test_the_sampler_brings_the_motion_to_its_own_rate(sample, fps):
    assert len(sample(fps=fps, steps=1)[0]) == int(0.32 * fps + 0.5)


@pytest.mark.parametrize("prompt", ["", "sepia photograph"])
def test_crops_that_were_not_changed_leave_the_frames_as_they_are(run, sample, model, prompt):
    texts = dict(prompt=prompt, negative_prompt="", text_scale=1.0, guidance_scale=1.0)
    style = run("PortraitTalkTextStyleCondition", model=model, **texts)[0]
    whole = sample(style=style)[0]
    assert torch.equal(whole, sample()[0]) == (not prompt)
    crops, _, _, crop_data = sample(output={"output": "crops"}, style=style)
    assert crops.shape[1] == crops.shape[2]
    pasted = run("PortraitTalkPasteBack", crops=crops, crop_data=crop_data, scale=1.0)[0]
    assert pasted.shape == whole.shape
    # A head turns as a whole in whole pictures, and within the crop in crops: both agree in the middle of the face.
    x0, y0, x1, y1 = crop_data.box
    rows, columns = (slice((2 * a + b) // 3, (a + 2 * b) // 3) for a, b in ((y0, y1), (x0, x1)))
    assert (pasted - whole)[:, rows, columns].abs().mean() < 0.01
    assert torch.equal(pasted[:, :y0], crop_data.portrait.movedim(0, -1)[None, :y0].expand(len(pasted), -1, -1, -1))


def test_upscaled_crops_into_an_enlarged_picture(run, sample, portrait):
    crops, _, _, crop_data = sample(output={"output": "crops"})
    larger = torch.nn.functional.interpolate(crops.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    pasted = run("PortraitTalkPasteBack", crops=larger, crop_data=crop_data, scale=1.5)[0]
    assert pasted.shape[1:3] == tuple(int(1.5 * side) for side in portrait.shape[1:3])


def test_a_video_file_in_the_temp_folder(sample, folders, portrait):
    frames, video, fps, _ = sample(output={"output": "video file"})
    assert "set output to 'frames'" in frames.message  # what a node says that is connected there afterwards
    assert [path.suffix for path in folders["temp"].glob("PortraitTalk_*")] == [".mp4"] and fps == 25.0
    assert video.get_dimensions() == (portrait.shape[2], portrait.shape[1])
    parts = video.get_components()
    assert len(parts.images) == 8 and abs(parts.audio["waveform"].shape[-1] / parts.audio["sample_rate"] - 0.32) < 0.05


def test_a_video_file_goes_with_the_last_output_that_holds_it(sample, folders):
    _, video, _, _ = sample(output={"output": "video file"})
    (path,) = folders["temp"].glob("PortraitTalk_*.mp4")
    part = video.as_trimmed(0.06, 0.2).as_trimmed(0.06, 0.1)
    assert video.as_trimmed(0.4, 1.0) is None and part.get_duration() == pytest.approx(0.1, abs=0.05)
    del video, _
    gc.collect()
    assert path.exists() and len(part.get_components().images) == 3
    del part
    gc.collect()
    assert not path.exists()


def test_a_video_file_keeps_frames_for_a_node_that_takes_them(sample, connected, shown_text):
    whole = sample()[0]
    frames, video, _, _ = sample(output={"output": "video file"})
    assert torch.equal(frames, whole)
    height, width = whole.shape[1:3]
    assert f"8 frames of {width}x{height}, 0.32 s\n{12e-6 * 8 * height * width:.0f} MB of frames" in shown_text
    assert len(video.get_components().images) == len(whole)


@pytest.fixture
def long_run(library, nodes, monkeypatch):
    """Runs of any length can be taken up, after every fourth frame."""
    monkeypatch.setattr(sys.modules[nodes["PortraitTalkAnimateNetSampler"].__module__], "LONG", 1)
    monkeypatch.setattr(library("pipelines.unfinished"), "PIECE_FRAMES", 4)


def shown_frames(video):
    return video.get_components().images


def test_a_cancelled_run_is_taken_up_by_the_same_inputs(
    sample, folders, long_run, cancel_after, shown_text, in_workflow
):
    import comfy.model_management as management

    output = {"output": "video file"}
    in_workflow({"9": {"inputs": {"video": ["5", 1]}}})
    whole = shown_frames(sample(output=output)[1])
    kept = folders["user"] / "portraittalk" / "unfinished"
    assert not list(kept.iterdir())
    cancel_after(1)
    with pytest.raises(management.InterruptProcessingException):
        sample(output=output)
    (run,) = kept.iterdir()
    finished = {path.name: path.stat().st_mtime_ns for path in run.glob("*.mp4")}
    assert finished and not [path for path in folders["temp"].iterdir() if path.suffix == ".part"]
    cancel_after(10**6)
    shown_text.clear()
    _, video, _, _ = sample(output=output, seed=2)  # another run leaves it alone
    assert not any("takes up" in text for text in shown_text)
    assert {path.name: path.stat().st_mtime_ns for path in run.glob("*.mp4")} == finished
    _, video, _, _ = sample(output=output)
    assert any(f"takes up an interrupted run after {4 * len(finished)} frames" in text for text in shown_text)
    assert torch.equal(shown_frames(video), whole) and not list(kept.iterdir())
    assert video.get_components().audio["waveform"].any()


def test_short_runs_and_kept_frames_leave_nothing_in_the_user_folder(sample, folders, cancel_after):
    import comfy.model_management as management

    cancel_after(1)
    with pytest.raises(management.InterruptProcessingException):
        sample(output={"output": "video file"})
    assert not list(folders["user"].iterdir())


def test_frames_that_do_not_fit_into_memory_are_refused_before_the_work(
    sample, model, encode_half, library, host, monkeypatch, connected
):
    larger = encode_half(model)
    monkeypatch.setattr(host.models, "free_memory", lambda: 12_000_000)
    monkeypatch.setattr(host.models, "outputs_can_spill", lambda: False)
    for mode in ("frames", "video file"):
        with pytest.raises(library("errors").SettingsError, match=r"8 frames of \d+x\d+ need 0\.\d GB.*'video file'"):
            sample(identity=larger, output={"output": mode})
    assert len(sample(identity=larger, output={"output": "crops"})[0]) == 8


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room in a file")
def test_many_frames_lie_on_the_disk(sample, library, host, folders, monkeypatch, connected, shown_text):
    whole = sample()[0]
    monkeypatch.setattr(host.models, "free_memory", lambda: 12_000_000)
    for mode in ("frames", "video file"):
        shown_text.clear()
        frames, video, _, _ = sample(output={"output": mode})
        assert torch.equal(frames, whole) and any("MB of frames on disk" in text for text in shown_text)
        assert frames.untyped_storage().filename.startswith(str(folders["temp"])) and len(video.get_components().images)
    assert not list(folders["temp"].glob("frames_*"))  # without a name, they go with the tensor
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", lambda *given: (_ for _ in ()).throw(full))
    with pytest.raises(library("errors").OutputError, match="disk is full"):
        sample()
    monkeypatch.setattr(library("output_files"), "free_space", lambda path: 5_000_000)
    with pytest.raises(library("errors").OutputError, match=r"are free on its disk: free some space"):
        sample()
    assert not [path for path in folders["temp"].iterdir() if path.suffix in (".raw", ".part")]


def test_a_motion_that_is_too_short_is_refused(sample, motion, library):
    with pytest.raises(library("errors").MotionError, match="at least as long"):
        sample(motion=motion[:5])


@pytest.mark.parametrize("mode", ["frames", "crops", "video file"])
def test_cancel_leaves_nothing_behind(sample, folders, cancel_after, mode):
    import comfy.model_management as management

    before = sorted(folders["temp"].iterdir())  # the preview of the identity
    cancel_after(1)
    with pytest.raises(management.InterruptProcessingException):
        sample(output={"output": mode})
    assert sorted(folders["temp"].iterdir()) == before


def test_settings_out_of_range_are_refused(sample, library):
    with pytest.raises(library("errors").SettingsError, match="overlap"):
        sample(window=4, overlap=4)
    with pytest.raises(library("errors").SettingsError, match="identity scale"):
        sample(identity_scale=float("nan"))


def test_a_prompt_asks_for_an_expression_or_is_refused_in_words(run, model, library):
    texts = dict(model=model, text_scale=1.0, guidance_scale=1.0)
    with pytest.raises(library("errors").SettingsError, match="names no expression"):
        run("PortraitTalkTextStyleCondition", prompt="a red car", negative_prompt="", **texts)
    asked = run("PortraitTalkTextStyleCondition", prompt="smiling", negative_prompt="", **texts)[0].style
    assert asked.expression.norm() > 0.3
    assert run("PortraitTalkTextStyleCondition", prompt="", negative_prompt=" ", **texts)[0].text_scale == 1.0


def test_a_motion_carries_the_expression_of_its_style(run, model, speech):
    settings = dict(model=model, audio=speech, head_motion=1.0, expression_strength=1.0, seed=3)
    texts = dict(prompt="smiling", negative_prompt="", text_scale=1.0, guidance_scale=1.0)
    style = run("PortraitTalkTextStyleCondition", model=model, **texts)[0]
    plain = run("PortraitTalkSpeechToMotion", **settings)[0]
    smiling = run("PortraitTalkSpeechToMotion", **settings, style=style)[0]
    assert smiling.prompt == "smiling" and plain.prompt == ""
    assert (smiling.expression - plain.expression)[-1].max() > 0.3


def test_liveliness_and_the_rate_of_blinks_act(run, model, speech):
    settings = dict(model=model, audio=speech, head_motion=1.0, expression_strength=1.0, seed=3)
    plain, usual, still, lively, awake = (
        run("PortraitTalkSpeechToMotion", **settings, **given)[0]
        for given in (
            {},
            {"liveliness": 1.0, "blinks_per_minute": 16.0},
            {"liveliness": 0.0},
            {"liveliness": 2.0},
            {"blinks_per_minute": 0.0},
        )
    )
    assert torch.equal(plain.rotation, usual.rotation) and torch.equal(plain.blink, usual.blink)
    assert not still.rotation.any() and lively.rotation.abs().max() > 1.3 * plain.rotation.abs().max() > 0
    assert not awake.blink.any() and torch.equal(awake.rotation, plain.rotation)


def test_a_motion_can_be_saved_edited_and_loaded(run, nodes, motion, folders):
    shown = run("PortraitTalkSaveMotion", motion=motion, filename_prefix="takes/talk").ui["text"]
    file = folders["output"] / shown[0]
    assert file == folders["output"] / "takes" / "talk_00001_.json"
    content = json.loads(file.read_text())
    content["frames"][3]["expression"] = {"jawOpen": 0.5}
    file.write_text(json.dumps(content))
    name = "takes/talk_00001_.json [output]"
    assert name in nodes["PortraitTalkLoadMotion"].GET_NODE_INFO_V1()["input"]["required"]["file"][1]["options"]
    loaded = run("PortraitTalkLoadMotion", file=name)[0]
    assert len(loaded) == len(motion) and loaded.expression[3].sum() == 0.5
    assert torch.allclose(loaded.rotation, motion.rotation, atol=1e-5)


def test_a_file_that_is_no_motion_is_refused(run, nodes, library, folders):
    (folders["input"] / "a.json").write_text("{}")
    with pytest.raises(library("errors").MotionError, match="not a motion track"):
        run("PortraitTalkLoadMotion", file="a.json")
    assert "There is no file" in nodes["PortraitTalkLoadMotion"].validate_inputs(file="../a.json")


def test_a_driving_video_moves_another_face(run, sample, portrait, speech):
    frames = torch.cat([portrait.roll(6 * number, 2) for number in range(4)])
    motion = run("PortraitTalkVideoToMotion", frames=frames, fps=25.0, smooth=0.0)[0]
    assert len(motion) == 4 and motion.translation[-1, 0] > 0.15
    settings = dict(expression=1.0, head_motion=1.0, ending="loop", audio=speech)
    longer = run("PortraitTalkCombineMotion", mouth=motion, **settings)[0]
    assert len(longer) == 8 and len(sample(motion=longer)[0]) == 8


def test_parts_of_motions_are_combined(run, motion, library):
    other = motion.each(lambda values: values * 0 + 0.1)
    settings = dict(expression=1.0, head_motion=2.0, ending="hold")
    result = run("PortraitTalkCombineMotion", mouth=motion, head=other, eyes=other, **settings)[0]
    assert result.rotation.eq(0.2).all() and torch.equal(result.gaze, other.gaze)
    jaw = library("arkit").ARKIT_INDEX["jawOpen"]
    assert torch.equal(result.expression[:, jaw], motion.expression[:, jaw])
    silent = run("PortraitTalkCombineMotion", mouth=motion, **(settings | {"expression": 0.0, "head_motion": 0.0}))[0]
    assert not silent.expression.any() and not silent.rotation.any()


@pytest.mark.parametrize("output", ["frames", "video file"])
def test_a_network_that_returns_nan_is_said_and_nothing_is_shown(sample, host, untrained, library, folders, output):
    broken = host.models.load(untrained)
    with torch.inference_mode():
        next(broken.model.modules()["autoencoder"].parameters()).fill_(torch.nan)
    with pytest.raises(library("errors").WeightsError, match=r"'mini' returned pictures with values .* \(NaN\)"):
        sample(model=broken, output={"output": output})
    assert not [path for path in folders["temp"].iterdir() if path.suffix in (".mp4", ".part")]


def test_memory_that_runs_out_is_said_on_the_node(sample, model, library, monkeypatch, in_workflow, shown_text):
    in_workflow({})
    windows = []
    draw = type(model.model).draw

    def full(self, inputs, *rest):
        windows.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("Allocation on device")
        return draw(self, inputs, *rest)

    monkeypatch.setattr(type(model.model), "draw", full)
    assert len(sample()[0]) == 8 and set(windows) == {2, 4}
    assert any("beginning again with windows of 6 frames" in text for text in shown_text)
    monkeypatch.setattr(type(model.model), "draw", lambda *given: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(library("errors").SettingsError, match="memory was not enough"):
        sample()


def test_a_choice_that_does_not_exist_is_one_sentence(sample, run, model, library, portrait):
    with pytest.raises(library("errors").SettingsError, match="'output' is none of its options"):
        sample(output=None)
    with pytest.raises(library("errors").SettingsError, match="'face' is none of its options"):
        run("PortraitTalkIdentityEncode", model=model, references={"a": portrait}, max_side=0)
