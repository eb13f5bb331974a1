import threading
import time
import weakref

import pytest
import torch

from portraittalk.pipelines.overlap import Stages, Stopped


def same(item, part=None):
    return item


def stages_of(first, second, third, prepare=lambda on_step: None, on_wait=lambda: None):
    """Stages whose third one needs nothing else."""
    return Stages(prepare, first, second, lambda prepared, item, part: third(item, part), on_wait)


def whole(items):
    """Items of one part each."""
    return [(item, [None]) for item in items]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_results_come_in_order(together, count):
    stages = stages_of(lambda item: item + 1, lambda item: item * 10, lambda item, part: f"{item}{part}")
    items = [(item, "ab" if item % 2 else "c") for item in range(count)]
    expected = [f"{(item + 1) * 10}{part}" for item, parts in items for part in parts]
    assert list(stages(items, together)) == expected


def test_every_stage_has_an_item_at_the_same_time():
    """Each waits for the others: one after the other would never end."""
    meeting = threading.Barrier(3, timeout=10)
    met = []

    def stage(least, most):
        def function(item, part=None):
            if least <= item <= most:
                meeting.wait()
                met.append(item)
            return item

        return function

    stages = stages_of(stage(2, 4), stage(1, 3), stage(0, 2))
    assert list(stages(whole(range(5)), True)) == [0, 1, 2, 3, 4] and len(met) == 9


def test_no_more_than_one_item_a_stage_is_ahead():
    begun = []
    results = stages_of(lambda item: begun.append(item) or item, same, same)(whole(range(100)), True)
    for taken in range(10):
        next(results)
        assert len(begun) <= taken + 3


def test_a_finished_item_is_not_kept():
    class Item:
        pass

    made = []

    def second(item):
        made.append(weakref.ref(item))
        return len(made)

    results = stages_of(lambda item: Item(), second, same)(whole(range(3)), True)
    assert list(results) == [1, 2, 3]
    assert [item() for item in made] == [None] * 3


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_an_error_of_a_stage_reaches_the_caller(stage):
    def fails(item, part=None):
        if item == 2:
            raise ValueError("the third")
        return item

    functions = [same] * 3
    functions[stage] = fails
    results = stages_of(*functions)(whole(range(5)), True)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)


@pytest.mark.parametrize("long_stage", [0, 1, 2])
def test_a_run_that_is_closed_ends_a_long_stage(long_stage):
    entered = threading.Event()

    def long(item, part=None):
        if item:
            entered.set()
            for _ in range(1000):
                time.sleep(0.01)
                stages.stop()
        return item

    functions = [same] * 3
    functions[long_stage] = long
    stages = stages_of(*functions)
    before = set(threading.enumerate())
    results = stages(whole(range(9)), True)
    assert next(results) == 0
    assert entered.wait(5)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 2
    assert set(threading.enumerate()) <= before


def test_a_stage_that_is_stopped_says_so():
    def first(item):
        stages._ended.set()
        stages.stop()

    stages = stages_of(first, same, same)
    with pytest.raises(Stopped):
        list(stages(whole(range(3)), True))


def test_only_the_stages_have_fewer_threads_for_an_operation():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:

        def add(seen, part=None):
            return [*seen, torch.get_num_threads()]

        prepared = []
        seen = list(
            stages_of(add, add, add, lambda on_step: prepared.append(torch.get_num_threads()))(whole([[]]), True)
        )
        assert seen == [[2, 2, 2]] and prepared == [4] and torch.get_num_threads() == 4
        fresh = []
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [4]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("together", [False, True])
def test_what_the_last_stage_needs_is_prepared_once(together):
    made = []

    def prepare(on_step):
        on_step()
        made.append("prepared")
        return "with "

    stages = Stages(prepare, same, same, lambda prepared, item, part: f"{prepared}{item}{part}")
    assert list(stages([(1, "ab"), (2, "c"), (3, "d"), (4, "e")], together)) == [
        "with 1a",
        "with 1b",
        "with 2c",
        "with 3d",
        "with 4e",
    ]
    assert made == ["prepared"]
    assert list(Stages(prepare, same, same, same)([], together)) == [] and made == ["prepared"]


def test_only_the_first_item_is_in_the_other_stages_meanwhile():
    drawn = threading.Event()
    begun = []

    def prepare(on_step):
        assert drawn.wait(5)
        return list(begun)

    def second(item):
        drawn.set()
        return item

    def first(item):
        begun.append(item)
        return item

    found = Stages(prepare, first, second, lambda prepared, item, part: prepared)(whole(range(9)), True)
    assert next(found) == [0]
    assert len(list(found)) == 8


def test_the_caller_can_end_what_is_prepared():
    class Cancelled(BaseException):
        pass

    ended = threading.Event()

    def prepare(on_step):
        try:
            for _ in range(1000):
                time.sleep(0.01)
                on_step()
        finally:
            ended.set()

    threads = []

    def cancel():
        threads.append(threading.current_thread())
        if len(threads) == 3:
            raise Cancelled

    before, began = set(threading.enumerate()), time.monotonic()
    with pytest.raises(Cancelled):
        list(stages_of(same, same, same, prepare, cancel)(whole(range(9)), True))
    assert time.monotonic() - began < 2 and ended.is_set()
    assert set(threads) == {threading.current_thread()} and set(threading.enumerate()) <= before


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_an_error_in_what_is_prepared_reaches_the_caller(together, count):
    def fails(on_step):
        raise ValueError("no background")

    with pytest.raises(ValueError, match="no background"):
        list(stages_of(same, same, same, fails)(whole(range(count)), together))
