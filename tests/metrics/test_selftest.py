"""The self-test, of what ships and of a tiny random checkpoint that cannot draw faces."""

import json
import shutil

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.metrics import selftest as selftests
from portraittalk.weights.public import convert


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory):
    """A folder as that of the demo, whose portrait is smaller: faces are looked for in all frames, and longest
    where there is none."""
    folder = tmp_path_factory.mktemp("demo")
    with Image.open(selftests.DEMO / "portrait.jpg") as portrait:
        portrait.resize((288, 288)).save(folder / "portrait.jpg", quality=95)
    shutil.copy(selftests.DEMO / "speech.wav", folder)
    return folder


@pytest.fixture(autouse=True)
def smaller(small_demo, monkeypatch):
    monkeypatch.setattr(selftests, "DEMO", small_demo)


@pytest.fixture
def run(tmp_path):
    """run(*arguments) -> (what was printed, the report); errors are raised."""

    def call(*arguments):
        out = tmp_path / "out"
        arguments = ["weights", "selftest", *map(str, arguments), "--out-dir", str(out), "--device", "cpu"]
        result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert (out / "clip.mp4").stat().st_size > 1000
        columns = selftests.COLUMNS + 1
        assert Image.open(out / "sheet.png").size == (columns * selftests.TILE, 2 * selftests.TILE)
        return result.output, json.loads((out / "report.json").read_text())

    return call


def test_mini_passes(run):
    told, report = run("mini", "--seconds", 1.6)
    assert "sheet.png" in told and "lip correlation" in told
    assert report["frames"] == 40 and report["finite"] and report["faces_found"] == 1
    assert report["lip_correlation_best"] > 0.4 and abs(report["lip_lag_ms"]) <= 120
    assert report["identity_cosine"] > 0.8 and report["outside_psnr"] > 30 and 0 < report["adfd"] <= 1
    assert 0 < report["seconds_per_frame"] < 10 and report["peak_memory_mb"] > 100


def test_networks_that_draw_no_face_are_reported_as_such(run, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(selftests, "SHORTEST", 0.05)
    convert(checkpoint[0], checkpoint[2], tmp_path / "tiny.safetensors")
    told, report = run("tiny", "--models-dir", tmp_path, "--seconds", 0.08, "--steps", 2)
    assert report["model"] == "echomimic" and report["frames"] == 2 and report["settings"]["steps"] == 2
    assert report["finite"] and report["adfd"] is None  # less than a second
    assert torch.isfinite(torch.tensor(report["seconds_per_frame"])) and "echomimic" in told


def test_too_short_is_refused(tmp_path):
    result = CliRunner().invoke(cli.app, ["weights", "selftest", "mini", "--seconds", "0.5", "--device", "cpu"])
    assert "at least 1 s" in str(result.exception)
