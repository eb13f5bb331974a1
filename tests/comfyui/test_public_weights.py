"""The example workflows of public weights: what they say without them, and tiny checkpoints in their place."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer, NodeError
from comfyui_harness.workflow import Prompt, changed, load_prompt, only
from liveportrait_networks import published_files, tiny_liveportrait
from safetensors.torch import save_file
from tiny_sd15 import public_files, public_tensors, random_model, tiny, write_vocabulary

from portraittalk.weights.catalogue import catalogue
from portraittalk.weights.layout import Layout
from portraittalk.weights.layouts import LAYOUTS
from portraittalk.weights.networks import build_networks
from portraittalk.weights.public import convert, converted_name

WORKFLOWS = Path(__file__).resolve().parents[2] / "example_workflows"
WORKFLOW, WITH_PROMPT = WORKFLOWS / "echomimic.json", WORKFLOWS / "animatediff.json"
KEYPOINTS = WORKFLOWS / "liveportrait.json"
LOADER, SAMPLER = "PortraitTalkPublicModelLoader", "PortraitTalkAnimateNetSampler"
MODEL = catalogue().models["echomimic-acc"]
FRAMES = 4


@pytest.fixture(scope="module")
def short(server: ComfyServer) -> Prompt:
    """The workflow with little to say, and without a fast decoder."""
    prompt = load_prompt(WORKFLOW, server.object_info)
    return changed(prompt, {"PortraitTalkLoadAudio": {"duration": FRAMES / 25}, LOADER: {"model.taesd": "none"}})


@pytest.fixture(scope="module")
def files(server: ComfyServer, checkpoint) -> dict[str, Path]:
    """The tiny checkpoint under the names of the public files, and the model that was made of it before.

    The server's own layouts are full-size: it would refuse to convert these, which is what one test is about.
    """
    layout, _, paths = checkpoint
    models = server.base / "models" / "portraittalk"
    (models / "public").mkdir()
    places = {role: MODEL.files[role].place(models) for role in paths}
    for role, path in paths.items():
        shutil.copy(path, places[role])
    tiny = replace(layout, config=replace(layout.config, steps=2))
    convert(tiny, places, models / converted_name("echomimic-acc", places))
    return places


def refused(server: ComfyServer, prompt: Prompt) -> str:
    before = server.files()
    with pytest.raises(NodeError) as refusal:
        server.run(prompt)
    sentence = str(refusal.value)
    assert refusal.value.node_type == LOADER
    assert "\n" not in sentence and "Traceback" not in sentence
    assert {path for path in server.files() - before if path.parent.name != "temp"} == set()
    return sentence


def test_without_the_files_each_is_named_with_its_address_and_folder(server: ComfyServer, short: Prompt) -> None:
    sentence = refused(server, short)
    assert str(server.base / "models" / "portraittalk" / "public") in sentence
    for role, file in MODEL.files.items():
        assert role == "taesd" or (file.name in sentence and file.url in sentence)


@pytest.mark.parametrize(
    ("workflow", "name"),
    [(WORKFLOW, "echomimic-acc"), (WITH_PROMPT, "animatediff-lcm"), (KEYPOINTS, "liveportrait")],
)
def test_the_workflow_names_the_published_files_and_asks_before_downloads(workflow: Path, name: str) -> None:
    (loader,) = (node for node in json.loads(workflow.read_text())["nodes"] if node["type"] == LOADER)
    files = catalogue().models[name].files
    assert loader["widgets_values"] == [name, *(file.name for file in files.values()), False]


def test_from_public_files_to_a_video(server: ComfyServer, short: Prompt, files: dict[str, Path]) -> None:
    offered = server.get(f"/object_info/{LOADER}")[LOADER]["input"]["required"]["model"]
    assert "sd-vae-ft-mse.safetensors" in str(offered)
    run = server.run(short)
    (path,) = run.shown(only(short, "PortraitTalkSaveVideo"), server.output)
    assert len(read_movie(path).frames) == FRAMES
    states = [event.data["nodes"].get(only(short, SAMPLER)) for event in run.events if event.type == "progress_state"]
    assert len({state["value"] for state in states if state and state["state"] == "running"}) >= 2 and run.previews
    plain = str(server.get("/object_info/PortraitTalkModelLoader"))
    assert "echomimic-acc-" in plain and "sd-vae-ft-mse" not in plain


def test_files_that_do_not_fit_are_refused(server: ComfyServer, short: Prompt, files: dict[str, Path]) -> None:
    public = files["vae"].parent
    (public / "torn.safetensors").write_bytes(files["vae"].read_bytes()[:-100])
    assert "torn.safetensors is damaged" in refused(server, changed(short, {LOADER: {"model.vae": "torn.safetensors"}}))
    (public / "code.pth").write_bytes(b"\x80\x04cos\nsystem\n.")
    assert "code.pth" in refused(server, changed(short, {LOADER: {"model.face_locator": "code.pth"}}))
    shutil.copy(files["vae"], public / "other.safetensors")  # tiny, where the full size is wanted
    assert "wrong shape" in refused(server, changed(short, {LOADER: {"model.vae": "other.safetensors"}}))
    other = catalogue().models["echomimic"].files["denoising_unet"].name
    shutil.copy(files["denoising_unet"], public / other)
    assert "not belong to echomimic-acc" in refused(server, changed(short, {LOADER: {"model.denoising_unet": other}}))
    assert "../vae.pth" in refused(server, changed(short, {LOADER: {"model.vae": "../vae.pth"}}))
    made = [path.name for path in public.parent.glob("echomimic-acc-*")]
    assert made == [converted_name("echomimic-acc", files)]


def put(server: ComfyServer, name: str, layout: Layout, paths: dict[str, Path]) -> dict[str, str]:
    """Public files of a tiny layout where the full-size ones belong, and the model that was made of them before.
    -> what the loader's widgets say."""
    models = server.base / "models" / "portraittalk"
    (models / "public").mkdir(exist_ok=True)
    known = catalogue().models[name].files
    places = {role: known[role].place(models) for role in paths}
    for role, path in paths.items():
        shutil.copy(path, places[role])
    convert(layout, places, models / converted_name(name, places))
    chosen = {f"model.{role}": known[role].name if role in paths else "none" for role in known}
    return {"model": name, **chosen}


def test_a_prompt_acts_on_a_video_of_stable_diffusion(server: ComfyServer, tmp_path: Path) -> None:
    layout = tiny(LAYOUTS["animatediff"])
    layout = replace(layout, config=replace(layout.config, steps=2))
    model = random_model(layout)
    paths = public_files(layout, model, tmp_path) | {"ip_adapter": tmp_path / "as-published.safetensors"}
    save_file(public_tensors(layout, model)["ip_adapter"], paths["ip_adapter"])
    chosen = put(server, "animatediff", layout, paths)
    write_vocabulary(server.base / "models" / "portraittalk" / "clip-tokenizer")
    prompt = changed(load_prompt(WITH_PROMPT, server.object_info), {"PortraitTalkLoadAudio": {"duration": FRAMES / 25}})
    gone = {key: None for key in prompt[only(prompt, LOADER)]["inputs"]}
    prompt = changed(prompt, {LOADER: gone | chosen})
    videos = []
    for words in ("an old woman", "a woman"):
        run = server.run(changed(prompt, {"PortraitTalkTextStyleCondition": {"prompt": words}}))
        (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
        videos.append(read_movie(path).frames.astype(int))
    assert len(videos[0]) == FRAMES
    assert abs(videos[0] - videos[1]).max() > 8  # of 255


def test_a_model_that_follows_poses(server: ComfyServer, aniportrait_checkpoint) -> None:
    chosen = put(server, "aniportrait", *aniportrait_checkpoint)
    prompt = changed(load_prompt(WITH_PROMPT, server.object_info), {"PortraitTalkLoadAudio": {"duration": FRAMES / 25}})
    gone = {key: None for key in prompt[only(prompt, LOADER)]["inputs"]}
    prompt = changed(prompt, {LOADER: gone | chosen, SAMPLER: {"style": None}})
    run = server.run(changed(prompt, {"PortraitTalkSpeechToMotion": {"style": None}}))
    (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    assert len(read_movie(path).frames) == FRAMES


def test_a_model_that_draws_from_keypoints(server: ComfyServer, tmp_path: Path) -> None:
    """The workflow as it is, with files pickled as they are published; a prompt's look acts on the portrait."""
    layout = replace(LAYOUTS["liveportrait"], config=tiny_liveportrait())
    paths = {}
    for role, state in published_files(build_networks(layout.config)).items():
        paths[role] = tmp_path / f"{role}.pth"
        torch.save(state, paths[role])
    put(server, "liveportrait", layout, paths)
    prompt = changed(load_prompt(KEYPOINTS, server.object_info), {"PortraitTalkLoadAudio": {"duration": FRAMES / 25}})
    videos = []
    for words in ("a pencil drawing", ""):
        run = server.run(changed(prompt, {"PortraitTalkTextStyleCondition": {"prompt": words}}))
        (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
        videos.append(read_movie(path).frames.astype(int))
    assert len(videos[0]) == FRAMES and run.previews
    assert abs(videos[0] - videos[1]).mean() > 8  # of 255
