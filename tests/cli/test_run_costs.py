"""What former runs cost, and what the next one is said to cost."""

from dataclasses import replace
from pathlib import Path

import pytest

from portraittalk.cli.run_costs import FILE, Cost, RunCosts, Stopwatch, Work, cache_folder, summed_up
from portraittalk.progress import Progress

WORK = Work("mini", "cpu", 2, 1, 1, "auto", False, False, True, "mp4", 768 * 768)
COST = Cost(start=2.0, frame=0.1, memory=9e8, size=10_000.0)


def test_nothing_is_said_without_a_former_run_and_the_median_with_some(tmp_path):
    costs = RunCosts(tmp_path / "cache")
    assert costs.expected(WORK) is None
    for frame in (0.1, 5.0, 0.12):  # one run had to share the machine
        costs.remember(WORK, replace(COST, frame=frame))
    expected = RunCosts(tmp_path / "cache").expected(WORK)
    assert expected.cost.frame == 0.12 and expected.runs == 3 and not expected.rough
    assert expected.seconds(100) == pytest.approx(14) and expected.disk(100) == 1e6
    assert "100 frames of 640x480: about 14 s, 0.9 GB of memory and 1.0 MB" in summed_up(100, (480, 640), expected)
    for other in ({"threads": 1}, {"steps": 4}, {"model": "echomimic"}, {"device": "cuda"}):
        assert costs.expected(replace(WORK, **other)) is None, other
    crowded = costs.expected(replace(WORK, processes=2))
    assert crowded.rough and crowded.cost == expected.cost


def test_other_sizes_give_a_figure_that_is_called_rough(tmp_path):
    costs = RunCosts(tmp_path)
    costs.remember(WORK, COST)
    costs.remember(replace(WORK, pixels=100), replace(COST, frame=0.01))
    larger, smaller = (costs.expected(replace(WORK, pixels=WORK.pixels * 4 // n)) for n in (1, 8))
    assert larger.rough and larger.cost.frame == pytest.approx(0.4) and larger.cost.size == pytest.approx(40_000)
    assert smaller.rough and smaller.cost.frame == 0.1  # at most what the larger picture cost
    assert (
        summed_up(100, (1, 1), larger) == "100 frames of 1x1: roughly 48 s, judging by runs that are not quite like it"
    )
    assert not costs.expected(replace(WORK, pixels=WORK.pixels + 1000)).rough


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"work": {"speed": 3}, "cost": {}}]', "null"])
def test_a_damaged_file_is_as_an_empty_one(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    costs = RunCosts(tmp_path)
    assert costs.expected(WORK) is None
    costs.remember(WORK, COST)
    assert costs.expected(WORK).cost == COST


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path):
    (tmp_path / "file").touch()
    RunCosts(tmp_path / "file").remember(WORK, COST)
    RunCosts(None).remember(WORK, COST)


def test_the_file_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("portraittalk.cli.run_costs.KEPT", 3)
    for number in range(5):
        RunCosts(tmp_path).remember(replace(WORK, steps=number), COST)
    assert [RunCosts(tmp_path).expected(replace(WORK, steps=number)) is None for number in range(5)] == [
        *(True, True, False, False, False)
    ]


def test_the_stopwatch_leaves_out_the_start_and_what_an_interrupted_run_has_finished():
    def times(begin):
        moments = iter([0.0, 1.0, *(3.0 + k for k in range(100))])
        passed = []
        watch = Stopwatch(passed.append, clock=lambda: next(moments))
        watch(Progress("find faces", 1, 1))
        for done in range(begin, 11):
            watch(Progress("animate", done, 10))
        assert len(passed) == 12 - begin
        return watch.times(400)

    assert times(0) == (3.0, pytest.approx(9 / 360))
    assert times(8) == (3.0, pytest.approx(1 / 40))
    assert Stopwatch(lambda progress: None).times(400) is None


def test_the_cache_folder_can_be_chosen_and_switched_off(monkeypatch, tmp_path):
    assert cache_folder() is None  # as in all tests
    monkeypatch.setenv("PORTRAITTALK_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PORTRAITTALK_CACHE")
    found = cache_folder()
    assert found is not None and found.name == "portraittalk" and found.is_absolute() and Path.home() != found
