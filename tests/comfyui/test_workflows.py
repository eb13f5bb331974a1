"""Every example workflow, run as it lies there; what matters is the file that comes out.

Those that read the demo film are in test_films.py.
"""

import json
import shutil
import wave
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
from comfyui_harness.movie import Movie, delay, read_movie
from comfyui_harness.server import ComfyServer, Run
from comfyui_harness.workflow import Prompt, load_prompt, only
from PIL import Image
from torch import Tensor

from portraittalk.media.audio import frame_count, read_audio
from portraittalk.media.resample import resample
from portraittalk.types import Face

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "portraittalk" / "assets" / "demo"
PUBLIC = {"animatediff", "echomimic", "liveportrait"}  # these need files that are not here: see test_public_weights.py
FILMS = {"driving_video", "dubbing", "references"}
WITH_OWN_TESTS = {"conversation", "evaluate", "identity_edit", "long_speech"}
ALL = {path.stem for path in (ROOT / "example_workflows").glob("*.json")}
WORKFLOWS = sorted(ALL - PUBLIC - FILMS - WITH_OWN_TESTS)
SAVERS = ("PortraitTalkSaveVideo", "SaveVideo")
OLD = sorted((ROOT / "tests" / "comfyui" / "old_workflows").glob("*.json"))
SECONDS = 0.8  # of the demo speech, whose whole length `make demo` renders
MOUTH = (61, 291, 0, 17)  # corners of the lips, top and bottom, among the 478 landmarks


def write_beginning(source: Path, path: Path, seconds: float) -> None:
    """The first seconds of a wav file, sample by sample."""
    with wave.open(str(source), "rb") as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(round(seconds * whole.getframerate())))


@pytest.fixture(scope="module", params=WORKFLOWS)
def example(request: pytest.FixtureRequest, server: ComfyServer) -> tuple[Prompt, Run, Path]:
    """A workflow's prompt, its run on the first seconds of the demo speech, and the file that it saved."""
    prompt = load_prompt(ROOT / "example_workflows" / f"{request.param}.json", server.object_info)
    for node in prompt.values():
        if node["class_type"] == "PortraitTalkLoadAudio":
            node["inputs"]["duration"] = SECONDS
    run = server.run(prompt)
    (saver,) = (key for key, node in prompt.items() if node["class_type"] in SAVERS)
    (path,) = run.shown(saver, server.output)
    return prompt, run, path


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_workflows_of_former_versions_still_run(server: ComfyServer, path: Path) -> None:
    """As they lay in the repository then: other names of files, nodes and modes."""
    prompt = load_prompt(path, server.object_info)
    prompt[only(prompt, "PortraitTalkLoadAudio")]["inputs"]["duration"] = 0.3
    run = server.run(prompt)
    (file,) = run.shown(only(prompt, "PortraitTalkVideoCombine"), server.output)
    movie = read_movie(file)
    assert len(movie.frames) == 8 and movie.sound is not None


def test_two_people_talk_one_after_the_other(server: ComfyServer) -> None:
    prompt = load_prompt(ROOT / "example_workflows" / "conversation.json", server.object_info)
    Image.open(DEMO / "portrait.jpg").resize((384, 384)).save(server.input / "small.png")
    for node in prompt.values():
        if node["class_type"] == "PortraitTalkLoadPortrait":
            node["inputs"]["image"] = "small.png"
        elif node["class_type"] == "PortraitTalkLoadAudio":
            node["inputs"]["duration"] = 0.6
    run = server.run(prompt)
    (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    movie = read_movie(path)
    assert movie.frames.shape[:3] == (round(25 * (0.6 + 0.3 + 0.6)), 384, 768)
    mouth = movie.frames.std(0, dtype=np.float32).mean(-1)
    assert mouth[:, :384].max() > 8 and mouth[:, 384:].max() > 8
    assert movie.sound is not None and run.previews >= 3


def test_a_report_stands_on_the_node(server: ComfyServer) -> None:
    prompt = load_prompt(ROOT / "example_workflows" / "evaluate.json", server.object_info)
    prompt[only(prompt, "PortraitTalkLoadAudio")]["inputs"]["duration"] = 1.2
    run = server.run(prompt)
    (report,) = run.outputs[only(prompt, "PortraitTalkEvaluate")]["text"]
    assert report.startswith("ADFD 0.") and "in 100 % of the frames" in report
    (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    assert len(read_movie(path).frames) == 30


def test_a_speech_that_is_joined_from_parts(server: ComfyServer) -> None:
    prompt = load_prompt(ROOT / "example_workflows" / "long_speech.json", server.object_info)
    prompt[only(prompt, "PortraitTalkLoadAudio")]["inputs"]["duration"] = 0.4
    (path,) = server.run(prompt).shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    movie = read_movie(path)
    assert len(movie.frames) == 4 * 10 and movie.sound is not None
    quarters = np.split(movie.sound[: len(movie.sound) // 4 * 4], 4)
    assert abs(len(movie.sound) / movie.sample_rate - 1.6) < 0.1 and all(part.std() > 0.01 for part in quarters)


def test_identity_edit_asks_for_the_files_of_others_and_for_nothing_else(server: ComfyServer) -> None:
    """What it does with them is tested in tests/nodes/test_edit.py, with core's own classes at a small size."""
    prompt = load_prompt(ROOT / "example_workflows" / "identity_edit.json", server.object_info)
    with pytest.raises(HTTPError) as refusal:
        server.post("/prompt", {"prompt": prompt, "client_id": "test"})
    asked = {
        (problem["class_type"], error["extra_info"]["input_name"], error["type"])
        for problem in json.load(refusal.value)["node_errors"].values()
        for error in problem["errors"]
    }
    assert asked == {
        ("CheckpointLoaderSimple", "ckpt_name", "value_not_in_list"),
        ("CLIPVisionLoader", "clip_name", "value_not_in_list"),
        ("PortraitTalkIdentityEdit", "ip_adapter", "value_not_in_list"),
    }


def test_core_loaders_work_in_place_of_ours(server: ComfyServer) -> None:
    prompt = load_prompt(ROOT / "example_workflows" / "core_nodes.json", server.object_info)
    shutil.copy(DEMO / "portrait.jpg", server.input / "portrait.jpg")
    write_beginning(DEMO / "speech.wav", server.input / "speech.wav", 0.4)
    prompt[only(prompt, "PortraitTalkLoadPortrait")] = {"class_type": "LoadImage", "inputs": {"image": "portrait.jpg"}}
    prompt[only(prompt, "PortraitTalkLoadAudio")] = {"class_type": "LoadAudio", "inputs": {"audio": "speech.wav"}}
    (path,) = server.run(prompt).shown(only(prompt, "SaveVideo"), server.output)
    movie = read_movie(path)
    assert len(movie.frames) == 10 and movie.sound is not None


@pytest.fixture(scope="module")
def movie(example: tuple[Prompt, Run, Path]) -> Movie:
    return read_movie(example[2])


def test_workflows_have_thumbnails() -> None:
    assert {"basic", "prompt", "upscale", "core_nodes"} <= set(WORKFLOWS) and PUBLIC | FILMS | WITH_OWN_TESTS <= ALL
    for name in ALL:
        with Image.open(ROOT / "example_workflows" / f"{name}.jpg") as thumbnail:
            assert min(thumbnail.size) >= 128


def test_frames_follow_from_the_sound_alone(movie: Movie) -> None:
    speech = read_audio(DEMO / "speech.wav", duration=SECONDS)
    assert len(movie.frames) == frame_count(speech.samples, speech.sample_rate, float(movie.fps))


def test_sound_is_the_speech_and_in_step(movie: Movie) -> None:
    speech = read_audio(DEMO / "speech.wav", duration=SECONDS)
    original = resample(speech.mono()[None], speech.sample_rate, movie.sample_rate)[0].numpy()
    assert abs(delay(movie.sound, original, movie.sample_rate) + movie.sound_start - movie.picture_start) < 0.005
    length = min(len(original), len(movie.sound))
    assert np.corrcoef(movie.sound[:length], original[:length])[0, 1] > 0.95


def test_whole_picture_comes_out(movie: Movie, portrait: Tensor) -> None:
    _, height, width = portrait.shape
    frame_height, frame_width = movie.frames.shape[1:3]
    assert frame_height >= height - 1 and abs(frame_width / frame_height - width / height) < 0.01


def test_the_mouth_moves_and_the_background_does_not(movie: Movie, portrait: Tensor, portrait_face: Face) -> None:
    scale = movie.frames.shape[1] / portrait.shape[1]
    lips = portrait_face.landmarks[list(MOUTH), :2] * scale
    (left, top), (right, bottom) = lips.amin(0).int().tolist(), lips.amax(0).int().tolist()
    motion = movie.frames[::2].std(0, dtype=np.float32).mean(-1)  # over time, in levels of 255
    corner = movie.frames.shape[1] // 10
    assert motion[top:bottom, left:right].mean() > 4
    assert motion[:corner, :corner].mean() < 1 and motion[:corner, -corner:].mean() < 1


def test_file_says_that_it_was_generated(example: tuple[Prompt, Run, Path], movie: Movie) -> None:
    if not any(node["class_type"] == "PortraitTalkSaveVideo" for node in example[0].values()):
        assert movie.comment == ""  # core's Save Video knows nothing of ours
        return
    assert "generated by portraittalk" in movie.comment.lower()


def test_progress_shows_pictures_while_it_works(example: tuple[Prompt, Run, Path]) -> None:
    prompt, run, _ = example
    sampler = only(prompt, "PortraitTalkAnimateNetSampler")
    states = [event.data["nodes"].get(sampler) for event in run.events if event.type == "progress_state"]
    done = {state["value"] for state in states if state and state["state"] == "running"}
    assert len(done) >= 3 and run.previews >= 3
