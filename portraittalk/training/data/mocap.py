"""Facial motion capture as ARKit coefficients at 25 fps, in step with a sound file beside it.

Two kinds of files are read:

- ``.csv`` of Epic's Live Link Face: a timecode, the number of values, 52 ARKit coefficients, and yaw, pitch and roll of
  the head and of each eye in radians, which are not used;
- ``.npz`` with ``arkit`` (F, N), their names ``arkit_names`` (N,) and ``fps``, as packed from FACEGOOD-Audio2Face.
"""

import csv
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arkit import ARKIT_INDEX, ARKIT_NAMES
from ...checks import HIGHEST_FPS, LOWEST_FPS
from ...errors import MotionError
from ...models.motion_net import MOTION_FPS
from ...text_files import read_text

MOCAP = (".csv", ".npz")
TIMECODE = re.compile(r"(\d+):([0-5]\d):([0-5]\d)[:;](\d+(?:\.\d+)?)")  # hours, minutes, seconds, frame
RATES = (24, 25, 30, 48, 50, 60, 120)  # of which a timecode counts frames
DAY = 24 * 3600.0
LARGEST_GAP = 0.5  # seconds without a row that are interpolated
RANGE = (-0.5, 1.5)  # of a coefficient; calibrated ones leave 0..1 by a little


@dataclass(frozen=True)
class Mocap:
    """expression: (F, 52) coefficients in 0..1 at 25 fps, from the first row of the file on. given: (52,) which of them
    were captured, which those that are 0 throughout were not: rigs lack some."""

    expression: Tensor
    given: Tensor


def read_mocap(path: Path) -> Mocap:
    """Read a file of motion capture. Raises MotionError if it is missing or malformed."""
    readers = {".csv": _read_live_link, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise MotionError(f"{path.name} is no motion capture: give a .csv of Live Link Face or an .npz file.")
    try:
        times, names, values = readers[path.suffix.lower()](path)
    except OSError as error:
        raise MotionError(f"The motion capture {path} cannot be read: {error.strerror or error}.") from error
    if len(times) < 2:
        raise MotionError(f"{path.name} has {len(times)} frames: motion capture needs at least two.")
    low, high = RANGE
    if not ((values >= low) & (values <= high)).all():  # also if one is NaN
        raise MotionError(f"{path.name} has coefficients that are not in 0..1: export ARKit coefficients.")
    expression = np.zeros((len(times), len(ARKIT_NAMES)), np.float32)
    expression[:, [ARKIT_INDEX[name] for name in names]] = values
    resampled = _resampled(times - times[0], torch.from_numpy(expression)).clamp(0, 1)
    return Mocap(resampled, resampled.any(0))


def _read_npz(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the times (F,) in seconds, the ARKit names and their values (F, N) of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values = np.asarray(file["arkit"], np.float64)
            names, fps = [str(name) for name in file["arkit_names"].ravel()], float(file["fps"])
    except KeyError as error:
        raise MotionError(f"{path.name} is no motion capture: it has no array {error.args[0]}.") from error
    except (EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise MotionError(f"{path.name} is no motion capture: it is not an .npz file of plain arrays.") from error
    if values.ndim != 2 or values.shape[1] != len(names):
        raise MotionError(f"{path.name} is no motion capture: 'arkit' must have a column for each of 'arkit_names'.")
    _check_names(path, names)
    if not LOWEST_FPS <= fps <= HIGHEST_FPS:
        raise MotionError(f"{path.name}: fps must be between {LOWEST_FPS:g} and {HIGHEST_FPS:g}, not {fps:g}.")
    return np.arange(len(values)) / fps, names, values


def _read_live_link(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the times (F,) in seconds, the ARKit names and their values (F, N) of a .csv of Live Link Face."""
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path))) if row]
    except (csv.Error, ValueError) as error:
        raise MotionError(f"{path.name} is not a .csv of Live Link Face: it holds no text.") from error
    header = [column.strip() for column in rows[0]] if rows else []
    if header[:1] != ["Timecode"]:
        raise MotionError(f"{path.name} is not a .csv of Live Link Face: its first column must be Timecode.")
    columns = {column[:1].lower() + column[1:]: index for index, column in enumerate(header)}  # EyeBlinkLeft
    if missing := [name for name in ARKIT_NAMES if name not in columns]:
        raise MotionError(
            f"{path.name} lacks {len(missing)} of the {len(ARKIT_NAMES)} ARKit coefficients, such as {missing[0]}: "
            "record it with the mode ARKit."
        )
    # While the face is lost, the app writes rows without values.
    seen = [(number, row) for number, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row[2:])]
    values = np.empty((len(seen), len(ARKIT_NAMES)))
    codes = []
    for index, (number, row) in enumerate(seen):
        code = TIMECODE.fullmatch(row[0].strip())
        try:
            values[index] = [float(row[columns[name]]) for name in ARKIT_NAMES]
        except (IndexError, ValueError) as error:
            raise MotionError(f"{path.name}, row {number}: a coefficient is missing or is not a number.") from error
        if code is None:
            raise MotionError(f"{path.name}, row {number}: the timecode must be hours:minutes:seconds:frame.")
        codes.append([float(part) for part in code.groups()])
    return _seconds(path, np.array(codes).reshape(-1, 4)), list(ARKIT_NAMES), values


def _seconds(path: Path, codes: np.ndarray) -> np.ndarray:
    """Return timecodes (F, 4) in seconds. Their frame rate is the lowest that fits the largest frame number."""
    largest = codes[:, 3].max(initial=0)
    rate = next((rate for rate in RATES if largest < rate), None)
    if rate is None:
        raise MotionError(
            f"{path.name}: the timecode counts to frame {largest:g}, but at most {RATES[-1]} fps are read."
        )
    times = codes @ np.array([3600.0, 60.0, 1.0, 1 / rate])
    times += DAY * np.concatenate(([0], (np.diff(times) < -DAY / 2).cumsum()))  # past midnight
    steps = np.diff(times)
    if len(steps) and (steps <= 0).any():
        raise MotionError(f"{path.name}, row {int((steps <= 0).argmax()) + 3}: the timecode does not advance.")
    if len(steps) and steps.max() > LARGEST_GAP:
        raise MotionError(
            f"{path.name} has no face for {steps.max():.1f} s, from {times[steps.argmax()] - times[0]:.1f} s on: cut "
            "the recording there."
        )
    return times


def _check_names(path: Path, names: list[str]) -> None:
    unknown = [name for name in names if name not in ARKIT_INDEX]
    if unknown or not names or len(set(names)) < len(names):
        what = f"{unknown[0]!r} is none" if unknown else "each must stand there once"
        raise MotionError(f"{path.name}: 'arkit_names' must be names of ARKit coefficients; {what}.")


def _resampled(times: np.ndarray, values: Tensor) -> Tensor:
    """Interpolate values (F, C) at increasing ``times`` (F,) from 0 s on at the middle of each frame at 25 fps.

    A value holds for the frame after its time. Higher rates are averaged first, over the length of a frame, so that
    fast jitter does not turn into slow.
    """
    step = float(np.median(np.diff(times)))
    count = max(round((times[-1] + step) * MOTION_FPS), 1)
    wanted = (np.arange(count) + 0.5) / MOTION_FPS
    reach = max(int(1 / MOTION_FPS / step), 1)  # samples to a frame
    offsets = (np.arange(reach) - (reach - 1) / 2) * step
    middles = times + step / 2
    at = np.clip(wanted[:, None] + offsets, middles[0], middles[-1])  # (count, reach)
    above = np.clip(np.searchsorted(middles, at), 1, len(middles) - 1)
    share = torch.from_numpy((at - middles[above - 1]) / (middles[above] - middles[above - 1]))[..., None].to(values)
    return torch.lerp(values[above - 1], values[above], share).mean(1)
