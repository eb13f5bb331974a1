"""Processes that run the jobs of a batch side by side, each with its own models and its own number of threads.

Processes are spawned, not forked, since neither torch's threads nor CUDA survive a fork. Whatever happens to one of
them, the others go on: a process that dies fails the job that it had, and a new one takes its place.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from ...memory.reuse import keep_freed_memory
from ...progress import Progress, seldom
from ..run_costs import RunCosts
from ..stopping import Stopped, stoppable
from .jobs import Job
from .manifest import Record
from .workers import Event, Report, lost, remove_unwritten

PATIENCE = 2.0  # seconds in which a stopped process may clean up, after which it is killed
REPORT_EVERY = 0.2  # seconds between reports of a process


@dataclass(frozen=True)
class Place:
    """Where a process runs. threads: of torch. gpu: the one it sees, as in ``CUDA_VISIBLE_DEVICES``; None for all."""

    threads: int
    gpu: str | None = None


class Pool:
    """``Workers`` on this machine: a process for each place.

    folder: of the batch. costs: folder of what former runs cost, or None.
    """

    def __init__(self, places: Sequence[Place], folder: Path, costs: Path | None) -> None:
        self._places, self._folder, self._costs = places, folder, costs
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop([worker.process for worker in self._workers])

    @property
    def count(self) -> int:
        return len(self._places)

    @property
    def threads(self) -> int:
        return self._places[0].threads

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """See ``Workers.run``. A job whose process ends is given up: most likely it needs more memory than there is."""
        waiting = iter(jobs)
        busy: list[_Worker] = []
        for number in range(len(self._places)):
            if (job := next(waiting, None)) is not None:
                busy.append(self._started(number, job))
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [one for one in busy if one.connection in ready]:
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    message, alive = worker.lost(), False
                else:
                    alive = True
                if isinstance(message, Progress):
                    yield Report(worker.number, worker.job, message)
                    continue
                yield message
                job = next(waiting, None)
                if alive and job is not None:
                    worker.give(job)
                    continue
                busy.remove(worker)
                if job is not None:
                    busy.append(self._started(worker.number, job))

    def _started(self, number: int, job: Job) -> "_Worker":
        worker = _Worker(number, self._places[number], self._folder, self._costs, len(self._places))
        self._workers.append(worker)
        worker.start()
        worker.give(job)
        return worker


class _Worker:
    """A process, and the job that it has."""

    job: Job

    def __init__(self, number: int, place: Place, folder: Path, costs: Path | None, processes: int) -> None:
        self.number = number
        self._place = place
        context = multiprocessing.get_context("spawn")
        self.connection, self._other = context.Pipe()
        arguments = (self._other, folder, costs, number, place, processes)
        self.process = context.Process(target=work, args=arguments, daemon=True)

    def start(self) -> None:
        with _interrupts_held(), _environment(self._place):
            self.process.start()
        self._other.close()  # so that the end of the process is seen

    def give(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # a process that has ended is noticed when it is waited for
            self.connection.send(job)

    def lost(self) -> Record:
        """Return the record of the job during which the process has ended."""
        self.process.join(PATIENCE)
        code = self.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        remove_unwritten(self.job)
        sentence = (
            f"The process that made it ended unexpectedly ({how}), which happens when memory runs out: use fewer "
            "--workers or a smaller --max-size, and give the command again."
        )
        return lost(self.job, self.number, self._place.threads, sentence)


def work(
    connection: "Connection[object, object]",
    folder: Path,
    costs: Path | None,
    number: int,
    place: Place,
    processes: int,
) -> None:
    """Run jobs that arrive on a connection until it is closed; what a spawned process does."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and the first one ends the others
    try:
        with suppress(EOFError, OSError), stoppable(quiet=True):
            _run_all(connection, folder, RunCosts(costs), number, place, processes)
    except Stopped as stopped:
        stopped.end()


def _run_all(
    connection: "Connection[object, object]", folder: Path, costs: RunCosts, number: int, place: Place, processes: int
) -> None:
    import torch

    from .runner import Runner

    torch.set_num_threads(place.threads)
    runner = Runner(folder, costs, number, processes)
    report = seldom(connection.send, REPORT_EVERY)
    while True:
        job = connection.recv()
        assert isinstance(job, Job)
        connection.send(runner.run(job, report))


def stop(processes: Sequence[multiprocessing.process.BaseProcess]) -> None:
    """End processes, which remove what they have not finished; those that do not end in time are killed."""
    running = [process for process in processes if process.pid is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + PATIENCE
    for process in running:
        process.join(max(deadline - time.monotonic(), 0.0))
        if process.is_alive():
            process.kill()
            process.join()


def environment(threads: int) -> dict[str, str]:
    """Return the variables that libraries read when a process with so many threads imports them."""
    wanted = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    wanted["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads take others' cores
    return wanted


@contextmanager
def _environment(place: Place) -> Iterator[None]:
    """Set these variables while a process starts, and set them back."""
    wanted = environment(place.threads)
    if place.gpu is not None:
        wanted["CUDA_VISIBLE_DEVICES"] = place.gpu
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes that are started in the block begin without Ctrl-C; this one gets it at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would let interrupts through again
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
