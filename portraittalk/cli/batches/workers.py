"""What runs the jobs of a batch side by side: the protocol of the processes here and of those on a cluster."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from ...output_files import remove_abandoned
from ...progress import Progress
from .jobs import Job, changed_settings, written
from .manifest import FAILED, Record


@dataclass(frozen=True)
class Report:
    """How far a worker is with its job."""

    worker: int
    job: Job
    progress: Progress


@dataclass(frozen=True)
class Note:
    """A sentence for the user about a worker that has no job any more."""

    worker: int
    sentence: str


Event = Report | Note | Record


class Workers(Protocol):
    """Workers that make videos; used as a context manager, which ends them all.

    count: how many there are, or may be. threads: of each.
    """

    @property
    def count(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Run the jobs, and yield what happens in the order of events: one record for each job, when it has ended."""
        ...


def lost(job: Job, worker: int, threads: int, sentence: str) -> Record:
    """Return the record of a job that is given up because its worker has ended."""
    settings = changed_settings(job.options)
    return Record(job.name, FAILED, settings=settings, error=sentence, worker=worker, threads=threads)


def remove_unwritten(job: Job) -> None:
    """Remove the temporary files of a job whose worker was killed. Its pieces stay, for whoever takes it up."""
    for path in written(job.options):
        remove_abandoned(path)
