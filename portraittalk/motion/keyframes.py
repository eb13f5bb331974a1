"""Edits of a motion track over time: keyframes or plain lists of values for some of its curves, kept as JSON.

An edit is an object of curves, named as in ``curves.CURVES``::

    {
      "head_yaw": [{"time": 1.0, "value": 0}, {"time": 1.4, "value": 12, "interpolation": "linear"}],
      "intensity": [0.5, 1.0, 1.5]
    }

Keys have a time in seconds. A list of numbers is spread evenly over the clip.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import Self

from ..checks import check_path, check_real, check_type, first_line, shown
from ..errors import MotionError
from ..output_files import write_text
from ..smooth import smoothstep
from ..text_files import parse_json, read_text
from .curves import CURVES, EditableCurve
from .track import MOST_FRAMES, TENSORS, MotionTrack

Interpolation = Literal["smooth", "linear"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("smooth", "linear")
MOST_KEYS = 10_000  # of one curve
LATEST = 86_400.0  # seconds


@dataclass(frozen=True)
class Key:
    """A value at a time in seconds. interpolation: how the curve goes on to the next key; smooth is level at both."""

    time: float
    value: float
    interpolation: Interpolation = "smooth"


@dataclass(frozen=True)
class Keyframes:
    """A curve through at least one key, in order of time. It keeps the first value before, and the last one after."""

    keys: tuple[Key, ...]

    def sampled(self, frames: int, fps: float) -> Tensor:
        """Return the values (frames,) in the middle of each frame."""
        middles = (torch.arange(frames, dtype=torch.double) + 0.5) / fps
        times, values = torch.tensor([(key.time, key.value) for key in self.keys], dtype=torch.double).unbind(1)
        times = times.contiguous()
        after = torch.searchsorted(times, middles, right=True).clamp(1, max(len(times) - 1, 1))
        before = after - 1
        after = after.clamp_max(len(times) - 1)
        part = ((middles - times[before]) / (times[after] - times[before]).clamp_min(1e-9)).clamp(0, 1)
        linear = torch.tensor([key.interpolation == "linear" for key in self.keys])[before]
        return torch.lerp(values[before], values[after], torch.where(linear, part, smoothstep(part)))

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {
                "time": key.time,
                "value": key.value,
                **({} if key.interpolation == "smooth" else {"interpolation": key.interpolation}),
            }
            for key in self.keys
        ]


@dataclass(frozen=True)
class Samples:
    """A curve of at least one value; they are spread evenly over the clip, and lines run from each to the next."""

    values: tuple[float, ...]

    def sampled(self, frames: int, fps: float) -> Tensor:
        """Return the values (frames,) in the middle of each frame: the given ones, if there is one for each."""
        values = torch.tensor(self.values, dtype=torch.double)
        place = (torch.arange(frames, dtype=torch.double) + 0.5) * (len(values) / frames) - 0.5
        place = place.clamp(0, len(values) - 1)
        before = place.floor().long()
        return torch.lerp(values[before], values[(before + 1).clamp_max(len(values) - 1)], place - before)

    def to_json(self) -> list[float]:
        return list(self.values)


@dataclass(frozen=True)
class MotionEdit:
    """Edits of some curves, by their names in ``CURVES``. Without any, a track stays as it is."""

    curves: dict[str, Keyframes | Samples] = field(default_factory=dict)

    def apply(self, track: MotionTrack) -> MotionTrack:
        """Return the edited track. Frames in which all values are neutral are exactly as they were."""
        for name, curve in CURVES.items():
            if name in self.curves:
                values = self.curves[name].sampled(len(track), track.fps)
                track = _chosen(values == curve.neutral, track, curve.change(track, values))
        return track

    def with_values(self, name: str, values: Sequence[float]) -> Self:
        """Return the edit with one curve made of these values, spread over the clip. Raises MotionError."""
        return replace(self, curves={**self.curves, name: _samples(values, _curve(name, "The edit"), f"The {name}")})

    @classmethod
    def from_dict(cls, data: Any, name: str = "The motion edit") -> Self:
        """Build an edit from what ``to_dict`` returns. name: how error messages refer to it. Raises MotionError."""
        if not isinstance(data, dict):
            raise MotionError(f'{name} must be an object of curves, such as {{"head_yaw": [...]}}, not {shown(data)}.')
        return cls(
            {key: _read(values, _curve(key, name), f"{name}: {key}") for key, values in data.items() if values != []}
        )

    @classmethod
    def parse(cls, text: str, name: str = "The motion edit") -> Self:
        """Read an edit from JSON text; text without a word is an edit of nothing. Raises MotionError."""
        try:
            return cls.from_dict(parse_json(text) if text.strip() else {}, name)
        except ValueError as error:
            raise MotionError(f"{name} is not valid JSON ({first_line(error)}).") from error

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of ``save``. Raises MotionError for an invalid file."""
        path = check_path("The file of the motion edit", path, MotionError)
        try:
            text = read_text(path)
        except OSError as error:
            raise MotionError(f"The motion edit '{path}' cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise MotionError(f"'{path}' is not a motion edit: {first_line(error)}.") from error
        return cls.parse(text, f"The motion edit '{path}'")

    def save(self, path: Path | str) -> None:
        """Write JSON with one line per curve. Raises OutputError if the file cannot be written."""
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in self.to_dict().items())
        write_text(check_path("The file of the motion edit", path, MotionError), f"{{\n{lines}\n}}\n")

    def to_dict(self) -> dict[str, Any]:
        return {name: curve.to_json() for name, curve in self.curves.items()}


def _chosen(unchanged: Tensor, track: MotionTrack, changed: MotionTrack) -> MotionTrack:
    """Return the frames of ``track`` where ``unchanged`` (F,), and those of ``changed`` elsewhere."""
    tensors: dict[str, Any] = {}
    for name in TENSORS:
        before, after = getattr(track, name), getattr(changed, name)
        tensors[name] = torch.where(unchanged.to(before.device).view(-1, *[1] * (before.dim() - 1)), before, after)
    return replace(track, **tensors)


def _curve(name: str, where: str) -> EditableCurve:
    if name not in CURVES:
        raise MotionError(f"{where} has the unknown curve {shown(name)}: the curves are {', '.join(CURVES)}.")
    return CURVES[name]


def _read(data: Any, curve: EditableCurve, where: str) -> Keyframes | Samples:
    if not isinstance(data, list):
        raise MotionError(f"{where} must be a list of keys or of numbers, not {shown(data)}.")
    if not any(isinstance(entry, dict) for entry in data):
        return _samples(data, curve, where)
    if len(data) > MOST_KEYS:
        raise MotionError(f"{where} has {len(data)} keys; at most {MOST_KEYS} can be read: give a list of values.")
    keys = sorted(
        (_key(entry, curve, f"{where}: key {number}") for number, entry in enumerate(data)), key=attrgetter("time")
    )
    for one, other in pairwise(keys):
        if one.time == other.time:
            raise MotionError(f"{where} has two keys at {one.time:g} s: remove one of them.")
    return Keyframes(tuple(keys))


def _key(entry: Any, curve: EditableCurve, where: str) -> Key:
    check_type(where, entry, dict, 'an object such as {"time": 1.5, "value": 0.5}', MotionError)
    for unknown in entry.keys() - {"time", "value", "interpolation"}:
        raise MotionError(f"{where} has the unknown entry {shown(unknown)}: it may have time, value and interpolation.")
    interpolation = entry.get("interpolation", "smooth")
    if interpolation not in INTERPOLATIONS:
        raise MotionError(f"{where}: interpolation must be smooth or linear, not {shown(interpolation)}.")
    time = check_real(f"{where}: time", entry.get("time"), 0, LATEST, MotionError)
    return Key(time, _value(entry.get("value"), curve, f"{where}: value"), interpolation)


def _samples(values: Sequence[Any], curve: EditableCurve, where: str) -> Samples:
    if not 1 <= len(values) <= MOST_FRAMES:
        raise MotionError(f"{where} must have between 1 and {MOST_FRAMES} values, not {len(values)}.")
    return Samples(tuple(_value(value, curve, f"{where}: value {number}") for number, value in enumerate(values)))


def _value(value: Any, curve: EditableCurve, where: str) -> float:
    return check_real(where, value, curve.low, curve.high, MotionError)
