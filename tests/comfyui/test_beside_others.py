"""Nodes of other packs beside ours, in a real ComfyUI.

    OTHER_PACKS=FOLDER pytest -m slow tests/comfyui/test_beside_others.py

FOLDER holds clones of ComfyUI-VideoHelperSuite and ComfyUI-KJNodes. What they need is installed for this Python, or in
a folder that PYTHONPATH names.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import Prompt, load_prompt, only

from portraittalk.motion.track import MotionTrack

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SPLINE = [{"x": 0, "y": 512}, {"x": 256, "y": 0}, {"x": 511, "y": 512}]  # up in the middle of the clip


@pytest.fixture(scope="module")
def server(comfyui_path: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    packs = os.environ.get("OTHER_PACKS")
    if packs is None:
        pytest.skip("OTHER_PACKS names no folder with other packs")
    base = tmp_path_factory.mktemp("beside")
    (base / "custom_nodes").mkdir()
    for pack in ("ComfyUI-VideoHelperSuite", "ComfyUI-KJNodes"):
        (base / "custom_nodes" / pack).symlink_to(Path(packs).resolve() / pack, target_is_directory=True)
    server = ComfyServer(comfyui_path, repository, base)
    yield server
    server.stop()


def basic(server: ComfyServer) -> Prompt:
    """The basic workflow on a second of speech."""
    prompt = load_prompt(ROOT / "example_workflows" / "basic.json", server.object_info)
    prompt[only(prompt, "PortraitTalkLoadAudio")]["inputs"]["duration"] = 1.0
    return prompt


def node(server: ComfyServer, kind: str, **inputs: Any) -> dict[str, Any]:
    """A node with the defaults of its widgets."""
    defaults = {}
    for name, (type_, *options) in server.object_info[kind]["input"]["required"].items():
        if options and "default" in options[0]:
            defaults[name] = options[0]["default"]
        elif isinstance(type_, list):
            defaults[name] = type_[0]
    return {"class_type": kind, "inputs": {**defaults, **inputs}}


def test_all_packs_load(server: ComfyServer) -> None:
    assert {"VHS_VideoCombine", "VHS_LoadVideo", "SplineEditor"} <= server.object_info.keys()
    assert "IMPORT FAILED" not in server.log


def test_our_frames_in_their_combine(server: ComfyServer) -> None:
    prompt = basic(server)
    sampler, sound = only(prompt, "PortraitTalkAnimateNetSampler"), only(prompt, "PortraitTalkLoadAudio")
    del prompt[only(prompt, "PortraitTalkSaveVideo")]
    prompt["100"] = node(
        server,
        "VHS_VideoCombine",
        images=[sampler, 0],
        frame_rate=[sampler, 2],
        audio=[sound, 0],
        format="video/h264-mp4",
        pix_fmt="yuv420p",
        crf=19,
        save_metadata=True,
        trim_to_audio=False,
        filename_prefix="combined",
    )
    run = server.run(prompt)
    (shown,) = run.outputs["100"]["gifs"]
    movie = read_movie(server.output / shown["subfolder"] / shown["filename"])
    assert movie.frames.shape == (25, 768, 768, 3) and movie.sound is not None
    assert abs(movie.frames.astype(float) - movie.frames[0]).mean(axis=(1, 2, 3)).max() > 0.5  # it moves


def test_their_video_drives_our_portrait(server: ComfyServer) -> None:
    prompt = basic(server)
    film = ROOT / "portraittalk" / "assets" / "demo" / "film.mp4"
    (server.input / "driver.mp4").write_bytes(film.read_bytes())
    prompt["100"] = node(
        server,
        "VHS_LoadVideo",
        video="driver.mp4",
        force_rate=25,
        custom_width=0,
        custom_height=0,
        frame_load_cap=25,
        skip_first_frames=0,
        select_every_nth=1,
    )
    prompt["101"] = node(server, "PortraitTalkVideoToMotion", frames=["100", 0], fps=25.0)
    prompt[only(prompt, "PortraitTalkAnimateNetSampler")]["inputs"]["motion"] = ["101", 0]
    run = server.run(prompt)
    (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    movie = read_movie(path)
    assert len(movie.frames) == 25
    assert abs(movie.frames.astype(float) - movie.frames[0]).mean(axis=(1, 2, 3)).max() > 0.5


def test_their_spline_turns_the_head(server: ComfyServer) -> None:
    prompt = basic(server)
    sampler = prompt[only(prompt, "PortraitTalkAnimateNetSampler")]["inputs"]
    prompt["100"] = node(
        server,
        "SplineEditor",
        points_store=json.dumps(SPLINE),
        coordinates=json.dumps(SPLINE),
        min_value=0.0,
        max_value=20.0,
    )
    prompt["101"] = node(server, "PortraitTalkSpeechToMotion", model=sampler["model"], audio=sampler["audio"], fps=25.0)
    prompt["102"] = node(
        server, "PortraitTalkEditMotion", motion=["101", 0], edits="{}", values=["100", 2], values_for="head_yaw"
    )
    prompt["103"] = node(server, "PortraitTalkSaveMotion", motion=["102", 0])
    run = server.run(prompt)
    (told,) = run.outputs["102"]["motion_curves"]
    assert told["seconds"] == pytest.approx(1.0, abs=0.05)
    (saved,) = server.output.rglob("*.json")
    yaw = MotionTrack.load(saved).rotation[:, 1].rad2deg()
    assert yaw.max() > 12 and max(yaw[0], yaw[-1]) < 8
