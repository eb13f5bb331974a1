"""Two stages of a run at the same time, each on its share of the processor's cores.

Drawing and pasting a few small frames consists of many short operations, which several threads speed up little. So on
a processor with several cores, one chunk of frames is pasted while the next is drawn. Both stages run in threads of
their own, whose number of threads for single operations is limited; that of the caller's thread is left alone, and all
callbacks are called there.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


class Stopped(Exception):
    """Raised in a stage whose run has ended, to end it early."""


class Stages(Generic[T, A, B]):
    """``second(first(item))`` of each item.

    Both functions must not need anything of the calling thread, such as its gradient mode. stop: raises ``Stopped``
    once the run has ended; to be called by long stages between steps.
    """

    def __init__(self, first: Callable[[T], A], second: Callable[[A], B]) -> None:
        self._first, self._second = first, second
        self._ended = threading.Event()

    def stop(self) -> None:
        if self._ended.is_set():
            raise Stopped

    def __call__(self, items: Sequence[T], together: bool) -> Iterator[B]:
        """Yield the results in order. together: whether both stages run at the same time."""
        return self._overlapping(items) if together else (self._second(self._first(item)) for item in items)

    def _overlapping(self, items: Sequence[T]) -> Iterator[B]:
        threads = max(torch.get_num_threads() // 2, 1)
        with _one_thread(threads) as drawing, _one_thread(threads) as pasting:
            try:
                ahead = [drawing.submit(self._first, item) for item in items[:1]]
                behind: list[Future[B]] = []
                for number in range(len(items)):
                    drawn = ahead.pop()
                    failed = drawn.exception()
                    if failed is None:
                        behind.append(pasting.submit(self._second, drawn.result()))
                        ahead += [drawing.submit(self._first, item) for item in items[number + 1 : number + 2]]
                    del drawn
                    if number:
                        yield behind.pop(0).result()
                    if failed is not None:
                        raise failed
                yield from (last.result() for last in behind)
            finally:
                self._ended.set()


def runs_together(device: torch.device) -> bool:
    """Whether two stages at the same time are faster than one after the other."""
    return device.type == "cpu" and torch.get_num_threads() > 1


def _one_thread(threads: int) -> ThreadPoolExecutor:
    """Return an executor with one thread, in which an operation uses ``threads`` threads."""
    count = torch.get_num_threads()
    executor = ThreadPoolExecutor(1)
    executor.submit(_limit, threads).result()
    torch.set_num_threads(count)  # what new threads begin with; the worker keeps its own
    return executor


def _limit(threads: int) -> None:
    torch.get_num_threads()  # a thread takes the number of all others with its first operation, so this comes first
    torch.set_num_threads(threads)
