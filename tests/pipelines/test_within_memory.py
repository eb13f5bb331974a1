"""Memory that runs out: half as many frames at a time once, then a sentence."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from portraittalk.errors import SettingsError
from portraittalk.memory.shortage import is_shortage
from portraittalk.pipelines.base import Checkpoint
from portraittalk.pipelines.within_memory import animate_within_memory, halved
from portraittalk.types import SamplingSettings

SETTINGS = SamplingSettings(window=8, overlap=4, chunk=4)


class Limited:
    """A pipeline whose memory holds windows of ``most`` frames, and after ``good`` chunks none any more."""

    def __init__(self, most, good=99, error=None):
        self.most, self.good, self.runs = most, good, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")

    def animate(self, identity, speech, style, motion, settings, output, progress, checkpoint):
        self.runs.append((settings, checkpoint))
        for number in range(4):
            if settings.window > self.most or number >= self.good:
                raise self.error
            yield torch.full((settings.chunk, 3, 2, 2), float(number))


def frames(pipeline, settings=SETTINGS, **changes):
    return list(animate_within_memory(pipeline, None, None, settings=settings, **changes))


def test_enough_memory_changes_nothing():
    pipeline = Limited(8)
    assert len(frames(pipeline)) == 4 and [run[0] for run in pipeline.runs] == [SETTINGS]


def test_half_as_many_frames_are_tried_once(caplog):
    pipeline = Limited(4)
    chunks = frames(pipeline)
    assert [len(chunk) for chunk in chunks] == [2] * 4 and [run[0].window for run in pipeline.runs] == [8, 4]
    assert "beginning again with windows of 4 frames" in caplog.text
    with pytest.raises(SettingsError, match="memory was not enough for windows of 4 frames, 2 of them in a piece"):
        frames(pipeline := Limited(3))
    assert len(pipeline.runs) == 2


@pytest.mark.parametrize("good, start", [(2, 0), (0, 48)])
def test_frames_that_are_there_are_not_made_in_other_windows(good, start):
    pipeline = Limited(8, good)
    with pytest.raises(SettingsError, match="memory was not enough for windows of 8"):
        frames(pipeline, checkpoint=Checkpoint(start))
    assert len(pipeline.runs) == 1


def test_a_run_that_began_again_is_not_taken_up():
    pipeline = Limited(4)
    frames(pipeline, checkpoint=Checkpoint(save=lambda frames, latents: pytest.fail("saved")))
    assert pipeline.runs[1][1] == Checkpoint()


def test_other_errors_pass():
    error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="multiplied"):
        frames(Limited(1, error=error))


def test_one_frame_at_a_time_cannot_be_halved():
    smallest = SamplingSettings(window=1, overlap=0, chunk=1)
    assert halved(smallest) == smallest
    for window in range(1, 9):
        half = halved(replace(SETTINGS, window=window, overlap=window - 1))
        assert 0 <= half.overlap < half.window
    with pytest.raises(SettingsError):
        frames(Limited(0), smallest)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_what_torch_raises_without_memory_is_known():
    script = """
import resource, torch
torch.zeros(1)
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
try:
    torch.empty(1 << 33, dtype=torch.uint8)
except RuntimeError as error:
    print(type(error).__name__, error)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert re.match("RuntimeError", told) and is_shortage(RuntimeError(told)) and is_shortage(MemoryError())
    assert not is_shortage(RuntimeError("something else")) and not is_shortage(ValueError("not enough memory"))
