"""The manifest of a batch: a JSON line for each job, with hashes, timings and errors; what a batch is resumed from."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ...output_files import append_line, write_text
from ...text_files import parse_json
from ...weights.download import sha256_of
from .jobs import Job, changed_settings, written

NAME = "manifest.jsonl"
PACKAGE = __name__.removesuffix(".cli.batches.manifest")
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Record:
    """A job that has ended: a line of the manifest.

    out: the job's name. status: ``DONE`` or ``FAILED``. error: the sentence of a failure. settings: those that are not
    the usual ones. inputs: path -> SHA-256, with the model's file at the end. outputs: name in the folder of the batch
    -> SHA-256. bytes: of the video. seconds: by stage. worker, host: the process and the machine. ended: UTC.
    """

    out: str
    status: str
    error: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)  # (height, width)
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    warnings: tuple[str, ...] = ()
    worker: int = 0
    threads: int = 0
    host: str = ""
    ended: str = ""
    version: str = field(default_factory=lambda: package_version())


class Manifest:
    """The manifest in the folder of a batch. records: the last one of each job, by its name."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.records = {record.out: record for record in _read(self.path)}

    def add(self, record: Record) -> None:
        """Write down a job that has ended, at once."""
        self.records[record.out] = record
        append_line(self.path, _line(record))

    def settle(self, jobs: Iterable[Job]) -> None:
        """Rewrite the file with one line for each job: first those of this batch in their order, then others."""
        names = [job.name for job in jobs if job.name in self.records]
        ordered = {name: self.records[name] for name in names} | self.records
        write_text(self.path, "".join(f"{_line(record)}\n" for record in ordered.values()))

    def is_finished(self, job: Job, weights: Path) -> bool:
        """Whether the job was finished with the same settings and inputs, and what it wrote is still as it was."""
        record = self.records.get(job.name)
        if record is None or record.status != DONE:
            return False
        if record.settings != json_form(changed_settings(job.options)):
            return False
        try:
            outputs, inputs = self.output_hashes(job), hashes(read(job, weights))
        except OSError:
            return False
        # By contents: paths look different from another working directory.
        return outputs == record.outputs and list(inputs.values()) == list(record.inputs.values())

    def output_hashes(self, job: Job) -> dict[str, str]:
        """Return name in the folder of the batch -> SHA-256, of what a job wrote. Raises OSError if it is not there."""
        paths = written(job.options)
        return {path.relative_to(self.path.parent).as_posix(): sha256_of(path) for path in paths}


def package_version() -> str:
    """Return the version of this package."""
    return str(import_module(PACKAGE).__version__)


def read(job: Job, weights: Path) -> list[Path]:
    """Return the files that a job reads."""
    return [*job.options.inputs, weights]


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Return path -> SHA-256."""
    return {str(path): _hash(path) for path in paths}


def json_form(value: Any) -> Any:
    """Return a value as it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _hash(path: Path) -> str:
    status = path.stat()
    return _hash_of_state(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_of_state(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)  # many jobs read the same portrait, speech and model


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False)


def _read(path: Path) -> list[Record]:
    """Return the records of a file; lines that were cut by a crash, or are of another version, are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    names = {one.name for one in fields(Record)}
    records = []
    for line in lines:
        try:
            values = parse_json(line)
            record = Record(**{name: value for name, value in values.items() if name in names})
        except (ValueError, TypeError, AttributeError):
            continue
        if isinstance(record.out, str) and isinstance(record.inputs, dict) and isinstance(record.outputs, dict):
            records.append(record)
    return records
