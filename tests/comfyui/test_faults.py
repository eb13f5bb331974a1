"""What goes wrong from outside while ComfyUI works: the queue goes on, a sentence says it, no unfinished file stays.

What input can be wrong from the beginning is in ``test_bad_input.py``.
"""

import math
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from comfyui_harness.server import ComfyServer, Event, NodeError
from comfyui_harness.workflow import Prompt, changed, load_prompt, only

pytestmark = pytest.mark.slow

MODEL, AUDIO, PORTRAIT = "PortraitTalkModelLoader", "PortraitTalkLoadAudio", "PortraitTalkLoadPortrait"
IDENTITY, MOTION = "PortraitTalkIdentityEncode", "PortraitTalkSpeechToMotion"
SAMPLER, SAVE = "PortraitTalkAnimateNetSampler", "PortraitTalkSaveVideo"
LONGEST = 300  # characters of a sentence
WORKFLOWS = ("basic", "conversation", "core_nodes", "prompt", "upscale")  # those that need no files of others


def short(basic: Prompt, seed: int, seconds: float = 0.2, **sampler: Any) -> Prompt:
    """The basic workflow on a small picture."""
    return changed(
        basic,
        {
            AUDIO: {"duration": seconds},
            IDENTITY: {"max_side": 256},
            MOTION: {"seed": seed},
            SAMPLER: {"seed": seed, "output": "video file", **sampler},
        },
    )


def video_of(server: ComfyServer, prompt: Prompt) -> Path:
    (path,) = server.run(prompt).shown(only(prompt, SAVE), server.output)
    return path


def unfinished(server: ComfyServer) -> list[Path]:
    return [path for path in server.base.rglob("*.part") if "custom_nodes" not in path.parts]


def refused(server: ComfyServer, prompt: Prompt, *words: str) -> None:
    """The prompt ends with one sentence that has these words."""
    with pytest.raises(NodeError) as error:
        server.run(prompt)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert len(sentence) < LONGEST and "\n" not in sentence and "Traceback" not in sentence, sentence


def test_of_two_queued_prompts_the_second_runs_when_the_first_is_cancelled(server: ComfyServer, basic: Prompt) -> None:
    first, second = short(basic, 1, 4.0), short(basic, 2)

    def cancel(event: Event) -> None:
        if event.type == "progress_state":
            waiting.append(pool.submit(server.run, second))
            server.interrupt()

    waiting: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        assert server.run(first, lambda event: waiting or cancel(event)).ending.type == "execution_interrupted"
        run = waiting[0].result()
    assert run.shown(only(second, SAVE), server.output)[0].stat().st_size > 1000 and not unfinished(server)


@pytest.fixture
def own_model(server: ComfyServer, repository: Path) -> Iterator[Path]:
    path = server.base / "models/portraittalk/own.safetensors"
    shutil.copy(repository / "portraittalk/assets/mini.safetensors", path)
    yield path
    path.unlink(missing_ok=True)


def queued_behind(server: ComfyServer, first: Prompt, second: Prompt, meanwhile: Any) -> Any:
    """Queue two prompts; ``meanwhile()`` is called when the second is accepted and the first one works."""
    waiting: list[Any] = []

    def watch(event: Event) -> None:
        if event.type == "progress_state" and not waiting:
            waiting.append(pool.submit(server.run, second))
            while len(server.get("/queue")["queue_pending"]) < 1 and not waiting[0].done():
                pass
            meanwhile()

    with ThreadPoolExecutor(1) as pool:
        server.run(first, watch)
        return waiting[0].result()


def test_a_model_that_vanishes_while_its_prompt_waits(server: ComfyServer, basic: Prompt, own_model: Path) -> None:
    own = changed(short(basic, 4), {MODEL: {"model": own_model.name}})
    with pytest.raises(NodeError, match=own_model.name) as error:
        queued_behind(server, short(basic, 3, 1.0), own, own_model.unlink)
    assert len(str(error.value)) < LONGEST and error.value.node_type == MODEL
    assert video_of(server, short(basic, 5)).exists()


def test_a_model_that_changes_while_its_prompt_waits(server: ComfyServer, basic: Prompt, own_model: Path) -> None:
    own = changed(short(basic, 6), {MODEL: {"model": own_model.name}})
    assert video_of(server, own).exists()
    with pytest.raises(NodeError, match=own_model.name):
        queued_behind(server, short(basic, 7, 1.0), own, lambda: own_model.write_bytes(b"\xff" * 4096))
    assert video_of(server, short(basic, 8)).exists()


def test_a_model_that_is_overwritten_while_it_is_loaded(
    server: ComfyServer, basic: Prompt, own_model: Path, repository: Path
) -> None:
    """Weights must not lie in a mapping of the file: reading beyond its new end would end the whole server."""
    own = changed(short(basic, 9), {MODEL: {"model": own_model.name}})
    assert video_of(server, own).exists()
    cut = own_model.read_bytes()[:4096]
    first = changed(short(basic, 10, 2.0), {MODEL: {"model": own_model.name}})

    def overwrite(event: Event) -> None:
        if event.type == "progress_state":
            own_model.write_bytes(cut)

    assert server.run(first, overwrite).ending.type == "execution_success"
    assert video_of(server, short(basic, 11)).exists()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["temp", "output"])
def test_a_disk_that_fills_up_while_a_video_is_written(server: ComfyServer, basic: Prompt, name: str) -> None:
    (server.output / "video").mkdir(exist_ok=True)
    with small_disk(server.base / name, "2m"):
        filler = server.base / name / "filler"

        def fill(event: Event) -> None:
            if event.type == "progress_state" and not filler.exists():
                filler.write_bytes(bytes(2 * 2**20 - 16 * 2**10 - 4096))

        prompt = short(basic, 12, 3.0)
        with pytest.raises(NodeError, match=r"disk is full|free on its disk") as error:
            server.run(prompt, fill)
        assert len(str(error.value)) < LONGEST and not unfinished(server)
        filler.unlink()
        assert video_of(server, short(basic, 13)).exists()


NUMBERS = [math.nan, math.inf, -math.inf, 1e308, -1.0, 2**63, -(2**70)]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_number_of_a_workflow(server: ComfyServer, repository: Path, name: str) -> None:
    """Nothing but a sentence, or a video where the value does no harm; the server lives."""
    workflow = load_prompt(repository / "example_workflows" / f"{name}.json", server.object_info)
    if name != "prompt":
        workflow = changed(workflow, {AUDIO: {"duration": 0.2}}) if has_one(workflow, AUDIO) else workflow
    tried = 0
    for key, node in workflow.items():
        if not node["class_type"].startswith("PortraitTalk"):
            continue
        for field, value in node["inputs"].items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            for number in NUMBERS:
                prompt = {**workflow, key: {**node, "inputs": {**node["inputs"], field: number}}}
                told = outcome(server, prompt)
                tried += 1
                print(f"{node['class_type']}.{field} = {number}: {told}", flush=True)
                assert len(told) < LONGEST and "\n" not in told and "Traceback" not in told
                assert "Error" not in told.split(":")[0], f"{node['class_type']}.{field} = {number}: {told}"
    assert tried and not unfinished(server)


def has_one(prompt: Prompt, class_type: str) -> bool:
    return sum(node["class_type"] == class_type for node in prompt.values()) == 1


def outcome(server: ComfyServer, prompt: Prompt) -> str:
    try:
        server.run(prompt)
    except NodeError as error:
        return str(error)
    return ""


TEXTS = {
    "up": "../../server.log",
    "absolute": "/etc/passwd",
    "device": "/dev/zero",
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "link out": "link_out",
    "link to itself": "link_loop",
    "windows": "C:\\Windows\\win.ini",
    "annotated": "../server.log [output]",
    "10 MB": "x" * 10_000_000,
    "10 MB of brackets": "(" * 10_000_000,
    "10 MB of commas": "smile, " * 1_400_000,
}


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_of_a_workflow(server: ComfyServer, basic: Prompt, text: str) -> None:
    for folder in (server.input, server.output):
        for name, target in (("link_out", server.log_path), ("link_loop", folder / "link_loop")):
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(target)
    style = {"prompt": "", "negative_prompt": "", "text_scale": 1.0, "guidance_scale": 1.0}
    style_node = {"class_type": "PortraitTalkTextStyleCondition", "inputs": {"model": [only(basic, MODEL), 0], **style}}
    workflow = changed({**short(basic, 14), "style": style_node}, {SAMPLER: {"style": ["style", 0]}})
    before = {path: path.stat().st_mtime_ns for path in (server.log_path.parent).glob("*") if path.is_file()}
    for key, node in workflow.items():
        for field, value in node["inputs"].items():
            if not isinstance(value, str):
                continue
            told = outcome(server, {**workflow, key: {**node, "inputs": {**node["inputs"], field: TEXTS[text]}}})
            print(f"{node['class_type']}.{field}: {told[:200]!r}", flush=True)
            assert "Traceback" not in told and "\n" not in told and len(told) < 2 * LONGEST
    assert not unfinished(server) and set(before) == {p for p in server.log_path.parent.glob("*") if p.is_file()}
    assert video_of(server, short(basic, 15)).exists()
