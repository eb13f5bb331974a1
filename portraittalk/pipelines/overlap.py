"""Several stages of a run at the same time, each on its share of the processor's cores.

Drawing and pasting a few small frames consists of many short operations, which several threads speed up little. So on
a processor with several cores, some frames are warped while the frames before are drawn and those before that are
pasted, the latter in smaller parts. What pasting needs once, such as the background behind the person, is worked out
while the first frames are warped and drawn. All stages run in threads of their own, whose number of threads for single
operations is limited; that of the caller's thread is left alone, and all callbacks are called there.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import torch

C = TypeVar("C")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
P = TypeVar("P")
R = TypeVar("R")

PATIENCE = 0.05  # seconds between two calls of ``on_wait``


class Stopped(Exception):
    """Raised in a stage whose run has ended, to end it early."""


class Stages(Generic[C, T, A, B, P, R]):
    """``third(prepared, second(first(item)), part)`` of each part of each item.

    prepare: returns what the third needs besides, which takes long, while the first item is in the other stages; it
    is given a function to be called between its steps. The functions must not need anything of the calling thread,
    such as its gradient mode. stop: raises ``Stopped`` once the run has ended; to be called by long stages between
    steps. on_wait: called in the caller's thread again and again while that is prepared; it may raise.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[], None]], C],
        first: Callable[[T], A],
        second: Callable[[A], B],
        third: Callable[[C, B, P], R],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._whole: tuple[Callable[[Any], Any], ...] = (first, second)
        self._prepare, self._third, self._on_wait = prepare, third, on_wait
        self._ended = threading.Event()

    def stop(self) -> None:
        if self._ended.is_set():
            raise Stopped

    def __call__(self, items: Sequence[tuple[T, Sequence[P]]], together: bool) -> Iterator[R]:
        """Yield the results in order. items: with their parts. together: whether the stages run at the same time."""
        if not items:
            return iter(())
        return self._overlapping(items) if together else self._one_after_the_other(items)

    def _one_after_the_other(self, items: Sequence[tuple[T, Sequence[P]]]) -> Iterator[R]:
        prepared = self._prepare(self._on_wait)
        for item, parts in items:
            made: Any = item
            for function in self._whole:
                made = function(made)
            for part in parts:
                yield self._third(prepared, made, part)

    def _overlapping(self, items: Sequence[tuple[T, Sequence[P]]]) -> Iterator[R]:
        threads = max(torch.get_num_threads() // 2, 1)  # one stage takes about half of the time
        with ExitStack() as running:
            executors = [running.enter_context(_one_thread(threads)) for _ in range(len(self._whole) + 1)]
            # The other stages have little to do before it ends.
            preparing = running.enter_context(_one_thread(torch.get_num_threads()))
            begun: deque[deque[Future[R]]] = deque()
            try:
                prepared = preparing.submit(self._prepare, self.stop)
                for number, (item, parts) in enumerate(items):
                    if number == 1:  # more would take the cores from what is prepared
                        self._wait(prepared)
                    begun.append(self._begin(item, parts, executors, prepared))
                    if len(begun) == len(executors):
                        yield from _taken(begun.popleft())
                self._wait(prepared)
                while begun:
                    yield from _taken(begun.popleft())
            finally:
                self._ended.set()
                for executor in (preparing, *executors):
                    executor.shutdown(wait=False, cancel_futures=True)

    def _wait(self, prepared: Future[C]) -> None:
        while not prepared.done():
            self._on_wait()
            wait((prepared,), PATIENCE)

    def _begin(
        self, item: Any, parts: Sequence[P], executors: list[ThreadPoolExecutor], prepared: Future[C]
    ) -> deque[Future[R]]:
        """Queue an item in all stages; each waits for the one before, whose result is freed when it has been used."""
        made: Future[Any] = Future()
        made.set_result(item)
        *whole, last = executors
        for function, executor in zip(self._whole, whole, strict=True):
            made = executor.submit(_after, made, function)
        return deque(last.submit(_last, prepared, made, self._third, part) for part in parts)


def runs_together(device: torch.device) -> bool:
    """Whether several stages at the same time are faster than one after the other."""
    return device.type == "cpu" and torch.get_num_threads() > 1


def _after(made: Future[Any], function: Callable[[Any], Any]) -> Any:
    return function(made.result())


def _last(prepared: Future[C], made: Future[Any], function: Callable[[C, Any, P], R], part: P) -> R:
    return function(prepared.result(), made.result(), part)


def _taken(results: deque[Future[R]]) -> Iterator[R]:
    """Yield the results, each of which is freed when the caller is done with it."""
    while results:
        yield results.popleft().result()


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
