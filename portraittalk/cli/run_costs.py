"""What former runs on this machine cost, remembered in the user's cache folder, and what the next one may cost.

``PORTRAITTALK_CACHE`` names another folder; empty, nothing is remembered. A file that is missing or damaged is as an
empty one, and one that cannot be written is left out: estimates are a help, and never end a run.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from ..errors import OutputError
from ..output_files import make_folder, write_text
from ..progress import Progress, ProgressCallback, duration
from ..text_files import read_json

log = logging.getLogger(__name__)

FILE = "run_costs.json"
KEPT = 200  # runs in the file
USED = 5  # newest runs of which the median is taken
SHORTEST = 25  # frames; shorter runs say little about the time of a frame
ALIKE = 1.1  # ratio of two numbers of pixels up to which they cost the same


@dataclass(frozen=True)
class Work:
    """What a run does for each frame: runs that are equal in this cost the same.

    threads: of torch. processes: that run at the same time. kind: of the video. pixels: of a frame.
    """

    model: str
    device: str
    threads: int
    processes: int
    steps: int
    precision: str
    low_memory: bool
    fast_decode: bool
    whole_picture: bool
    kind: str
    pixels: int


@dataclass(frozen=True)
class Cost:
    """start: seconds before the first frame, without loading the model. frame: seconds of each frame.

    memory: peak of the process, in bytes. size: bytes of the video per frame.
    """

    start: float
    frame: float
    memory: float
    size: float


@dataclass(frozen=True)
class Expectation:
    """What a run may cost. runs: how many it is taken from.

    rough: they had pictures of another size, or shared the machine with other processes than this one will.
    """

    cost: Cost
    runs: int
    rough: bool

    def seconds(self, frames: int) -> float:
        return self.cost.start + frames * self.cost.frame

    def disk(self, frames: int) -> float:
        """Bytes of the video."""
        return frames * self.cost.size


def summed_up(frames: int, size: tuple[int, int], expected: Expectation | None) -> str:
    """Return a line about a run that begins. size: (height, width) of the frames."""
    line = f"{frames} frames of {size[1]}x{size[0]}"
    if expected is None:
        return line
    time = duration(expected.seconds(frames))
    if expected.rough:
        return f"{line}: roughly {time}, judging by runs that are not quite like it"
    runs = "the last run" if expected.runs == 1 else f"the last {expected.runs} runs"
    memory, disk = expected.cost.memory / 1e9, expected.disk(frames) / 1e6
    return f"{line}: about {time}, {memory:.1f} GB of memory and {disk:.1f} MB on disk, judging by {runs} like it"


class RunCosts:
    """The costs of former runs in a folder; None remembers nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE

    def expected(self, work: Work) -> Expectation | None:
        """Return what such a run costs, or None if nothing like it was run."""
        runs = self._read()
        like = [one for one in runs if _equal_to(work, one[0])]
        alone = not like  # nothing like it has run beside so many other processes
        if alone:
            like = [one for one in runs if _equal_to(replace(work, processes=one[0].processes), one[0])]
        if not like:
            return None
        same = [cost for other, cost in like if _ratio(other.pixels, work.pixels) <= ALIKE][-USED:]
        if same:
            return Expectation(_median(same), len(same), rough=alone)
        nearest = min(like, key=lambda one: _ratio(one[0].pixels, work.pixels))[0].pixels
        costs = [cost for other, cost in like if other.pixels == nearest][-USED:]
        # A part of the time grows with the picture: at most in proportion to it. So does the file.
        growth, cost = work.pixels / nearest, _median(costs)
        larger = max(growth, 1.0)
        scaled = replace(cost, start=cost.start * larger, frame=cost.frame * larger, size=cost.size * growth)
        return Expectation(scaled, len(costs), rough=True)

    def least_size(self, model: str, kind: str, whole_picture: bool, pixels: float) -> float:
        """Return the bytes of a frame of the smallest video like it, for its pixels; 0 if there is none."""
        return min(
            (
                cost.size * (pixels / work.pixels if whole_picture else 1)
                for work, cost in self._read()
                if (work.model, work.kind, work.whole_picture) == (model, kind, whole_picture) and work.pixels
            ),
            default=0.0,
        )

    def remember(self, work: Work, cost: Cost) -> None:
        """Add a run."""
        if self._path is None:
            return
        runs = [*self._read(), (work, cost)][-KEPT:]
        text = json.dumps([{"work": asdict(one), "cost": asdict(spent)} for one, spent in runs])
        try:
            make_folder(self._path.parent)
            write_text(self._path, text + "\n")
        except OutputError as error:
            log.debug("The cost of this run is not remembered: %s", error)

    def _read(self) -> list[tuple[Work, Cost]]:
        if self._path is None:
            return []
        try:
            return [(Work(**run["work"]), Cost(**run["cost"])) for run in read_json(self._path)]
        except (OSError, ValueError, TypeError, KeyError):
            return []


class Stopwatch:
    """A progress callback that takes the time of the frames, and passes reports on."""

    def __init__(self, progress: ProgressCallback, clock: Callable[[], float] = time.perf_counter) -> None:
        self._progress, self._clock = progress, clock
        self._begun = clock()
        self._before: int | None = None  # steps that were done when the frames began, by an interrupted run
        self._first: tuple[float, float] | None = None  # when the first frames were there, and the share done then
        self._last = self._begun

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "animate":
            self._last = self._clock()
            if self._before is None:
                self._before = progress.done
            elif self._first is None and progress.done > self._before:
                self._first = (self._last, progress.done / progress.total)
        self._progress(progress)

    def times(self, frames: int) -> tuple[float, float] | None:
        """Return the seconds before the first of so many frames and those of a frame; None for too few frames."""
        if self._first is None:
            return None
        begun, share = self._first
        count = frames * (1 - share)
        return None if count < SHORTEST else (begun - self._begun, (self._last - begun) / count)


def cache_folder() -> Path | None:
    """Return the folder for what is remembered, or None if nothing shall be."""
    chosen = os.environ.get("PORTRAITTALK_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        home = os.path.expanduser("~/Library/Caches")
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "portraittalk" if home and os.path.isabs(home) else None


def _equal_to(work: Work, other: Work) -> bool:
    """Return whether two runs do the same, but for the size of the picture."""
    return replace(other, pixels=work.pixels) == work


def _ratio(one: int, other: int) -> float:
    return max(one, other, 1) / max(min(one, other), 1)


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(median(getattr(cost, name) for cost in costs) for name in ("start", "frame", "memory", "size")))
