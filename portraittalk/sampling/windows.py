"""Temporal windows: sampling a speech of any length a few frames at a time.

Windows are sampled in order. Frames that the next window does not share are finished and yielded; shared frames are
carried over as its anchor, so only the overlap is kept in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WindowPolicy = Callable[[int, int], list[Tensor] | list[slice]]
"""(index of the step, frames of the clip) -> the frame indices of each window that this step samples."""


@dataclass(frozen=True)
class Window:
    """Frames ``start`` to ``stop`` (exclusive); the first ``shared`` also belong to the window before."""

    start: int
    stop: int
    shared: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_windows(frames: int, window: int, overlap: int) -> list[Window]:
    """Cover ``frames`` frames with windows of ``window`` frames that overlap by at least ``overlap``.

    The last window is moved back to have full length; only a speech shorter than one window gives a shorter window. All
    windows but the last are independent of the length of the speech.
    """
    stride = window - overlap
    count = 1 + max(0, -(-(frames - window) // stride))
    starts = [min(k * stride, max(0, frames - window)) for k in range(count)]
    stops = [min(start + window, frames) for start in starts]
    shared = [0, *(stop - start for stop, start in zip(stops, starts[1:], strict=False))]
    return [Window(*bounds) for bounds in zip(starts, stops, shared, strict=True)]


def whole_clip(step: int, frames: int) -> list[slice]:
    """Window policy with one window over all frames."""
    return [slice(None)]


@dataclass(frozen=True)
class RingWindows:
    """Window policy with windows of ``window`` frames over a circular clip, whose first and last frame are neighbours.

    A window starts every ``window - overlap`` frames; a clip no longer than one window has a single one. At every step
    all windows shift by ``shift`` frames, so that their seams move.
    """

    window: int
    overlap: int
    shift: int = 0

    def __call__(self, step: int, frames: int) -> list[Tensor]:
        window, offset = min(self.window, frames), self.shift * step
        return [(torch.arange(start, start + window) + offset) % frames for start in self.starts(frames)]

    def starts(self, frames: int) -> range:
        """Return the first frame of each window before the shift."""
        return range(0, frames, self.window - self.overlap) if frames > self.window else range(1)


def arrival_weights(shared: int) -> Tensor:
    """Return the new window's cross-fade weights (shared,), rising between 0 and 1 (both excluded)."""
    return torch.arange(1, shared + 1) / (shared + 1)


def fade(before: Tensor, after: Tensor) -> Tensor:
    """Cross-fade from ``before`` (1, C, n, h, w) to ``after`` (1, C, F, h, w) over the first n frames."""
    shared = before.shape[2]
    weight = arrival_weights(shared).to(after)[:, None, None]
    return torch.cat((torch.lerp(before, after[:, :, :shared], weight), after[:, :, shared:]), 2)


def frame_noise(seed: int, start: int, stop: int, shape: tuple[int, ...], draw: int = 0) -> Tensor:
    """Draw noise (stop - start, *shape) that depends on the frame index only, not on the split into windows.

    draw: 0 for the initial noise; samplers that renoise use 1, 2, ...
    """
    which = (draw,) if draw else ()
    frames = [
        np.random.default_rng((seed, frame, *which)).standard_normal(shape, dtype=np.float32)
        for frame in range(start, stop)
    ]
    return torch.from_numpy(np.stack(frames))
