"""Progress reports and cancellation of long-running work.

Every stage calls its callback at least once per second of CPU work. A callback cancels the run by raising; whatever it
raises (ComfyUI's interrupt is a BaseException) propagates through the library, which cleans up in ``finally``.
"""

from collections.abc import Callable
from dataclasses import dataclass

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


def duration(seconds: float) -> str:
    """Return a rounded duration in words, such as ``40 s`` or ``3 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
