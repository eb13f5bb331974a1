"""Terminal output: progress bars and warnings on stderr, and summaries of runs."""

import logging
from typing import Any

import torch
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from typing_extensions import Self

from ..errors import SettingsError
from ..progress import Progress

messages = Console(stderr=True)


def show_warnings() -> None:
    """Print the library's warnings on stderr, above the progress bar."""
    logging.getLogger("portraittalk").handlers = [RichHandler(console=messages, show_time=False, show_path=False)]


class ProgressBars:
    """A ``ProgressCallback`` that draws one progress bar per stage; used as a context manager."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=messages)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage)
        self._bars.update(self._tasks[progress.stage], completed=progress.done, total=progress.total)


class BatchBars:
    """Bars of a batch: how many of its videos have ended, and below it one for the job of each process."""

    def __init__(self, jobs: int, processes: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=messages)
        self._all = self._bars.add_task("videos", total=jobs)
        self._tasks = [self._bars.add_task("", total=None, visible=False) for _ in range(processes)]
        self._shown = [("", "")] * processes

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def report(self, process: int, job: str, progress: Progress) -> None:
        """Show how far a process is with a stage of a job."""
        task, shown = self._tasks[process], (job, progress.stage)
        if shown != self._shown[process]:
            self._shown[process] = shown
            self._bars.reset(task, description=f"  {job}: {progress.stage}", visible=True)
        self._bars.update(task, completed=progress.done, total=progress.total)

    def ended(self, process: int) -> None:
        """Count a job, and hide the bar of its process until the next one begins."""
        self.hide(process)
        self._bars.advance(self._all)

    def hide(self, process: int) -> None:
        """Hide the bar of a process until its next job begins."""
        self._bars.update(self._tasks[process], visible=False)
        self._shown[process] = ("", "")


def choose_device(name: str) -> torch.device:
    """Return a device by name; "auto" chooses a GPU if there is one. Raises SettingsError if it is not available."""
    if name == "auto":
        devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        return torch.device(next(kind for kind, available in devices.items() if available))
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the device "meta" has no values
    except (RuntimeError, AssertionError) as error:  # raised for unknown names, and by builds of torch without CUDA
        raise SettingsError(f"The device '{name}' is not available; use auto, cpu, cuda or mps.") from error
    return device


def dropped_table(summary: dict[str, Any]) -> str:
    """Format the result of ``training.data.prepare.summarised`` as text."""
    lines = [f"{summary['clips']} clips, {summary['seconds']:g} s, from {summary['sources']} sources"]
    lines += [f"{seconds:10.1f} s dropped: {reason}" for reason, seconds in summary["dropped_seconds"].items()]
    lines += [f"           no clips from {source}" for source in summary["unused_sources"]]
    return "\n".join(lines)


def summary(frames: int, fps: float, compute_seconds: float, memory: float | None) -> str:
    """Return one line with the length, speed and memory of a finished run. memory: its peak in MB, if it is known."""
    seconds = frames / fps
    return (
        f"{frames} frames, {seconds:.2f} s at {fps:g} fps; computed in {compute_seconds:.1f} s, "
        f"{compute_seconds / seconds:.2f} s per second of video"
        + ("" if memory is None else f"; peak memory {memory:.0f} MB")
    )
