"""Stream frames window by window: each window is prepared, sampled, finished and yielded before the next one starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..models.autoencoder import Autoencoder
from ..progress import Progress, ProgressCallback
from ..sampling.windows import Window
from ..types import Structure
from .base import FROM_THE_START, Checkpoint


@dataclass(frozen=True)
class Scene:
    """Inputs of F frames before sampling. base: (F, C, h, w) latents of the warped portrait."""

    structure: Structure
    base: Tensor


class Counter:
    """Progress counter over all steps of a run."""

    def __init__(self, progress: ProgressCallback, total: int, stage: str = "animate") -> None:
        self._progress, self._total, self._stage, self._done = progress, total, stage, 0

    def __call__(self, preview: Tensor | None = None) -> None:
        self._done = min(self._done + 1, self._total)
        self.again(preview)

    def again(self, preview: Tensor | None = None) -> None:
        """Report the same count once more, so that work between two counts can be cancelled."""
        self._progress(Progress(self._stage, self._done, self._total, preview))

    def skip(self, share: float) -> None:
        """Count a share of the run, in 0..1, as done: an interrupted run has finished it."""
        self._done = round(share * self._total)


def stream_windows(
    windows: list[Window],
    prepare: Callable[[slice], Scene],
    sample: Callable[[Scene, Window, Tensor | None], Tensor],
    finish: Callable[[Scene, Tensor], Tensor],
    tick: Counter,
    chunk: int,
    checkpoint: Checkpoint = FROM_THE_START,
) -> Iterator[Tensor]:
    """Yield the frames of all windows in order, at most ``chunk`` at a time.

    prepare: returns the scene of the frames that are new in a window. sample: returns clean latents (F, C, h, w) of a
    window; its last argument is the latents that the window before has sampled for the shared first frames. finish:
    returns frames from a scene and its latents, called for frames that are in no later window. Only the overlap is kept
    from one window to the next. A run can begin at every window: the checkpoint keeps the anchor.
    """
    begin = next(number for number, window in enumerate(windows) if window.start == checkpoint.start)
    carried, anchor = _taken_up(windows, begin, prepare, checkpoint)
    tick.skip(begin / len(windows))
    for number, window in enumerate(windows[begin:], begin):
        fresh = prepare(slice(window.start + window.shared, window.stop))
        scene = fresh if carried is None else _join(carried, fresh)
        carried = None
        del fresh  # to not hold joined frames twice
        latents = sample(scene, window, anchor)
        leaving = len(window) - (windows[number + 1].shared if number + 1 < len(windows) else 0)
        for start in range(0, leaving, chunk):
            part = slice(start, min(start + chunk, leaving))
            frames = finish(_cut(scene, part), latents[part])
            tick(frames[-1])
            yield frames
        carried, anchor = _copy(_cut(scene, slice(leaving, None))), latents[leaving:].clone()
        del scene, latents  # free them before the next window is prepared
        if number + 1 < len(windows):
            checkpoint.save(windows[number + 1].start, anchor)


def _taken_up(
    windows: list[Window], begin: int, prepare: Callable[[slice], Scene], checkpoint: Checkpoint
) -> tuple[Scene | None, Tensor | None]:
    """Return what the windows before ``begin`` hand on: the scene of the shared frames, and their latents.

    The scene is prepared again in the same slices as before, because rounding may depend on how frames are grouped.
    """
    if begin == 0 or checkpoint.latents is None:
        return None, None
    fresh = [slice(window.start + window.shared, window.stop) for window in windows[:begin]]
    first = max((k for k, frames in enumerate(fresh) if frames.start <= checkpoint.start), default=0)
    scene = prepare(fresh[first])
    for frames in fresh[first + 1 :]:
        scene = _join(scene, prepare(frames))
    carried = _copy(_cut(scene, slice(len(scene.base) - windows[begin].shared, None)))
    return carried, checkpoint.latents.to(carried.base.device)


def count_ticks(windows: list[Window], steps: int, chunk: int) -> int:
    """Return how often a run of ``stream_windows`` with ``steps`` steps per window ticks."""
    carried_over = [*(window.shared for window in windows[1:]), 0]
    fresh = [len(window) - window.shared for window in windows]
    leaving = [len(window) - shared for window, shared in zip(windows, carried_over, strict=True)]
    return sum(-(-n // chunk) for n in fresh + leaving) + steps * len(windows)


@torch.no_grad()
def encode_base(autoencoder: Autoencoder, dtype: torch.dtype, structure: Structure, tick: Counter, chunk: int) -> Scene:
    """Return the scene of a structure, encoding its warped portraits ``chunk`` frames at a time."""
    base = []
    for warped in structure.warped.split(chunk):
        base.append(autoencoder.encode(warped.to(dtype)).to(warped))
        tick()
    return Scene(structure, torch.cat(base))


def as_clip(frames: Tensor) -> Tensor:
    """Reshape (F, C, h, w) to (1, C, F, h, w)."""
    return frames.transpose(0, 1)[None]


def _cut(scene: Scene, part: slice) -> Scene:
    structure = Structure(**{f.name: getattr(scene.structure, f.name)[part] for f in fields(Structure)})
    return Scene(structure, scene.base[part])


def _copy(scene: Scene) -> Scene:
    """Copy a scene, so that it does not keep a larger scene alive as a view."""
    structure = Structure(**{f.name: getattr(scene.structure, f.name).clone() for f in fields(Structure)})
    return Scene(structure, scene.base.clone())


def _join(before: Scene, after: Scene) -> Scene:
    pairs = {f.name: (getattr(before.structure, f.name), getattr(after.structure, f.name)) for f in fields(Structure)}
    structure = Structure(**{name: torch.cat(pair) for name, pair in pairs.items()})
    return Scene(structure, torch.cat((before.base, after.base)))
