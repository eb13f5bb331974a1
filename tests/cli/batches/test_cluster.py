"""Batches on a Ray cluster: workers, machines and the first process are lost, and no video is.

The cluster has two nodes with a processor core each, all of them processes on this machine.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from portraittalk import __version__
from portraittalk.cli.batches import cluster as module
from portraittalk.cli.batches.cluster import MOST_KILLED, Cluster, connected
from portraittalk.cli.batches.cluster_worker import ClusterWorker, Made, Order, Unseen
from portraittalk.cli.batches.manifest import DONE, FAILED, NAME, Manifest, Record, hashes
from portraittalk.cli.batches.workers import Note, Report
from portraittalk.errors import SettingsError
from portraittalk.progress import Progress

MEMORY = 400e6  # bytes of a worker with the tiny model, which Ray keeps count of


def test_what_can_be_wrong_with_a_cluster_is_one_sentence(monkeypatch):
    with pytest.raises(SettingsError, match="`ray job submit`, with --ray auto"):
        connected("ray://head:10001")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"--ray needs Ray: pip install 'portraittalk\[ray\]'"):
        connected("auto")


def test_workers_fit_on_machines():
    node = {"CPU": 9.0, "memory": 6e9, "GPU": 2.0}
    assert [module._room(node, threads, 0, 1e9) for threads in (1, 2, 10)] == [6, 4, 0]
    assert module._room(node, 4, 1, 1e9) == 2 and module._room({"CPU": 9.0, "memory": 6e9}, 4, 1, 1e9) == 0
    assert module._share([node, {"CPU": 64.0}, {"CPU": 12.0, "GPU": 4.0}, {"CPU": 1.0, "GPU": 8.0}]) == 1
    assert module._share([node]) == 4


def test_jobs_are_found_from_another_working_directory(place, monkeypatch):
    monkeypatch.chdir(place.path)
    (job, _) = place.jobs()
    options = replace(
        job.options,
        portraits=[Path("portraits/a.png")],
        models_dir=Path("models"),
        out=Path("out/a.mp4"),
        motion_edit=Path("edit.json"),
    )
    found = module._found_everywhere(replace(job, options=options)).options
    assert found.portraits == [place.portraits / "a.png"] and found.out == place.out / "a.mp4"
    assert found.models_dir == place.models and found.audio == place.speeches / "x.wav" and found.motion_in is None
    assert found.motion_edit == place.path / "edit.json"
    mini = module._found_everywhere(replace(job, options=replace(options, model="mini"))).options
    assert mini.models_dir is None  # every machine has it in its own package


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """What an actor consists of, in this process; contents of files stand for references to them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary" / "portraittalk-worker-killed").mkdir(parents=True)  # long ago
    os.utime(tmp_path / "temporary" / "portraittalk-worker-killed", (1, 1))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda contents: contents))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return ClusterWorker(3, 1, 0.0, "")


def order(place, job, **changes):
    files = [*job.options.inputs, place.models / "tiny.safetensors"]
    return Order(job, place.out, 1, {path: path.stat().st_size for path in files}, **changes)


def test_files_that_a_worker_does_not_see_are_sent_there_and_back(place, worker):
    job = place.jobs()[0]
    asked = order(place, job)
    assert list(worker.run(replace(asked, folder=place.path / "elsewhere"))) == [Unseen()]
    assert list(worker.run(replace(asked, sizes={path: 1 for path in asked.sizes}))) == [Unseen()]
    place.out.mkdir()
    contents = {
        path: (digest, path.read_bytes())
        for path, digest in zip(asked.sizes, hashes(asked.sizes).values(), strict=True)
    }
    *_, strip, there = worker.run(replace(asked, sent=contents))
    assert isinstance(strip, Made) and strip.name == "thumbnails/a_x.mp4.jpg" and not list(place.out.iterdir())
    *_, here = worker.run(asked)
    assert here.status == there.status == DONE and here.worker == 3 and here.threads == 1
    assert here.outputs == there.outputs and list(here.inputs.items()) == list(there.inputs.items())
    (place.portraits / "a.png").write_text("no picture")
    contents[place.portraits / "a.png"] = ("another", b"no picture")
    (failed,) = (one for one in worker.run(replace(asked, sent=contents)) if not isinstance(one, Progress))
    assert failed.status == FAILED and failed.error.startswith("a.png is not an image")
    assert len(list(Path(place.path, "temporary").iterdir())) == 1
    left = [path.name for path in Path(place.path, "temporary").rglob("*") if path.is_file()]
    assert sorted(left) == ["a.png", "tiny.safetensors", "x.wav"]  # for the next job


def test_every_file_of_a_job_is_read_where_it_was_sent_to(place, worker):
    edit = place.path / "edit.json"
    edit.write_text("{}")
    (job, _) = place.jobs()
    asked = order(place, replace(job, options=replace(job.options, motion_edit=edit)))
    sent = {
        path: (digest, path.read_bytes())
        for path, digest in zip(asked.sizes, hashes(asked.sizes).values(), strict=True)
    }
    moved, folder, names = worker._received.take(replace(asked, sent=sent), lambda contents: contents)
    assert [names[str(path)] for path in moved.options.inputs] == list(map(str, asked.job.options.inputs))
    assert all(path.is_file() for path in moved.options.inputs) and moved.options.out.parent == folder


slow = pytest.mark.slow


@pytest.fixture(scope="module")
def two_nodes():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'portraittalk[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else workers wait while the machine has other work
        import ray
        from ray.cluster_utils import Cluster as LocalCluster

        cluster = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def many(place):
    """As ``place``, with six jobs of 3 s."""
    for path in place.speeches.iterdir():
        path.unlink()
    for number in range(6):
        place.write_speech(place.speeches / f"{number}.wav", 3 + number / 25)
    return place


def on(cluster, place, **changes):
    given = {"jobs": 20, "threads": 1, "gpus": True, "memory": MEMORY, **changes}
    return Cluster(cluster.address, place.out, **given)


def processes_of(cluster_worker: str = "ray::ClusterWorker") -> list[psutil.Process]:
    """The processes of the cluster's workers."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if process.name().startswith(cluster_worker[:15]) else []
        except psutil.Error:
            continue
    return found


def none_is_left() -> bool:
    """Whether all workers end within some seconds."""
    deadline = time.monotonic() + 20
    while processes_of() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_of()


def records_of(workers, jobs, watch=lambda event: None):
    """The records of jobs by name, each of which must come once."""
    records, told = {}, []
    with workers:
        for event in workers.run(jobs):
            if isinstance(event, Record):
                assert event.out not in records
                records[event.out] = event
            elif isinstance(event, Note):
                told.append(event.sentence)
            watch(event)
    assert list(records) and set(records) == {job.name for job in jobs}
    return records, told


def whole(place):
    """The files of the batch, of which nothing may be half written."""
    names = {path.relative_to(place.out).as_posix() for path in place.out.rglob("*") if path.is_file()}
    assert not [name for name in names if ".part" in name or ".unfinished" in name]
    return names


@slow
def test_all_jobs_are_made_on_both_nodes_as_on_this_machine(two_nodes, many):
    workers = on(two_nodes, many)
    assert workers.count == 2 and workers.threads == 1
    records, told = records_of(workers, many.jobs())
    assert {record.status for record in records.values()} == {DONE} and not told
    assert {record.worker for record in records.values()} == {0, 1}
    assert len(whole(many)) == 2 * len(records)
    made = (many.out / "a_0.mp4").read_bytes()
    sent, _ = records_of(on(two_nodes, many, transfer=True), many.jobs()[:1])
    assert (many.out / "a_0.mp4").read_bytes() == made and sent["a_0.mp4"].inputs == records["a_0.mp4"].inputs
    assert none_is_left()


@slow
def test_a_worker_that_is_killed_costs_no_job(two_nodes, many):
    killed = []

    def kill(event):
        if isinstance(event, Report) and event.progress.stage == "animate" and event.progress.done and not killed:
            processes = processes_of()
            killed.extend(processes)
            processes[0].kill()

    records, told = records_of(on(two_nodes, many), many.jobs(), kill)
    assert killed and {record.status for record in records.values()} == {DONE}
    assert len(told) == 1 and "ended, so another one makes it" in told[0] and len(whole(many)) == 12


@slow
def test_a_job_that_ends_its_workers_is_given_up(two_nodes, many):
    """All workers are killed that begin it; a single worker, so that the others' jobs are not hit."""
    ended = Counter()

    def kill(event):
        if isinstance(event, Report) and event.job.name == "a_1.mp4" and event.progress.stage == "animate":
            for process in processes_of():
                process.kill()

    def count(event):
        kill(event)
        ended.update([type(event).__name__])

    records, told = records_of(on(two_nodes, many, workers=1), many.jobs()[:3], count)
    assert [records[f"a_{number}.mp4"].status for number in range(3)] == [DONE, FAILED, DONE]
    assert f"Its worker ended {MOST_KILLED} times" in records["a_1.mp4"].error and len(told) == MOST_KILLED - 1
    assert "a_1.mp4" not in whole_but_begun(many)


def whole_but_begun(place):
    return {path.name for path in place.out.rglob("*") if path.is_file() and ".unfinished" not in str(path.parent)}


@slow
def test_a_machine_that_falls_away_costs_no_job_and_one_that_comes_is_used(two_nodes, many):
    node = two_nodes.add_node(num_cpus=1)
    workers = on(two_nodes, many, workers=3)
    removed = []

    def remove(event):
        if isinstance(event, Report) and event.progress.stage == "animate" and not removed:
            busy = {worker.node: worker.job.name for worker in workers._busy.values()}
            if node.node_id in busy:
                removed.append(busy[node.node_id])
                two_nodes.remove_node(node, allow_graceful=False)

    records, told = records_of(workers, many.jobs(), remove)
    assert removed and {record.status for record in records.values()} == {DONE}
    assert len(told) == 1 and told[0].startswith(f"{removed[0]}: its worker on") and len(whole(many)) == 12


@slow
def test_a_batch_whose_first_process_is_killed_is_taken_up(two_nodes, many, repository):
    line = ["batch", str(many.portraits), str(many.speeches), "--out", str(many.out), "--ray", two_nodes.address]
    line += ["--models-dir", str(many.models), "--model", "tiny", "--no-paste-back"]
    command = [sys.executable, "-m", "portraittalk", *line]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(Manifest(many.out).records) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {name: record for name, record in Manifest(many.out).records.items() if record.status == DONE}
    stamps = {name: (many.out / name).stat().st_mtime_ns for name in before}
    assert 2 <= len(before) < 6
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and f"{len(before)} of 6 videos are finished already" in again.stdout, again.stderr
    lines = (many.out / NAME).read_text().splitlines()
    assert len(lines) == 6 and {record.status for record in Manifest(many.out).records.values()} == {DONE}
    assert {name: (many.out / name).stat().st_mtime_ns for name in before} == stamps
    assert len(whole(many)) == 6 + 6 + 3 and none_is_left()
    assert all(record.version == __version__ for record in Manifest(many.out).records.values())
