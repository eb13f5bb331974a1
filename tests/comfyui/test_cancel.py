"""Cancel, in every stage that takes time: it ends within a second, and nothing half-made stays."""

import time
from pathlib import Path

import pytest
from comfyui_harness.server import ComfyServer, Event
from comfyui_harness.workflow import Prompt, changed, only

SECONDS = 1.0
REPEATED = "repeated"
seeds = iter(range(1000, 2000))  # the server keeps what it has made: another seed makes it work again


def long_speech(basic: Prompt) -> Prompt:
    return changed(basic, {"PortraitTalkLoadAudio": {"duration": 0.0}})


def short_speech(basic: Prompt) -> Prompt:
    return changed(basic, {"PortraitTalkLoadAudio": {"duration": 0.2}})


def many_frames_to_save(basic: Prompt) -> Prompt:
    prompt = changed(short_speech(basic), {"PortraitTalkAnimateNetSampler": {"output": "frames"}})
    sampler = only(prompt, "PortraitTalkAnimateNetSampler")
    prompt[REPEATED] = {"class_type": "RepeatImageBatch", "inputs": {"image": [sampler, 0], "amount": 50}}
    saved = {"frames": [REPEATED, 0], "fps": 25.0, "video": None, "format": "webm", "format.quality": 80}
    return changed(prompt, {"PortraitTalkSaveVideo": saved})


def many_crops_to_paste(basic: Prompt) -> Prompt:
    prompt = changed(many_frames_to_save(basic), {"PortraitTalkAnimateNetSampler": {"output": "crops"}})
    sampler = only(prompt, "PortraitTalkAnimateNetSampler")
    crops = {"crops": [REPEATED, 0], "crop_data": [sampler, 3], "scale": 2.0}
    prompt["paste"] = {"class_type": "PortraitTalkPasteBack", "inputs": crops}
    return changed(prompt, {"PortraitTalkSaveVideo": {"frames": ["paste", 0]}})


def video_streamed(basic: Prompt) -> Prompt:
    return changed(long_speech(basic), {"PortraitTalkAnimateNetSampler": {"output": "video file"}})


def frames_in_memory(basic: Prompt) -> Prompt:
    return changed(long_speech(basic), {"PortraitTalkAnimateNetSampler": {"output": "frames"}})


@pytest.fixture(scope="module", autouse=True)
def everything_loaded(server: ComfyServer, basic: Prompt) -> None:
    """The first run of all imports and reads the weights, which nothing can interrupt."""
    server.run(short_speech(basic))


@pytest.mark.parametrize(
    ("stage", "prepare"),
    [
        ("PortraitTalkIdentityEncode", long_speech),
        ("PortraitTalkSpeechToMotion", long_speech),
        ("PortraitTalkAnimateNetSampler", frames_in_memory),
        ("PortraitTalkAnimateNetSampler", video_streamed),
        ("PortraitTalkPasteBack", many_crops_to_paste),
        ("PortraitTalkSaveVideo", many_frames_to_save),
    ],
)
def test_cancel(server: ComfyServer, basic: Prompt, stage: str, prepare) -> None:
    seed = next(seeds)
    prompt = changed(
        prepare(basic),
        {
            "PortraitTalkIdentityEncode": {"max_side": seed},
            "PortraitTalkSpeechToMotion": {"seed": seed},
            "PortraitTalkAnimateNetSampler": {"seed": seed},
        },
    )
    before = server.files()
    pressed: list[tuple[float, float]] = []

    def press_cancel(event: Event) -> None:
        if event.type == "executing" and event.data["node"] == only(prompt, stage):
            time.sleep(0.3)  # into the work
            pressed.append((time.monotonic(), server.seconds_computed()))
            server.interrupt()

    run = server.run(prompt, press_cancel)
    assert run.ending.type == "execution_interrupted"
    ((at, computed),) = pressed
    # By the clock, or in what the server itself computed where the machine is busy with other things.
    assert min(run.ending.at - at, server.seconds_computed() - computed) < SECONDS
    assert [path for path in server.files() - before if not is_preview(path)] == []


def is_preview(path: Path) -> bool:
    """The portrait with the face marked, and the demo portrait: shown by nodes that had ended."""
    return path.parent.name == "temp" and path.suffix == ".png"


def test_after_cancel_the_next_run_works(server: ComfyServer, basic: Prompt) -> None:
    prompt = changed(short_speech(basic), {"PortraitTalkAnimateNetSampler": {"seed": next(seeds)}})
    run = server.run(prompt)
    (path,) = run.shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    assert path.stat().st_size > 1000
