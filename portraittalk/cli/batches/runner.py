"""Running the jobs of a batch one after the other: what one of them has loaded, the next ones use."""

import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from ...checks import first_line
from ...errors import PortraitTalkError
from ...media.thumbnails import thumbnails
from ...memory.shortage import is_shortage
from ...metrics.cost import peak_memory_mb
from ...output_files import atomic_file, explained, make_folder
from ...pipelines.load import AnyPipeline
from ...progress import ProgressCallback
from ...types import Identity
from ...weights.download import sha256_of
from ..animation import Animation
from ..run_costs import RunCosts, Stopwatch
from .jobs import Job, changed_settings, written
from .manifest import DONE, FAILED, PACKAGE, Record, hashes, read
from .report import SHOWN, STRIPS, TILE, strip

log = logging.getLogger(__name__)


@dataclass
class Runner:
    """Runs jobs in one process. folder: of the batch. worker: number of the process, processes: how many there are.

    The model and the person of the last job stay for the next ones.
    """

    folder: Path
    costs: RunCosts
    worker: int = 0
    processes: int = 1
    _model: tuple[Any, AnyPipeline] | None = field(default=None, init=False)
    _identity: tuple[Any, Identity] | None = field(default=None, init=False)

    def run(self, job: Job, progress: ProgressCallback) -> Record:
        """Run a job and return its record, also where it fails: no error of a job ends the others."""
        record = Record(
            job.name,
            FAILED,
            settings=changed_settings(job.options),
            worker=self.worker,
            host=platform.node(),
            threads=torch.get_num_threads(),
        )
        with _warnings() as warnings:
            try:
                record = self._run(job, record, progress)
            except PortraitTalkError as error:
                record = replace(record, error=str(error))
            except Exception as error:
                log.debug("%s failed", job.name, exc_info=True)
                if is_shortage(error):
                    self._model = self._identity = None
                    sentence = "The memory was not enough: use fewer workers, a smaller --max-size or --low-memory."
                else:
                    what = f"{type(error).__name__}: {first_line(error)}"
                    sentence = f"PortraitTalk failed unexpectedly ({what}): please report it as an issue."
                record = replace(record, error=sentence)
        ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return replace(record, warnings=tuple(warnings), peak_memory_mb=peak_memory_mb(), ended=ended)

    def _run(self, job: Job, record: Record, progress: ProgressCallback) -> Record:
        clock = _Clock()
        make_folder(job.options.out.parent)
        animation = Animation.read(job.options)
        inputs = hashes(read(job, animation.weights))
        animation.expected(self.costs, self.processes)  # refuses what memory cannot hold
        clock.lap("read")
        pipeline = self._pipeline(animation)
        clock.lap("load")
        identity = self._person(animation, pipeline, list(inputs.values()), progress)
        clock.lap("identity")
        watch = Stopwatch(progress)
        video = animation.run(pipeline, watch, identity)
        clock.lap("animate")
        animation.remember(self.costs, video, watch, self.processes)
        place = self.folder / STRIPS / f"{job.name}.jpg"
        make_folder(place.parent)
        with atomic_file(place) as part, explained(place):
            strip(thumbnails(job.options.out, SHOWN, TILE)).save(part, "JPEG", quality=85)
        outputs = {path.relative_to(self.folder).as_posix(): sha256_of(path) for path in written(job.options)}
        clock.lap("finish")
        return replace(
            record,
            status=DONE,
            inputs=inputs,
            outputs=outputs,
            frames=animation.frames,
            fps=job.options.fps,
            size=video.size,
            bytes=job.options.out.stat().st_size,
            seconds=clock.laps,
        )

    def _pipeline(self, animation: Animation) -> AnyPipeline:
        key = (animation.weights, animation.machine)
        if self._model is None or self._model[0] != key:
            self._model = self._identity = None  # first make room
            self._model = (key, animation.load_model())
        return self._model[1]

    def _person(
        self, animation: Animation, pipeline: AnyPipeline, inputs: list[str], progress: ProgressCallback
    ) -> Identity:
        options = animation.options
        portraits = inputs[: len(options.portraits)]
        key = (
            animation.weights,
            animation.machine,
            portraits,
            options.max_size,
            options.face_index,
            options.landmarker,
        )
        if self._identity is None or self._identity[0] != key:
            self._identity = (key, animation.encode_identity(pipeline, progress))
        return self._identity[1]


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Yield a list that grows by what the library warns of, each warning once."""
    handler = _Collector()
    library = logging.getLogger(PACKAGE)
    library.addHandler(handler)
    try:
        yield handler.lines
    finally:
        library.removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)
