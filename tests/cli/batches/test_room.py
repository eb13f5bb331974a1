"""A batch that does not fit on the disk is refused as a whole."""

from dataclasses import replace

import pytest

from portraittalk.cli.batches.room import check_disk
from portraittalk.cli.run_costs import Cost, RunCosts, Work
from portraittalk.errors import OutputError

WORK = Work("tiny", "cpu", 1, 1, 1, "auto", False, False, False, "mp4", 64 * 64)


@pytest.fixture
def costs(place):
    """Crops of 1000 bytes a frame, whole pictures of 2000 at 128x128; larger runs and other models do not count."""
    costs = RunCosts(place.path / "costs")
    for work, size in (
        (WORK, 1000.0),
        (WORK, 5000.0),
        (replace(WORK, model="other"), 10.0),
        (replace(WORK, whole_picture=True, pixels=128 * 128), 2000.0),
    ):
        costs.remember(work, Cost(1.0, 1.0, 1e9, size))
    return costs


def needed(jobs, place, costs, monkeypatch):
    """The bytes that are asked for."""
    asked = []
    monkeypatch.setattr("portraittalk.cli.batches.room.check_space", lambda folder, size: asked.append(size))
    check_disk(jobs, place.out, costs)
    return asked[0]


def test_what_all_videos_need(place, costs, monkeypatch):
    jobs = place.jobs()  # 0.3 s and 0.4 s
    assert needed(jobs, place, costs, monkeypatch) == pytest.approx(0.7 * 25 * 1000)
    whole = [replace(job, options=replace(job.options, no_paste_back=False)) for job in jobs]  # 192x192
    assert needed(whole, place, costs, monkeypatch) == pytest.approx(0.7 * 25 * 4500)
    small = [replace(job, options=replace(job.options, max_size=128, preview=0.1)) for job in whole]
    assert needed(small, place, costs, monkeypatch) == pytest.approx(0.2 * 25 * 2000)
    assert needed(jobs, place, RunCosts(None), monkeypatch) == 0
    place.speeches.joinpath("x.wav").write_text("no sound")
    assert needed(jobs, place, costs, monkeypatch) == pytest.approx(0.4 * 25 * 1000)


def test_more_than_is_free_is_refused_with_the_numbers(place, costs, monkeypatch):
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 10_000)
    with pytest.raises(OutputError, match=r"out needs about 0\.0 MB, but only 0\.0 MB are free on its disk"):
        check_disk(place.jobs(), place.out, costs)
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 20_000)
    check_disk(place.jobs(), place.out, costs)
