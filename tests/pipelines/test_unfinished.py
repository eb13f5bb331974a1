"""A run that ended at any moment is taken up, and its video is bit for bit that of a run that went through."""

import logging
import os
import shutil
import tracemalloc
from dataclasses import replace

import pytest
import torch

from portraittalk.errors import OutputError
from portraittalk.media.audio import Audio
from portraittalk.media.video import write_video
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines import unfinished
from portraittalk.pipelines.talk import talk
from portraittalk.pipelines.unfinished import Unfinished, digest
from portraittalk.types import SamplingSettings

FRAMES, FPS = 14, 25.0
SOUND = Audio(0.3 * torch.sin(900 * torch.arange(16000 * FRAMES // 25) / 16000)[None], 16000)
SETTINGS = SamplingSettings(window=6, overlap=2, chunk=2, seed=2)


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(unfinished, "PIECE_FRAMES", 4)


@pytest.fixture(scope="module")
def identity(tiny_model, small_portrait, small_face):
    return tiny_model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture
def make(tiny_model, identity):
    """make(out, settings, progress, ...) -> the frames that were computed; writes the video ``out``."""

    def make(out, settings=SETTINGS, progress=lambda progress: None, model=tiny_model, person=identity, **changes):
        kept = Unfinished.beside(out)
        options = {"output": "crop"} | changes
        frames = talk(model, person, SOUND, settings=settings, progress=progress, unfinished=kept, **options)
        assert len(frames) == FRAMES
        write_video(frames, out, frames.fps, SOUND, pieces=kept.pieces)
        kept.remove()
        return FRAMES - kept.frames

    return make


def moments(make, out, **options):
    """The folder as it is on the disk at every step of a run, which is what a killed process leaves."""
    copies = []

    def keep(progress):
        if progress.stage == "animate":
            copies.append(out.with_name(f"copy {len(copies)}"))
            shutil.copytree(f"{out}.unfinished", copies[-1])

    make(out, progress=keep, **options)
    return copies


@pytest.mark.parametrize(("window", "overlap"), [(6, 2), (6, 0), (7, 5)])
def test_a_run_killed_at_any_moment_ends_with_the_same_file(make, tmp_path, window, overlap):
    settings = replace(SETTINGS, window=window, overlap=overlap)
    whole, out = tmp_path / "whole.mp4", tmp_path / "a.mp4"
    computed = set()
    copies = moments(make, whole, settings=settings)
    for copy in [copies[round(part * (len(copies) - 1) / 4)] for part in range(5)]:
        copy.rename(f"{out}.unfinished")
        computed.add(make(out, settings))
        assert out.read_bytes() == whole.read_bytes()
        assert not os.path.exists(f"{out}.unfinished")
    assert max(computed) == FRAMES
    assert min(computed) <= FRAMES - 4  # a piece and more is not computed again


def test_a_clip_that_is_sampled_at_once_is_not_sampled_again(make, golden_echomimic, small_portrait, tmp_path):
    person = golden_echomimic.encode_identity([small_portrait])
    options = dict(model=golden_echomimic, person=person, settings=replace(SETTINGS, steps=1))
    whole, out = tmp_path / "whole.mp4", tmp_path / "a.mp4"
    copies = moments(make, whole, **options)
    first, last = copies[0], copies[-1]
    steps = []
    for copy, computed in ((first, FRAMES), (last, 2)):
        copy.rename(f"{out}.unfinished")
        reports = []
        assert make(out, progress=reports.append, **options) == computed
        assert out.read_bytes() == whole.read_bytes()
        steps.append([report.done for report in reports if report.stage == "animate"])
    assert len(steps[0]) > 4 * len(steps[1]) and steps[0][-1] == steps[1][-1] == steps[0][0] + len(steps[0]) - 1


def test_other_inputs_start_anew_and_say_so(make, tmp_path, identity, small_portrait, caplog):
    out, whole = tmp_path / "a.mp4", tmp_path / "whole.mp4"
    copy = moments(make, whole)[-1]
    still = MotionTrack.of_expression(torch.zeros(FRAMES, 52), FPS)
    brighter = replace(identity, portrait=(identity.portrait * 1.01).clamp(0, 1))
    for changes in (
        {"settings": replace(SETTINGS, seed=3)},
        {"prompt": "a smile"},
        {"motion": still},
        {"person": brighter},
        {"output": "full"},
    ):
        shutil.copytree(copy, f"{out}.unfinished")
        caplog.clear()
        assert make(out, **changes) == FRAMES, changes
        assert "starts anew" in caplog.text
    shutil.copytree(copy, f"{out}.unfinished")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert make(out) < FRAMES
    assert "starts anew" not in caplog.text and "goes on after" in caplog.text


def test_foreign_files_are_not_touched(make, tmp_path):
    out = tmp_path / "a.mp4"
    folder = tmp_path / "a.mp4.unfinished"
    folder.mkdir()
    (folder / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds holiday\.mp4"):
        make(out)
    assert os.listdir(folder) == ["holiday.mp4"] and not out.exists()


def test_a_digest_tells_values_of_every_kind_apart():
    values = [
        torch.zeros(2),
        torch.zeros(2, 1),
        torch.zeros(2, dtype=torch.float16),
        torch.tensor([0.0, 1e-8]),
        torch.zeros(0, 3),
        torch.tensor(True),
        {"a": 1},
        {"b": 1},
        [1, 2],
        [12],
        "1",
        1,
        1.0,
        None,
        SETTINGS,
        replace(SETTINGS, seed=5),
    ]
    digests = [digest(value) for value in values]
    assert len(set(digests)) == len(values) and digests == [digest(value) for value in values]


def test_a_digest_of_features_that_share_their_memory_copies_little():
    features = torch.randn(40_000, 80).unfold(0, 20, 2).transpose(1, 2)  # 64 MB as a copy
    tracemalloc.start()
    try:
        found = digest(features)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6 and found == digest(features.contiguous())
