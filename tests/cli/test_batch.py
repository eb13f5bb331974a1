"""``portraittalk batch``: many videos, some of which fail, in a folder that is taken up again."""

import os
import signal
import sys
import time
import wave

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner
from warm_processes import start

from portraittalk import cli
from portraittalk.cli import batch as command
from portraittalk.cli.batches.manifest import DONE, FAILED, NAME, Manifest, Record
from portraittalk.cli.batches.pool import Place
from portraittalk.cli.batches.runner import Runner
from portraittalk.cli.run_costs import Cost, RunCosts, Work
from portraittalk.errors import PortraitTalkError
from portraittalk.progress import ignore_progress
from portraittalk.weights.load import save_weights


@pytest.fixture
def folder(tiny_window_model, repository, tmp_path, monkeypatch):
    """A working directory: m/tiny.safetensors, p/a.png, p/grey.png, s/x.wav, s/y.wav and jobs.jsonl."""
    for name in ("m", "p", "s"):
        (tmp_path / name).mkdir()
    parts = {name: module.state_dict() for name, module in tiny_window_model.modules().items()}
    save_weights(tmp_path / "m" / "tiny.safetensors", tiny_window_model.config, parts)
    with Image.open(repository / "portraittalk/assets/demo/portrait.jpg") as image:
        image.resize((192, 192)).save(tmp_path / "p" / "a.png")
    Image.new("RGB", (300, 300)).save(tmp_path / "p" / "grey.png")
    for name, seconds in (("x", 0.2), ("y", 2.0)):
        with wave.open(str(tmp_path / "s" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(160)) * round(100 * seconds))
    (tmp_path / "jobs.jsonl").write_text('{"portrait": "p/a.png", "audio": "s/x.wav"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORTRAITTALK_MODELS", raising=False)
    return tmp_path


@pytest.fixture
def one_process(monkeypatch):
    """The command makes videos in this process: another one needs seconds to start. Those are tested in test_pool.py,
    and with the command below, where it is stopped."""

    class OneProcess:
        count = threads = 1

        def __init__(self, places, folder, costs):
            self._runner = Runner(folder, RunCosts(costs))

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        def run(self, jobs):
            for job in jobs:
                yield self._runner.run(job, ignore_progress)

    monkeypatch.setattr("portraittalk.cli.batches.pool.Pool", OneProcess)


TINY = ["--models-dir", "m", "--model", "tiny"]


def run(*arguments):
    return CliRunner().invoke(cli.app, ["batch", *map(str, arguments), *TINY])


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_failures_are_told_and_only_what_is_left_is_made_again(folder, one_process):
    usual = ("p", "s", "--out", "out", "--workers", 1, "--threads", 1, "--preview", 0.2, "--no-paste-back")
    result = run(*usual)
    assert result.exit_code == 1
    assert (
        "grey_x.mp4: Error: No face was found" in result.output and "2 of 4 videos; see out/index.html" in result.output
    )
    records = Manifest(folder / "out").records
    assert {name: record.status for name, record in records.items()} == {
        "a_x.mp4": DONE, "a_y.mp4": DONE, "grey_x.mp4": FAILED, "grey_y.mp4": FAILED,
    }  # fmt: skip
    strips = ["thumbnails/a_x.mp4.jpg", "thumbnails/a_y.mp4.jpg"]
    assert files(folder / "out") == ["a_x.mp4", "a_y.mp4", "contact_sheet.jpg", "index.html", NAME, *strips]
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in ("a_x.mp4", "a_y.mp4")}
    (folder / "p" / "grey.png").unlink()
    (folder / "out" / "a_y.mp4").write_bytes(b"damaged")
    result = run(*usual)
    assert result.exit_code == 0 and "1 of 2 videos are finished already" in result.output
    after = {name: (folder / "out" / name).stat().st_mtime_ns for name in before}
    assert after["a_x.mp4"] == before["a_x.mp4"] and after["a_y.mp4"] != before["a_y.mp4"]
    assert Manifest(folder / "out").records["a_y.mp4"].outputs == records["a_y.mp4"].outputs  # the same, bit for bit


def test_a_dry_run_tells_what_there_is_to_do_and_writes_nothing(folder, monkeypatch):
    monkeypatch.setattr("portraittalk.pipelines.load.load_networks", lambda path: pytest.fail("a model was loaded"))
    monkeypatch.setattr("portraittalk.cli.batch._run", lambda *arguments: pytest.fail("a process was started"))
    (folder / "p" / "grey.png").unlink()
    before = files(folder)
    result = run("p", "s", "--out", "out", "--workers", 2, "--threads", 1, "--dry-run")
    assert result.exit_code == 0 and "a_y.mp4: 50 frames of 192x192" in result.output
    assert "2 videos to make, 55 frames, 2 processes of 1 threads." in result.output
    (folder / "s" / "z.wav").write_text("no sound")
    result = run("p", "s", "--out", "out", "--dry-run")
    assert result.exit_code == 1 and "a_z.mp4: Error: z.wav" in result.output
    (folder / "s" / "z.wav").unlink()
    assert files(folder) == before


MISTAKES = {
    "missing.jsonl --out out": "missing.jsonl does not exist",
    "jobs.jsonl --out s/x.wav": "s/x.wav is a file, but a folder is needed",
    "jobs.jsonl --out out --workers 0": "--workers must be between 1 and",
    "jobs.jsonl --out out --threads 0": "--threads must be between 1 and",
    "jobs.jsonl --out out --format mov": "no videos in the format mov: choose one of mp4",
    "p s jobs.jsonl --out out": "Give one file of jobs",
    "manifest.jsonl --out .": "manifest.jsonl is an input",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_told_before_any_work(folder, monkeypatch, line):
    monkeypatch.setattr("portraittalk.cli.batch._run", lambda *arguments: pytest.fail("a process was started"))
    (folder / "jobs.jsonl").rename(folder / "manifest.jsonl") if "manifest" in line else None
    before = files(folder)
    result = run(*line.split())
    assert isinstance(result.exception, PortraitTalkError), result.output
    assert MISTAKES[line] in str(result.exception) and files(folder) == before


def test_a_batch_that_does_not_fit_on_the_disk_is_refused_as_a_whole(folder, monkeypatch):
    monkeypatch.setattr("portraittalk.cli.batch._run", lambda *arguments: pytest.fail("a process was started"))
    monkeypatch.setenv("PORTRAITTALK_CACHE", str(folder / "cache"))
    work = Work("tiny", "cpu", 1, 1, 1, "auto", False, False, True, "mp4", 192 * 192)
    RunCosts(folder / "cache").remember(work, Cost(1.0, 1.0, 1e9, 1e13))
    result = run("jobs.jsonl", "--out", "out")
    assert isinstance(result.exception, PortraitTalkError) and "out needs about 50000.0 GB" in str(result.exception)
    assert not (folder / "out").exists()


def test_a_model_that_does_not_exist_is_told_once(folder):
    result = CliRunner().invoke(cli.app, ["batch", "p", "s", "--out", "out", "--model", "nope"])
    assert "no model named 'nope'" in str(result.exception) and not (folder / "out").exists()


def test_processes_share_the_cores_or_have_a_gpu_each(monkeypatch, folder):
    (job,) = command_jobs(folder)
    weights = {folder / "m" / "tiny.safetensors"}
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr("portraittalk.memory.free.free_memory", lambda device: 10**12)

    def places(workers=None, threads=None, jobs=20):
        return command.places_for([job] * jobs, weights, workers, threads)

    assert places() == [Place(1)] * 8
    assert places(jobs=3) == [Place(2)] * 3
    assert places(threads=3) == [Place(3)] * 2
    assert places(workers=2) == [Place(4)] * 2
    assert places(workers=16) == [Place(1)] * 16
    monkeypatch.setattr("portraittalk.memory.free.free_memory", lambda device: 3_700_000_000)
    assert places() == [Place(2)] * 3  # more do not fit
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert places() == [Place(4, "0"), Place(4, "1")]
    assert places(workers=4) == [Place(2, "0"), Place(2, "1")] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    assert [place.gpu for place in places()] == ["3", "5", "7"]


def command_jobs(folder):
    from portraittalk.cli.animate_options import AnimationSettings
    from portraittalk.cli.batches.jobs import read_jobs

    return read_jobs([folder / "jobs.jsonl"], folder / "out", "mp4", AnimationSettings())


def test_a_record_is_written_as_soon_as_its_job_has_ended(folder):
    jobs = command_jobs(folder)

    class Interrupted:
        count = threads = 1

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        def run(self, jobs):
            yield Record(jobs[0].name, DONE, frames=5, fps=25.0)
            raise KeyboardInterrupt

    (folder / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        command._run(jobs, Interrupted(), Manifest(folder / "out"))
    assert list(Manifest(folder / "out").records) == ["a_x.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_batch_that_is_stopped_leaves_nothing_half_written_and_is_taken_up(folder, one_process, number):
    (folder / "p" / "grey.png").unlink()
    line = ["batch", "p", "s", "--out", "out", "--workers", "1", "--threads", "1", "--no-paste-back", *TINY]
    process = start(line, folder / "said")
    out = folder / "out"
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("a_y.mp4.unfinished/*.part")) and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        # As a terminal does: Ctrl-C is sent to all processes.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        process.join(60)
    finally:
        process.kill()
    told = (folder / "said").read_text()
    assert process.exitcode == 128 + number and "Traceback" not in told, told
    left = [name for name in files(out) if ".unfinished/" not in name]
    assert left == ["a_x.mp4", NAME, "thumbnails/a_x.mp4.jpg"] and not list(out.rglob("*.part"))
    before = (out / "a_x.mp4").stat().st_mtime_ns
    result = run("p", "s", "--out", "out", "--workers", "1", "--threads", "1", "--no-paste-back")
    assert result.exit_code == 0 and "1 of 2 videos are finished already" in result.output
    assert (out / "a_x.mp4").stat().st_mtime_ns == before and not list(out.glob("*.unfinished"))
