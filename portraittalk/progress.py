"""Progress reports and cancellation of long-running work.

Every stage calls its callback at least once per second of CPU work. A callback cancels the run by raising; whatever it
raises (ComfyUI's interrupt is a BaseException) propagates through the library, which cleans up in ``finally``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """One progress report: ``done`` of ``total`` steps of ``stage``; ``preview`` is a frame (3, H, W) in 0..1, or
    None."""

    stage: str
    done: int
    total: int
    preview: Tensor | None = None


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Do nothing: the default callback."""


def seldom(callback: ProgressCallback, seconds: float) -> ProgressCallback:
    """Return a callback that hands on a report at most every so many seconds, and the last one of each stage.

    Reports are handed on without the preview, as they have to be sent to another process.
    """
    told = 0.0

    def report(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if progress.done >= progress.total or now - told > seconds:
            told = now
            callback(replace(progress, preview=None))

    return report


def duration(seconds: float) -> str:
    """Return a rounded duration in words, such as ``40 s`` or ``3 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
