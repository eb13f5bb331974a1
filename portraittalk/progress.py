"""How long-running work reports where it is, and how it is cancelled.

Every stage calls its callback at least once a second of CPU work. A callback cancels by raising; whatever it
raises (ComfyUI's interrupt is a BaseException) passes through the library, which cleans up in ``finally``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """Where a run is: ``done`` of ``total`` steps of ``stage``; ``preview`` is a frame (3, H, W) in 0..1, or None."""

    stage: str
    done: int
    total: int
    preview: Tensor | None = None


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The callback for callers who do not watch."""
