import threading
import time

import pytest
import torch

from portraittalk.pipelines.overlap import Stages, Stopped


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_results_come_in_order(together, count):
    stages = Stages(lambda item: item + 1, lambda item: item * 10)
    assert list(stages(range(count), together)) == [(item + 1) * 10 for item in range(count)]


def test_the_next_item_is_in_the_first_stage_while_one_is_in_the_second():
    """Each waits for the other: one after the other would never end."""
    meeting = threading.Barrier(2, timeout=10)

    def first(item):
        if item:
            meeting.wait()
        return item

    def second(item):
        if item < 3:
            meeting.wait()
        return item

    assert list(Stages(first, second)(range(4), True)) == [0, 1, 2, 3]


def test_no_more_than_one_item_is_ahead():
    begun = []
    results = Stages(lambda item: begun.append(item) or item, lambda item: item)(range(100), True)
    for taken in range(10):
        next(results)
        assert len(begun) <= taken + 3


@pytest.mark.parametrize("stage", [0, 1])
def test_an_error_of_a_stage_reaches_the_caller(stage):
    def fails(item):
        if item == 2:
            raise ValueError("the third")
        return item

    functions = [lambda item: item] * 2
    functions[stage] = fails
    results = Stages(*functions)(range(5), True)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)


def test_a_run_that_is_closed_ends_a_long_stage():
    def first(item):
        if item:
            for _ in range(1000):
                time.sleep(0.01)
                stages.stop()
        return item

    stages = Stages(first, lambda item: item)
    results, before = stages(range(3), True), set(threading.enumerate())
    began = time.monotonic()
    timer = threading.Timer(0.1, stages._ended.set)
    timer.start()
    with pytest.raises(Stopped):
        list(results)
    timer.join()
    assert time.monotonic() - began < 5
    assert set(threading.enumerate()) <= before


def test_only_the_stages_have_fewer_threads_for_an_operation():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen = list(Stages(lambda item: torch.get_num_threads(), lambda n: (n, torch.get_num_threads()))([0], True))
        assert seen == [(2, 2)] and torch.get_num_threads() == 4
        fresh = []
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [4]
    finally:
        torch.set_num_threads(before)
