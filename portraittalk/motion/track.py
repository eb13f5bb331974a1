"""The motion track: per-frame motion of a face, and its human-readable JSON file format."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..checks import HIGHEST_FPS, LOWEST_FPS, check_path, check_real, check_type, first_line, shown
from ..errors import MotionError
from ..output_files import write_text
from ..text_files import parse_json, read_text
from ..types import Movable

FORMAT = "portraittalk.motion"
VERSION = 1
DECIMALS = 5
MOST_FRAMES = 500_000  # 5.5 hours at 25 fps
FRAMES_AT_ONCE = 1000  # that are written: as Python's numbers, they take ten times the memory
LARGEST = 100.0  # largest absolute value of a coefficient, an angle in radians or a distance in eye distances
_LISTS = {"rotation": 3, "translation": 3, "gaze": 2}
_NUMBERS = ("blink", "rest", "tongue", "relaxed")


@dataclass(frozen=True)
class MotionTrack(Movable):
    """F frames of motion at ``fps``.

    expression: (F, 52) ARKit coefficients, about 0..1, in the order of ``ARKIT_NAMES``.
    rotation: (F, 3) radians of pitch (positive looks down), yaw (positive turns to the picture's right) and roll
    (positive leans clockwise as seen), relative to the portrait's own pose.
    translation: (F, 3) in eye distances: right, down and away from the camera in the picture.
    gaze: (F, 2) radians of yaw (positive to the picture's right) and pitch (positive down), relative to the portrait's.
    blink: (F,) in 0..1, closes both eyes; the larger of this and the eyeBlink coefficients applies.
    rest: (F,) in 0..1, how much of the portrait's mouth is kept where the expression asks for less: 1 before the first
    word, so that the video starts like the portrait; 0 while speaking.
    tongue: (F,) in 0..1, how far the tip of the tongue is raised towards the upper teeth, as on l, n, t and d; the
    coefficient tongueOut brings it forward between the teeth. Painted mouths show both; models that draw the whole
    face (LivePortrait, AniPortrait, EchoMimic) do not.
    relaxed: (F,) in 0..1, how far the portrait's own smile is given up, as people do who smile for a picture and then
    speak.
    prompt: the prompt whose expression is already included, so that it is not added twice; "" if there is none.
    """

    fps: float
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    gaze: Tensor
    blink: Tensor
    rest: Tensor
    tongue: Tensor
    relaxed: Tensor
    prompt: str = ""

    def __len__(self) -> int:
        return self.expression.shape[0]

    def __getitem__(self, frames: slice) -> Self:
        return self.each(lambda values: values[frames])

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the track with ``change`` applied to each of its tensors."""
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in TENSORS}
        return replace(self, **changed)

    @classmethod
    def of_expression(cls, expression: Tensor, fps: float) -> Self:
        """Return a track of an expression (F, 52) whose other values are 0."""
        rotation, translation, gaze = (expression.new_zeros(len(expression), size) for size in _LISTS.values())
        numbers = expression.new_zeros(len(_NUMBERS), len(expression))
        return cls(fps, expression, rotation, translation, gaze, *numbers)

    def save(self, path: Path | str) -> None:
        """Write JSON with one line per frame; coefficients that are 0 are omitted.

        Raises MotionError for a track that ``load`` would refuse, OutputError if the file cannot be written.
        """
        path = check_path("The file of the motion track", path, MotionError)
        check_motion(self)
        write_text(path, self._written())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of ``save``; frames may omit values that are 0. Raises MotionError for an invalid file."""
        path = check_path("The file of the motion track", path, MotionError)
        try:
            text = read_text(path)
            if text.count("{") > 2 * MOST_FRAMES + 1:  # of the file, each frame and its expression
                raise MotionError(f"The motion track '{path}' has more than {MOST_FRAMES} frames: split it.")
            data = parse_json(text)
        except OSError as error:
            raise MotionError(f"The motion track '{path}' cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise MotionError(f"'{path}' is not a motion track: it is not valid JSON ({first_line(error)}).") from error
        return cls.from_dict(data, str(path))

    @classmethod
    def from_dict(cls, data: Any, name: str = "the motion track") -> Self:
        """Build a track from the result of ``to_dict``. name: how error messages refer to it."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise MotionError(f'{name} is not a motion track: it has no "format": "{FORMAT}".')
        if data.get("version") != VERSION:
            raise MotionError(
                f"{name} has version {shown(data.get('version'))}; this version of PortraitTalk reads only version "
                f"{VERSION}."
            )
        fps = check_real(f"{name}: fps", data.get("fps"), LOWEST_FPS, HIGHEST_FPS, MotionError)
        prompt = data.get("prompt", "")
        check_type(f"{name}: prompt", prompt, str, "text", MotionError)
        frames = data.get("frames")
        if not isinstance(frames, list) or not frames:
            raise MotionError(f"{name} has no frames.")
        if len(frames) > MOST_FRAMES:
            raise MotionError(f"{name} has {len(frames)} frames; at most {MOST_FRAMES} can be read: split it.")
        parts = (len(ARKIT_NAMES), *_LISTS.values(), len(_NUMBERS))
        rows = np.empty((len(frames), sum(parts)), np.float32)
        for index, frame in enumerate(frames):
            rows[index] = _row(frame, f"{name}: frame {index}")
        expression, rotation, translation, gaze, numbers = torch.from_numpy(rows).split(parts, dim=1)
        blink, rest, tongue, relaxed = numbers.unbind(1)
        return cls(fps, expression, rotation, translation, gaze, blink, rest, tongue, relaxed, prompt)

    def to_dict(self) -> dict[str, Any]:
        return {**self._head(), "frames": self._frames()}

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {"format": FORMAT, "version": VERSION, "fps": self.fps}
        return {**head, "prompt": self.prompt} if self.prompt else head

    def _written(self) -> Iterator[str]:
        """Yield the parts of the file: with all frames at once, it takes ten times the track's memory."""
        yield f'{{{json.dumps(self._head())[1:-1]},\n"frames": ['
        for start in range(0, len(self), FRAMES_AT_ONCE):
            for number, frame in enumerate(self[start : start + FRAMES_AT_ONCE]._frames(), start):
                yield f"{',' if number else ''}\n{json.dumps(frame)}"
        yield "\n]}\n"

    def _frames(self) -> list[dict[str, Any]]:
        def rounded(values: Tensor) -> list[Any]:
            return values.double().cpu().mul(10**DECIMALS).round().div(10**DECIMALS).tolist()

        columns = zip(*(rounded(getattr(self, name)) for name in TENSORS), strict=True)
        return [
            {
                "expression": {name: value for name, value in zip(ARKIT_NAMES, expression, strict=True) if value},
                "rotation": rotation,
                "translation": translation,
                "gaze": gaze,
                "blink": blink,
                **({"rest": rest} if rest else {}),
                **({"tongue": tongue} if tongue else {}),
                **({"relaxed": relaxed} if relaxed else {}),
            }
            for expression, rotation, translation, gaze, blink, rest, tongue, relaxed in columns
        ]


TENSORS = tuple(f.name for f in fields(MotionTrack) if f.name not in ("fps", "prompt"))


def concatenate(tracks: Sequence[MotionTrack]) -> MotionTrack:
    """Concatenate tracks in time. Raises MotionError if there are none, or their frame rates differ."""
    if not tracks:
        raise MotionError("No motion tracks were given to join.")
    rates = sorted({track.fps for track in tracks})
    if len(rates) > 1:
        raise MotionError(f"Motion tracks of {rates[0]:g} and {rates[-1]:g} fps cannot be joined: resample one first.")
    joined: dict[str, Any] = {name: torch.cat([getattr(track, name) for track in tracks]) for name in TENSORS}
    return replace(tracks[0], **joined)


def check_motion(track: MotionTrack, name: str = "The motion track") -> None:
    """Raise MotionError unless the track has frames, shapes that fit, and values and a frame rate within the limits."""
    check_type(name, track, MotionTrack, "a MotionTrack", MotionError)
    check_real(f"{name}: fps", track.fps, LOWEST_FPS, HIGHEST_FPS, MotionError)
    check_type(f"{name}: prompt", track.prompt, str, "text", MotionError)
    count = len(track.expression) if isinstance(track.expression, Tensor) and track.expression.ndim else 0
    if not 1 <= count <= MOST_FRAMES:
        raise MotionError(f"{name} must have between 1 and {MOST_FRAMES} frames, not {count}.")
    shapes = {"expression": (count, len(ARKIT_NAMES)), **{key: (count, size) for key, size in _LISTS.items()}}
    for key in TENSORS:
        values, shape = getattr(track, key), shapes.get(key, (count,))
        check_type(f"{name}: {key}", values, Tensor, "a tensor", MotionError)
        if tuple(values.shape) != shape or not values.is_floating_point():
            raise MotionError(
                f"{name}: {key} must be a floating-point tensor of shape {shape}, not {tuple(values.shape)} of "
                f"{values.dtype}."
            )
        low, high = values.aminmax()  # NaN if one value is; no copy of a long track
        if not (low >= -LARGEST and high <= LARGEST):
            raise MotionError(f"{name}: {key} holds NaN, infinity or a value beyond {LARGEST:g}: remove these values.")


def _row(frame: Any, where: str) -> list[float]:
    """Return the 52 + 3 + 3 + 2 + 1 + 1 + 1 + 1 numbers of one frame of the file."""
    if not isinstance(frame, dict):
        raise MotionError(
            f"{where} is not an object with expression, rotation, translation, gaze, blink, rest, tongue and relaxed."
        )
    for key in frame.keys() - {"expression", *_LISTS, *_NUMBERS}:
        raise MotionError(f"{where} has the unknown key {shown(key)}.")
    expression = frame.get("expression", {})
    if not isinstance(expression, dict):
        raise MotionError(f"{where}: expression must map ARKit names such as jawOpen to numbers.")
    row = [0.0] * len(ARKIT_NAMES)
    for key, value in expression.items():
        if key not in ARKIT_INDEX:
            raise MotionError(f"{where}: {shown(key)} is not one of ARKit's expression names.")
        row[ARKIT_INDEX[key]] = _number(value, f"{where}: {key}")
    for key, length in _LISTS.items():
        values = frame.get(key, [0.0] * length)
        if not isinstance(values, list) or len(values) != length:
            raise MotionError(f"{where}: {key} must be a list of {length} numbers.")
        row += [_number(value, f"{where}: {key}") for value in values]
    return row + [_number(frame.get(key, 0.0), f"{where}: {key}") for key in _NUMBERS]


def _number(value: Any, where: str) -> float:
    return check_real(where, value, -LARGEST, LARGEST, MotionError)
