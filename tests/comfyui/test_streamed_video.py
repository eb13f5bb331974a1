"""The sampler's mode that hands on a file instead of frames."""

from pathlib import Path

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer, NodeError
from comfyui_harness.workflow import Prompt, changed, only

SAMPLER, COMBINE = "PortraitTalkAnimateNetSampler", "PortraitTalkVideoCombine"
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
    frames = {"source.frames": [sampler, 0], "source.fps": [sampler, 2], "source.audio": [audio, 0]}
    video = {"source.video": [sampler, 1]}
    chosen, other = (frames, video) if mode == "frames" else (video, frames)
    return {COMBINE: {**dict.fromkeys(other), **chosen, "source": mode}}


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


def test_frames_of_a_streamed_video_are_refused_by_name(server: ComfyServer, short: Prompt) -> None:
    prompt = changed(short, {SAMPLER: {"output": "video file"}, **source(short, "frames")})
    with pytest.raises(NodeError, match="video file"):
        server.run(prompt)


@pytest.mark.parametrize("kind", ["gif", "webp", "png sequence"])
def test_formats_without_sound(server: ComfyServer, short: Prompt, kind: str) -> None:
    prompt = changed(short, {SAMPLER: {"output": "frames"}, **source(short, "frames")})
    prompt = changed(prompt, {COMBINE: {"format": kind, "format.quality": 80 if kind == "webp" else None}})
    shown = server.run(prompt).shown(only(prompt, COMBINE), server.output)
    assert len(shown) == (round(SECONDS * FPS) if kind == "png sequence" else 1)
    assert all(path.stat().st_size > 1000 for path in shown)
