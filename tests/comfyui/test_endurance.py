"""Hundreds of prompts and of cancels in one server: it goes on, and holds no more than after the first ones.

By hand, since each takes half an hour; ``ENDURANCE`` is the share of it that is run, such as 0.3.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
from comfyui_harness.server import ComfyServer, Resources
from comfyui_harness.workflow import Prompt, changed, load_prompt, only

pytestmark = pytest.mark.slow

SHARE = float(os.environ.get("ENDURANCE", "1"))
PROMPTS, CANCELS = round(500 * SHARE), round(200 * SHARE)
SETTLED = 0.3  # of the prompts, after which memory must not grow: caches and arenas are full
LEEWAY = 40e6  # bytes by which the resident memory may differ
SAMPLER, SAVE, IDENTITY = "PortraitTalkAnimateNetSampler", "PortraitTalkSaveVideo", "PortraitTalkIdentityEncode"


@pytest.fixture(scope="module")
def busy(comfyui_path: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server of its own, which no other test has warmed up."""
    server = ComfyServer(comfyui_path, repository, tmp_path_factory.mktemp("busy"))
    yield server
    server.stop()


def small(server: ComfyServer, repository: Path, seconds: float, seed: int) -> Prompt:
    """The basic workflow on a small picture; another seed makes everything but the model and the person anew."""
    prompt = load_prompt(repository / "example_workflows" / "basic.json", server.object_info)
    return changed(
        prompt,
        {
            "PortraitTalkLoadAudio": {"duration": seconds},
            IDENTITY: {"max_side": 256 + seed % 3},
            "PortraitTalkSpeechToMotion": {"seed": seed},
            SAMPLER: {"seed": seed, "output": "video file" if seed % 2 else "frames"},
        },
    )


def test_prompts_in_a_row(busy: ComfyServer, repository: Path) -> None:
    held: list[Resources] = []
    for seed in range(PROMPTS):
        prompt = small(busy, repository, 0.2, seed)
        (video,) = busy.run(prompt).shown(only(prompt, SAVE), busy.output)
        assert video.stat().st_size > 1000
        held.append(busy.resources())
        if seed % 25 == 0:
            print(seed, held[-1], flush=True)
    no_more(held)


def test_cancels_at_random_moments(busy: ComfyServer, repository: Path) -> None:
    began = time.monotonic()
    busy.run(small(busy, repository, 2.0, 10_000))
    length = time.monotonic() - began
    moments, held, cancelled = random.Random(0), list[Resources](), 0
    for number in range(CANCELS):
        press = Timer(moments.uniform(0, length), busy.interrupt)
        began = time.monotonic()
        press.start()
        try:
            run = busy.run(small(busy, repository, 2.0, 10_001 + number))
            length = min(length, time.monotonic() - began) if run.ending.type == "execution_success" else length
        finally:
            press.join()
        assert run.ending.type in ("execution_interrupted", "execution_success")
        cancelled += run.ending.type == "execution_interrupted"
        held.append(busy.resources())
        if number % 10 == 0:
            print(number, cancelled, held[-1], flush=True)
    assert cancelled > CANCELS / 2  # some came before the run began or after it had ended
    no_more(held)
    assert busy.run(small(busy, repository, 0.2, 99_999)).ending.type == "execution_success"


def no_more(held: list[Resources]) -> None:
    """Compare what was held at the end with what was held when everything had been used once."""
    settled, last = held[round(SETTLED * len(held)) :], held[-max(len(held) // 10, 1) :]
    print(f"settled {settled[0]}, last {last[-1]}")
    assert min(one.memory for one in last) < min(one.memory for one in settled[: len(last)]) + LEEWAY
    assert min(one.handles for one in last) <= max(one.handles for one in settled[: len(last)])
    assert min(one.threads for one in last) <= max(one.threads for one in settled[: len(last)])
    assert last[-1].temporary <= settled[0].temporary + 1  # the video of the last run
