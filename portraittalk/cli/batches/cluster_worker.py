"""What runs on a Ray cluster: an actor that keeps a model and makes one video after the other.

Nothing here imports torch before the actor has set its number of threads.
"""

import atexit
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

from ...output_files import make_folder, write_bytes

if TYPE_CHECKING:
    from ...progress import Progress
    from .jobs import Job
    from .manifest import Record

REPORT_EVERY = 1.0  # seconds between reports of a worker, at least
PREFIX = "portraittalk-worker-"  # of the folder of received files, in the temporary folder of a machine
_UNUSED = 24 * 3600.0  # seconds after which such a folder is of a worker that was killed


@dataclass(frozen=True)
class Hello:
    """What a worker says when it is ready. node: its id in Ray. host: its machine. version: of this package."""

    node: str
    host: str
    version: str


@dataclass(frozen=True)
class Order:
    """A job for a worker. folder: of the batch. processes: workers on this machine. sizes: of the files it reads.

    sent: file -> SHA-256 and reference of its contents, if the worker does not see the files; what it makes is then
    sent back.
    """

    job: "Job"
    folder: Path
    processes: int
    sizes: Mapping[Path, int]
    sent: Mapping[Path, tuple[str, Any]] | None = None


@dataclass(frozen=True)
class Unseen:
    """The answer of a worker that does not see the files of an order."""


@dataclass(frozen=True)
class Made:
    """A file that was made where the folder of the batch is not seen. name: in that folder."""

    name: str
    contents: bytes


class ClusterWorker:
    """An actor.

    number: of the worker. threads: of torch. report_every: seconds between reports, or ``REPORT_EVERY`` if that is
    more. costs: what ``PORTRAITTALK_CACHE`` is where the batch was started.
    """

    def __init__(self, number: int, threads: int, report_every: float, costs: str | None) -> None:
        from .pool import environment

        os.environ.update(environment(threads))
        if costs is not None:
            os.environ["PORTRAITTALK_CACHE"] = costs
        import torch

        from ...memory.reuse import keep_freed_memory
        from ..run_costs import RunCosts, cache_folder
        from .manifest import Record
        from .runner import Runner

        keep_freed_memory()
        torch.set_num_threads(threads)
        self._record = Record
        self._runner = Runner(Path(), RunCosts(cache_folder()), number)
        self._received = _Received()
        self._report_every = max(report_every, REPORT_EVERY)

    def hello(self) -> Hello:
        import ray

        from .manifest import package_version

        return Hello(ray.get_runtime_context().get_node_id(), platform.node(), package_version())

    def run(self, order: Order) -> "Iterator[Progress | Unseen | Made | Record]":
        """Run a job. Yields reports, the files if they are to be sent back, and the job's record at the end."""
        if order.sent is None:
            if not _is_seen(order):
                yield Unseen()
                return
            yield from self._run(order.job, order.folder, order.processes)
            return
        import ray

        job, folder, names = self._received.take(order, ray.get)
        try:
            for message in self._run(job, folder, order.processes):
                if isinstance(message, self._record):
                    yield from _files_of(message, folder)
                    yield _with_names(message, names)
                else:
                    yield message
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, job: "Job", folder: Path, processes: int) -> "Iterator[Progress | Record]":
        """Run a job in a thread beside this generator, which hands on what it reports."""
        from ...progress import Progress, seldom

        self._runner.folder, self._runner.processes = folder, processes
        messages: Queue[Progress | None] = Queue()
        with ThreadPoolExecutor(1) as thread:
            made = thread.submit(self._runner.run, job, seldom(messages.put, self._report_every))
            made.add_done_callback(lambda ended: messages.put(None))
            while (message := messages.get()) is not None:
                yield message
            yield made.result()


class _Received:
    """The files that a worker was sent, in a folder of its own: those of the last job, which the next may read, too."""

    _folder = Path()

    def _own_folder(self) -> Path:
        """Return the folder, which is created when the first files come; those of killed workers are removed."""
        if self._folder.name and self._folder.is_dir():
            os.utime(self._folder)
            return self._folder
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _UNUSED:
                    shutil.rmtree(folder, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def take(self, order: Order, fetch: Callable[[Any], bytes]) -> "tuple[Job, Path, dict[str, str]]":
        """Return the order's job on received files, the folder that it writes to, and received -> the user's file.

        fetch: returns the contents for a reference.
        """
        assert order.sent is not None
        own = self._own_folder()
        places = {path: own / digest / path.name for path, (digest, _) in order.sent.items()}
        for old in set(own.iterdir()) - {place.parent for place in places.values()}:
            shutil.rmtree(old, ignore_errors=True)
        for path, (_, contents) in order.sent.items():
            if not places[path].exists():
                make_folder(places[path].parent)
                write_bytes(places[path], fetch(contents))
        folder, options = Path(tempfile.mkdtemp(dir=own)), order.job.options
        read = options.with_paths(lambda path: places.get(path, path))
        outputs_and_models: dict[str, Any] = {
            "models_dir": next((place.parent for place in places.values() if place.suffix == ".safetensors"), None),
            **{
                name: None if path is None else folder / path.relative_to(order.folder)
                for name, path in (("out", options.out), ("motion_out", options.motion_out))
            },
        }
        names = {str(place): str(path) for path, place in places.items()}
        return replace(order.job, options=replace(read, **outputs_and_models)), folder, names


def _is_seen(order: Order) -> bool:
    """Whether the folder of the batch and the files that the job reads are there, as the driver sees them."""
    try:
        sizes = {path: path.stat().st_size for path in order.sizes}
    except OSError:
        return False
    return order.folder.is_dir() and sizes == order.sizes


def _files_of(record: "Record", folder: Path) -> Iterator[Made]:
    """Yield what a finished job has written, with the frames for the contact sheet."""
    from .report import STRIPS

    if record.outputs:
        for name in [*record.outputs, f"{STRIPS}/{record.out}.jpg"]:
            yield Made(name, (folder / name).read_bytes())


def _with_names(record: "Record", names: Mapping[str, str]) -> "Record":
    """Return the record of a job on received files with the user's names of these files."""

    def told(text: str) -> str:
        for received, name in names.items():
            text = text.replace(received, name)
        return text

    return replace(
        record,
        inputs={names.get(path, path): digest for path, digest in record.inputs.items()},
        error=None if record.error is None else told(record.error),
        warnings=tuple(map(told, record.warnings)),
    )
