import threading
import time
import weakref

import pytest
import torch

from portraittalk.pipelines.overlap import Stages, Stopped


def same(item, part=None):
    return item


def whole(items):
    """Items of one part each."""
    return [(item, [None]) for item in items]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_results_come_in_order(together, count):
    stages = Stages(lambda item: item + 1, lambda item: item * 10, lambda item, part: f"{item}{part}")
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

    stages = Stages(stage(2, 4), stage(1, 3), stage(0, 2))
    assert list(stages(whole(range(5)), True)) == [0, 1, 2, 3, 4] and len(met) == 9


def test_no_more_than_one_item_a_stage_is_ahead():
    begun = []
    results = Stages(lambda item: begun.append(item) or item, same, same)(whole(range(100)), True)
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

    results = Stages(lambda item: Item(), second, same)(whole(range(3)), True)
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
    results = Stages(*functions)(whole(range(5)), True)
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
    stages = Stages(*functions)
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

    stages = Stages(first, same, same)
    with pytest.raises(Stopped):
        list(stages(whole(range(3)), True))


def test_only_the_stages_have_fewer_threads_for_an_operation():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:

        def add(seen, part=None):
            return [*seen, torch.get_num_threads()]

        seen = list(Stages(add, add, add)(whole([[]]), True))
        assert seen == [[2, 2, 2]] and torch.get_num_threads() == 4
        fresh = []
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [4]
    finally:
        torch.set_num_threads(before)
