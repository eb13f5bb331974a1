"""The sampler's mode that hands on a file instead of frames."""

from pathlib import Path

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer, NodeError
from comfyui_harness.workflow import Prompt, changed, only

SAMPLER, COMBINE = "PortraitTalkAnimateNetSampler", "PortraitTalkSaveVideo"
SECONDS, FPS = 0.5, 12.0


def saved(server: ComfyServer, prompt: Prompt) -> Path:
    (path,) = server.run(prompt).shown(only(prompt, COMBINE), server.output)
    return path


@pytest.fixture(scope="module")
def short(basic: Prompt) -> Prompt:
    return changed(basic, {"PortraitTalkLoadAudio": {"duration": SECONDS}, SAMPLER: {"fps": FPS, "steps": 1}})


def source(prompt: Prompt, mode: str) -> dict[str, dict]:
    """Inputs that take the sampler's frames, with the sound beside them, or its video."""
    sampler, audio = only(prompt, SAMPLER), only(prompt, "PortraitTalkLoadAudio")
    frames = {"frames": [sampler, 0], "audio": [audio, 0]}
    video = {"video": [sampler, 1]}
    chosen, other = (frames, video) if mode == "frames" else (video, frames)
    return {COMBINE: {**dict.fromkeys(other), **chosen, "fps": [sampler, 2]}}


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_same_frames_as_a_video_and_as_images(server: ComfyServer, short: Prompt, kind: str) -> None:
    quality = {COMBINE: {"format": kind, "format.quality": 100}}
    whole = changed(changed(short, {SAMPLER: {"output": "frames"}, **source(short, "frames")}), quality)
    streamed = changed(changed(short, {SAMPLER: {"output": "video file"}, **source(short, "video")}), quality)
    of_images, of_video = read_movie(saved(server, whole)), read_movie(saved(server, streamed))
    assert of_images.frames.shape == of_video.frames.shape
    assert len(of_video.frames) == round(SECONDS * FPS) and of_video.fps == FPS
    difference = of_images.frames.astype(int) - of_video.frames
    assert abs(difference).mean() < 3  # the streamed file has been encoded once more
    assert of_video.sound is not None and abs(len(of_video.sound) / of_video.sample_rate - SECONDS) < 0.1


def test_frames_of_a_streamed_video_are_kept_for_nodes_that_take_them(server: ComfyServer, short: Prompt) -> None:
    whole, streamed = (
        changed(short, {SAMPLER: {"output": mode, "seed": 7}, **source(short, "frames")})
        for mode in ("frames", "video file")
    )
    assert (read_movie(saved(server, whole)).frames == read_movie(saved(server, streamed)).frames).all()


def test_frames_that_were_not_kept_are_refused_by_name(server: ComfyServer, short: Prompt) -> None:
    """The sampler's result is cached from a run in which nothing took its frames."""
    streamed = changed(short, {SAMPLER: {"output": "video file", "seed": 11}, **source(short, "video")})
    server.run(streamed)
    with pytest.raises(NodeError, match="set output to 'frames'"):
        server.run(changed(streamed, source(short, "frames")))


@pytest.mark.parametrize("kind", ["gif", "webp", "png sequence"])
def test_formats_without_sound(server: ComfyServer, short: Prompt, kind: str) -> None:
    prompt = changed(short, {SAMPLER: {"output": "frames"}, **source(short, "frames")})
    prompt = changed(prompt, {COMBINE: {"format": kind, "format.quality": 80 if kind == "webp" else None}})
    shown = server.run(prompt).shown(only(prompt, COMBINE), server.output)
    assert len(shown) == (round(SECONDS * FPS) if kind == "png sequence" else 1)
    assert all(path.stat().st_size > 1000 for path in shown)
