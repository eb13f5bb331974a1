"""The jobs of a batch on the machines of a Ray cluster.

Each worker is an actor with a GPU, or some processor cores, of its own. Jobs are handed out one by one, and only to
workers that are ready, so machines may join, fall away and come back while the batch runs. A job whose worker has ended
is given to another one; its files appear whole, so it does not matter how far it had come.
"""

import logging
import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from ...checks import first_line
from ...errors import SettingsError
from ...output_files import make_folder, write_bytes
from ...weights.download import sha256_of
from ...weights.files import available_weights, find_weights, model_folders
from .cluster_worker import ClusterWorker, Hello, Made, Order, Unseen
from .jobs import Job
from .manifest import Record, package_version
from .workers import Event, Note, Report, lost, remove_unwritten

MOST_KILLED = 3  # workers that end over one job while their machines go on, after which it is given up
MOST_LOST = 20  # workers that end over one job for whatever reason
MOST_STARTS = 3  # attempts in a row to start a worker
PATIENCE = 60.0  # seconds without any worker, after which a note says so
ENDING = 1.0  # seconds for workers to end
REPORTS = 200.0  # a second, of all workers together
INSTALL = "pip install 'portraittalk[ray]'"
_KEPT = 512  # files in the object store

log = logging.getLogger(__name__)


class Cluster:
    """``Workers`` on a Ray cluster.

    address: of the cluster, as in ``ray.init``. folder: of the batch. gpus: of each worker, 0 or 1. memory: bytes that
    each needs. workers: how many at most; by default as many as there is room for on the machines that are there, and
    with a number given, machines may also come later. transfer: send all files through Ray, also where workers see
    them. Raises SettingsError if there is no cluster, or no room on it.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        *,
        jobs: int,
        threads: int | None,
        gpus: bool,
        memory: float,
        workers: int | None = None,
        transfer: bool = False,
    ) -> None:
        self._ray, self._joined = connected(address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        self._gpus = int(gpus and any(node.get("GPU", 0) >= 1 for node in nodes))
        self._threads = threads or (_share(nodes) if self._gpus else 1)
        self._memory = memory
        room = sum(_room(node, self._threads, self._gpus, memory) for node in nodes)
        if not room and workers is None:
            self._leave()
            raise SettingsError(
                f"No machine of the Ray cluster has room for a worker ({self._threads} processor cores, "
                f"{memory / 1e9:.1f} GB of memory): start larger machines, or give the number of --workers to wait for "
                "them."
            )
        self._count = max(min(workers or room, jobs), 1)
        self._folder, self._transfer = folder.absolute(), transfer
        self._waiting = deque[Job]()
        self._starting: dict[Any, _Worker] = {}  # by the answer that is waited for
        self._busy: dict[Any, _Worker] = {}  # by the stream of what they say
        self._idle: list[_Worker] = []
        self._failed_starts: Counter[int] = Counter()
        self._lost_on = defaultdict[str, list[str]](list)  # the nodes on which workers of a job have ended
        self._blind: set[str] = set()  # nodes that do not see the files
        self._stored = lru_cache(maxsize=_KEPT)(self._store)
        self._reason = ""  # why the last worker could not be started

    @property
    def count(self) -> int:
        return self._count

    @property
    def threads(self) -> int:
        return self._threads

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        busy = dict(self._busy)
        for worker in [*self._starting.values(), *self._idle, *busy.values()]:
            self._ray.kill(worker.actor)
        if busy:  # their files can be removed when they have ended
            self._ray.wait(list(busy), num_returns=len(busy), timeout=ENDING)
            for worker in busy.values():
                remove_unwritten(worker.job)
        self._leave()

    def _leave(self) -> None:
        if self._joined:
            self._ray.shutdown()

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """See ``Workers.run``.

        A job is given up when its worker has ended three times while its machine went on. Raises SettingsError if no
        worker can be started at all.
        """
        self._waiting.extend(map(_found_everywhere, jobs))
        for number in range(min(self._count, len(self._waiting))):
            self._start(number)
        while self._waiting or self._busy:
            while self._waiting and self._idle:
                self._give(self._idle.pop(), self._waiting.popleft())
            if not self._busy and not self._starting:
                raise SettingsError(f"No worker can be started on the Ray cluster: {self._reason}.")
            ready = self._ready()
            if not ready and not self._busy:
                yield Note(0, "No machine of the Ray cluster has room for a worker: waiting until one has.")
            for reference in ready:
                if reference in self._starting:
                    self._greet(reference)
                else:
                    yield from self._follow(reference)

    def _ready(self) -> list[Any]:
        """Return all answers that have come, after waiting for at least one; none if none comes in ``PATIENCE``."""
        waited_for = [*self._starting, *self._busy]
        if not self._ray.wait(waited_for, timeout=PATIENCE)[0]:
            return []
        return self._ray.wait(waited_for, num_returns=len(waited_for), timeout=0)[0]

    def _start(self, number: int) -> None:
        """Ask Ray for a worker, which comes when there is room for it."""
        actor = (
            self._ray.remote(ClusterWorker)
            .options(num_cpus=self._threads, num_gpus=self._gpus, memory=int(self._memory), max_restarts=0)
            .remote(number, self._threads, self._count / REPORTS, os.environ.get("PORTRAITTALK_CACHE"))
        )
        self._starting[actor.hello.remote()] = _Worker(number, actor)

    def _greet(self, answer: Any) -> None:
        """Take in a worker that is ready, or start another one if it could not."""
        worker = self._starting.pop(answer)
        try:
            hello = self._ray.get(answer)
            assert isinstance(hello, Hello)
        except self._ray.exceptions.RayError as error:
            log.debug("A worker did not start", exc_info=True)
            self._reason = first_line(getattr(error, "cause", None) or error)
            self._failed_starts[worker.number] += 1
            if self._failed_starts[worker.number] < MOST_STARTS:
                self._start(worker.number)
            return
        if hello.version != package_version():
            self._reason = f"{hello.host} has PortraitTalk {hello.version}, and this machine {package_version()}"
            self._ray.kill(worker.actor)
            return
        self._failed_starts[worker.number] = 0
        worker.node, worker.host = hello.node, hello.host
        self._idle.append(worker)

    def _follow(self, stream: Any) -> Iterator[Event]:
        """Handle the next message of a busy worker, and yield what to report."""
        worker = self._busy[stream]
        try:
            message = self._ray.get(next(stream))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            log.debug("%s: its worker on %s ended: %s", worker.job.name, worker.host, error)
            del self._busy[stream]
            yield self._take_back(worker)
            return
        if isinstance(message, Made):
            path = self._folder / message.name
            make_folder(path.parent)
            write_bytes(path, message.contents)
        elif isinstance(message, Unseen):
            del self._busy[stream]
            self._blind.add(worker.node)
            self._give(worker, worker.job)
        elif isinstance(message, Record):
            del self._busy[stream]
            self._idle.append(worker)
            yield message
        else:
            yield Report(worker.number, worker.job, message)

    def _take_back(self, worker: "_Worker") -> Note | Record:
        """Give the job of a worker that has ended to another one, or give it up; return what to report."""
        job = worker.job
        remove_unwritten(job)
        self._lost_on[job.name].append(worker.node)
        reason = self._given_up(self._lost_on[job.name])
        if reason is None:
            self._waiting.appendleft(job)
        if self._waiting and not self._idle:
            self._start(worker.number)
        if reason is None:
            return Note(worker.number, f"{job.name}: its worker on {worker.host} ended, so another one makes it.")
        return lost(job, worker.number, self._threads, reason)

    def _give(self, worker: "_Worker", job: Job) -> None:
        worker.job = job
        neighbours = sum(other.node == worker.node for other in [*self._busy.values(), *self._idle, worker])
        weights = find_weights(job.options.model, model_folders(job.options.models_dir))
        files = [path for path in job.options.inputs if path.is_file()]  # the worker tells what is wrong with others
        if job.options.models_dir is not None:
            files.append(weights)
        sent = None
        if self._transfer or worker.node in self._blind:
            sent = {path: self._stored(path, path.stat().st_mtime_ns) for path in files}
        order = Order(job, self._folder, neighbours, {path: path.stat().st_size for path in files}, sent)
        self._busy[worker.actor.run.options(num_returns="streaming").remote(order)] = worker

    def _store(self, path: Path, changed: int) -> tuple[str, Any]:
        """Return the SHA-256 of a file, and the reference of its contents in Ray's object store."""
        return sha256_of(path), self._ray.put(path.read_bytes())

    def _given_up(self, nodes: list[str]) -> str | None:
        """Return why a job is given up whose workers have ended on these nodes, or None if it is tried again.

        That a machine has fallen away is known some seconds after its workers: those before the last one count right.
        """
        alive = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]}
        if sum(node in alive for node in nodes) >= MOST_KILLED:
            return (
                f"Its worker ended {MOST_KILLED} times, which happens when memory runs out: use a smaller --max-size "
                "or machines with more memory, and give the command again."
            )
        if len(nodes) >= MOST_LOST:
            return (
                f"{MOST_LOST} workers were lost while they made it: give the command again when the cluster is stable."
            )
        return None


class _Worker:
    """An actor, where it runs, and the job that it has."""

    node = host = ""
    job: Job

    def __init__(self, number: int, actor: Any) -> None:
        self.number, self.actor = number, actor


def connected(address: str) -> tuple[Any, bool]:
    """Return the module ``ray``, connected to a cluster, and whether it was not connected before.

    Raises SettingsError if Ray is missing, or there is no cluster.
    """
    if address.startswith("ray://"):
        raise SettingsError(
            "Ray's client (ray://) cannot follow the progress of workers: run the command on a machine of the cluster, "
            "for example by `ray job submit`, with --ray auto."
        )
    try:
        import ray
    except ImportError as error:
        raise SettingsError(f"--ray needs Ray: {INSTALL}.") from error
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"There is no Ray cluster at {address} ({first_line(error)}): start one with `ray start --head`, or give "
            "its address."
        ) from error
    return ray, True


def _room(node: Mapping[str, float], threads: int, gpus: int, memory: float) -> int:
    """Return how many workers fit on a machine with these resources."""
    rooms = [node.get("CPU", 0) // threads, node.get("memory", 0) // max(memory, 1)]
    return int(min([*rooms, node.get("GPU", 0) // gpus] if gpus else rooms))


def _share(nodes: Iterable[Mapping[str, float]]) -> int:
    """Return the processor cores for each GPU, on the machine that has the fewest."""
    return max(int(min(node.get("CPU", 0) // node["GPU"] for node in nodes if node.get("GPU", 0) >= 1)), 1)


def _found_everywhere(job: Job) -> Job:
    """Return the job with paths that depend neither on the working directory nor on where this package lies."""
    options = job.options
    weights = find_weights(options.model, model_folders(options.models_dir))
    models_dir = None if weights == available_weights().get(weights.stem) else weights.parent.absolute()
    return replace(job, options=replace(options.with_paths(Path.absolute), models_dir=models_dir))
