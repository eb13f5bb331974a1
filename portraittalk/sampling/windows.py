"""Windows over time: how a speech of any length is sampled a few frames at a time.

Windows arrive one after another. Frames that the next window does not see are finished and leave; those that it shares
are carried over and anchor it, so that nothing but the overlap is ever held.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WindowPolicy = Callable[[int, int], list[Tensor] | list[slice]]
"""(number of the step, frames of the clip) -> the frame indices of each window that this step samples."""


@dataclass(frozen=True)
class Window:
    """Frames ``start`` to ``stop`` (exclusive), of which the first ``shared`` belong to the window before as well."""

    start: int
    stop: int
    shared: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_windows(frames: int, window: int, overlap: int) -> list[Window]:
    """Covers ``frames`` frames with windows of ``window`` frames, neighbours sharing at least ``overlap``.

    The last window is moved back to full length, so that the network never sees a stub; only a speech shorter than one
    window gives a shorter one. Except for that last one, windows do not depend on how long the speech is.
    """
    stride = window - overlap
    count = 1 + max(0, -(-(frames - window) // stride))
    starts = [min(k * stride, max(0, frames - window)) for k in range(count)]
    stops = [min(start + window, frames) for start in starts]
    shared = [0, *(stop - start for stop, start in zip(stops, starts[1:], strict=False))]
    return [Window(*bounds) for bounds in zip(starts, stops, shared, strict=True)]


def whole_clip(step: int, frames: int) -> list[slice]:
    """The policy of one window over all frames."""
    return [slice(None)]


@dataclass(frozen=True)
class RingWindows:
    """The policy of windows of ``window`` frames over a clip whose first and last frame are neighbours.

    A window starts every ``window - overlap`` frames; a clip no longer than one window is a single one. With every step
    all of them move on by ``shift`` frames, so that their seams lie elsewhere.
    """

    window: int
    overlap: int
    shift: int = 0

    def __call__(self, step: int, frames: int) -> list[Tensor]:
        window, offset = min(self.window, frames), self.shift * step
        return [(torch.arange(start, start + window) + offset) % frames for start in self.starts(frames)]

    def starts(self, frames: int) -> range:
        """The first frame of each window before they are moved."""
        return range(0, frames, self.window - self.overlap) if frames > self.window else range(1)


def arrival_weights(shared: int) -> Tensor:
    """(shared,) weights of the arriving window over the frames it shares, rising between 0 and 1, both excluded."""
    return torch.arange(1, shared + 1) / (shared + 1)


def fade(before: Tensor, after: Tensor) -> Tensor:
    """Cross-fades from ``before`` (1, C, n, h, w) to ``after`` (1, C, F, h, w) over the first n frames."""
    shared = before.shape[2]
    weight = arrival_weights(shared).to(after)[:, None, None]
    return torch.cat((torch.lerp(before, after[:, :, :shared], weight), after[:, :, shared:]), 2)


def frame_noise(seed: int, start: int, stop: int, shape: tuple[int, ...], draw: int = 0) -> Tensor:
    """Noise (stop - start, *shape) that belongs to each frame's number: no window split changes it.

    draw: 0 for what sampling starts with; samplers that need more noise on their way count on.
    """
    which = (draw,) if draw else ()
    frames = [
        np.random.default_rng((seed, frame, *which)).standard_normal(shape, dtype=np.float32)
        for frame in range(start, stop)
    ]
    return torch.from_numpy(np.stack(frames))
