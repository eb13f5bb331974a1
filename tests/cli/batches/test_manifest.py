"""The manifest survives crashes, and a job counts as finished only as long as nothing of it has changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from portraittalk.cli.batches.jobs import Job, changed_settings
from portraittalk.cli.batches.manifest import DONE, FAILED, NAME, Manifest, Record, hashes, read


@pytest.fixture
def finished(tmp_path, options):
    """A manifest with a finished job, the job, and the file of its model."""
    for name in ("a.png", "x.wav", "weights", "a.mp4"):
        (tmp_path / name).write_text(name)
    weights = tmp_path / "weights"
    job = Job("a.mp4", options(tmp_path / "a.mp4", portraits=[tmp_path / "a.png"], audio=tmp_path / "x.wav", seed=2))
    manifest = Manifest(tmp_path)
    settings, inputs = changed_settings(job.options), hashes(read(job, weights))
    manifest.add(Record("a.mp4", DONE, None, settings, inputs, manifest.output_hashes(job), frames=3))
    return manifest, job, weights


def test_a_job_is_finished_until_something_of_it_changes(finished, tmp_path):
    _, job, weights = finished
    assert Manifest(tmp_path).is_finished(job, weights)
    for name in ("a.png", "x.wav", "weights", "a.mp4"):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("changed")
        assert not Manifest(tmp_path).is_finished(job, weights), name
        (tmp_path / name).unlink()
        assert not Manifest(tmp_path).is_finished(job, weights), name
        (tmp_path / name).write_text(before)
    other = Job(job.name, replace(job.options, prompt="a smile"))
    assert not Manifest(tmp_path).is_finished(other, weights)
    (tmp_path / "a.png").rename(tmp_path / "c.png")  # the same picture by another name
    moved = Job(job.name, replace(job.options, portraits=[tmp_path / "c.png"]))
    assert Manifest(tmp_path).is_finished(moved, weights)


def test_the_last_line_of_a_job_counts_and_lines_cut_by_a_crash_do_not(finished, tmp_path):
    _, job, weights = finished
    with (tmp_path / NAME).open("a") as file:
        file.write('{"out": "b.mp4", "sta')
    again = Manifest(tmp_path)
    assert again.is_finished(job, weights) and list(again.records) == ["a.mp4"]
    again.add(Record("c.mp4", FAILED, "No face."))
    again.add(Record("a.mp4", FAILED, "The disk is full."))
    last = Manifest(tmp_path)
    assert list(last.records) == ["a.mp4", "c.mp4"] and last.records["c.mp4"].error == "No face."
    assert not last.is_finished(job, weights)


@pytest.mark.parametrize(
    "line", ["", "[]", "null", "3", '{"out": 3, "status": 1}', '{"status": "done"}', "\0", "{" * 9999]
)
def test_foreign_lines_are_left_out(tmp_path, line):
    (tmp_path / NAME).write_text(f'{line}\n{{"out": "a.mp4", "status": "done", "colour": "red"}}\n')
    assert list(Manifest(tmp_path).records) == ["a.mp4"]


def test_at_the_end_there_is_one_line_for_each_job_in_their_order(tmp_path, options):
    manifest = Manifest(tmp_path)
    for name in ("old.mp4", "b.mp4", "a.mp4", "b.mp4"):
        manifest.add(Record(name, DONE))
    manifest.settle([Job(name, options(Path(name))) for name in ("a.mp4", "b.mp4", "c.mp4")])
    lines = (tmp_path / NAME).read_text().splitlines()
    assert [json.loads(line)["out"] for line in lines] == ["a.mp4", "b.mp4", "old.mp4"]
