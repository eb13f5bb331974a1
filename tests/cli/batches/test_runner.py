"""Jobs one after the other in one process: models and people are used again, and no job ends the others."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from portraittalk.cli.animation import Animation
from portraittalk.cli.batches.jobs import Job
from portraittalk.cli.batches.manifest import DONE, FAILED, Manifest
from portraittalk.cli.batches.runner import Runner
from portraittalk.cli.run_costs import RunCosts
from portraittalk.media.reader import read_video
from portraittalk.pipelines.shared import PipelineBase
from portraittalk.progress import ignore_progress


@pytest.fixture
def runner(place):
    return Runner(place.out, RunCosts(place.path / "costs"), worker=1, processes=2)


def test_jobs_share_the_model_and_the_person_and_make_what_animate_makes(place, runner, monkeypatch):
    loaded, encoded = [], []
    load, encode = Animation.load_model, PipelineBase.encode_identity
    monkeypatch.setattr(Animation, "load_model", lambda self: loaded.append(1) or load(self))
    monkeypatch.setattr(PipelineBase, "encode_identity", lambda *a, **k: encoded.append(1) or encode(*a, **k))
    jobs = place.jobs()
    jobs.append(Job("again.mp4", replace(jobs[0].options, out=place.out / "again.mp4", prompt="a smile")))
    records = [runner.run(job, ignore_progress) for job in jobs]
    assert len(loaded) == len(encoded) == 1
    assert [(record.out, record.status, record.frames) for record in records] == [
        ("a_x.mp4", DONE, 8),
        ("a_y.mp4", DONE, 10),
        ("again.mp4", DONE, 8),
    ]
    alone = replace(jobs[1].options, out=place.path / "alone.mp4")
    animation = Animation.read(alone)
    animation.run(animation.load_model(), ignore_progress)
    assert alone.out.read_bytes() == jobs[1].options.out.read_bytes()
    first = records[0]
    assert first.size == read_video(place.out / "a_x.mp4").size and first.worker == 1
    assert set(first.seconds) == {"read", "load", "identity", "animate", "finish"} and first.bytes > 0
    assert first.threads == torch.get_num_threads() and first.ended.endswith("+00:00")
    assert len(first.inputs) == 3 and set(first.outputs) == {"a_x.mp4"}
    names = sorted(path.relative_to(place.out).as_posix() for path in place.out.rglob("*") if path.is_file())
    assert names == sorted([r.out for r in records] + [f"thumbnails/{r.out}.jpg" for r in records])
    weights = place.models / "tiny.safetensors"
    manifest = Manifest(place.out)
    for record in records:
        manifest.add(record)
    assert all(Manifest(place.out).is_finished(job, weights) for job in jobs)


def test_a_job_that_fails_has_its_sentence_and_the_next_one_works(place, runner, monkeypatch):
    good, other = place.jobs()
    Image.new("RGB", (300, 300), "grey").save(place.portraits / "grey.png")
    (place.portraits / "text.png").write_text("no picture")
    bad = {
        "No face was found": {"portraits": [place.portraits / "grey.png"]},
        "text.png is not an image": {"portraits": [place.portraits / "text.png"]},
        "missing.wav does not exist": {"audio": place.speeches / "missing.wav"},
        "frame rate": {"fps": 0.0},
        "no model named": {"model": "nope"},
        "device 'meta' is not available": {"device": "meta"},
    }
    for number, (words, changes) in enumerate(bad.items()):
        out = place.out / f"{number}.mp4"
        record = runner.run(Job(out.name, replace(good.options, out=out, **changes)), ignore_progress)
        assert record.status == FAILED and words in record.error and "\n" not in record.error
    assert runner.run(good, ignore_progress).status == DONE
    for error, words in ((ValueError("of a kind\nnobody knows"), "ValueError: of a kind)"), (MemoryError(), "memory")):

        def broken(*arguments, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Animation, "run", broken)
            record = runner.run(other, ignore_progress)
        assert record.status == FAILED and words in record.error and "\n" not in record.error
    assert runner.run(other, ignore_progress).status == DONE
    assert sorted(path.name for path in place.out.iterdir()) == ["a_x.mp4", "a_y.mp4", "thumbnails"]


def test_what_a_user_stops_is_not_a_failure(place, runner):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(place.jobs()[0], stop)
    assert not list(place.out.rglob("*.mp4"))


def test_warnings_go_into_the_record(place, runner):
    Image.new("RGB", (600, 300), "white").save(place.portraits / "b.png")
    with Image.open(place.portraits / "a.png") as face, Image.open(place.portraits / "b.png") as two:
        two.paste(face, (0, 0))
        two.paste(face.resize((150, 150)), (300, 0))
        two.save(place.portraits / "a.png")
    first, second = place.jobs()[:2]
    assert any("largest" in line for line in runner.run(first, ignore_progress).warnings)
    assert not any("largest" in line for line in runner.run(second, ignore_progress).warnings)  # the person is known
