"""Several stages of a run at the same time, each on its share of the processor's cores.

Drawing and pasting a few small frames consists of many short operations, which several threads speed up little. So on
a processor with several cores, one chunk of frames is warped while the chunk before is drawn and the one before that is
pasted. All stages run in threads of their own, whose number of threads for single operations is limited; that of the
caller's thread is left alone, and all callbacks are called there.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")


class Stopped(Exception):
    """Raised in a stage whose run has ended, to end it early."""


class Stages(Generic[T, A, B, R]):
    """``third(second(first(item)))`` of each item.

    The functions must not need anything of the calling thread, such as its gradient mode. stop: raises ``Stopped``
    once the run has ended; to be called by long stages between steps.
    """

    def __init__(self, first: Callable[[T], A], second: Callable[[A], B], third: Callable[[B], R]) -> None:
        self._functions: tuple[Callable[[Any], Any], ...] = (first, second, third)
        self._ended = threading.Event()

    def stop(self) -> None:
        if self._ended.is_set():
            raise Stopped

    def __call__(self, items: Sequence[T], together: bool) -> Iterator[R]:
        """Yield the results in order. together: whether the stages run at the same time, each with an item."""
        return self._overlapping(items) if together else map(self._one_after_the_other, items)

    def _one_after_the_other(self, item: Any) -> Any:
        for function in self._functions:
            item = function(item)
        return item

    def _overlapping(self, items: Sequence[T]) -> Iterator[R]:
        threads = max(torch.get_num_threads() // 2, 1)  # one stage takes about half of the time
        with ExitStack() as running:
            executors = [running.enter_context(_one_thread(threads)) for _ in self._functions]
            begun: deque[Future[Any]] = deque()
            try:
                for item in items:
                    begun.append(self._begin(item, executors))
                    if len(begun) == len(executors):
                        yield begun.popleft().result()
                while begun:
                    yield begun.popleft().result()
            finally:
                self._ended.set()
                for executor in executors:
                    executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, item: Any, executors: list[ThreadPoolExecutor]) -> Future[Any]:
        """Queue an item in all stages; each waits for the one before, whose result is freed when it has been used."""
        made: Future[Any] = Future()
        made.set_result(item)
        for function, executor in zip(self._functions, executors, strict=True):
            made = executor.submit(_after, made, function)
        return made


def runs_together(device: torch.device) -> bool:
    """Whether several stages at the same time are faster than one after the other."""
    return device.type == "cpu" and torch.get_num_threads() > 1


def _after(made: Future[Any], function: Callable[[Any], Any]) -> Any:
    return function(made.result())


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
