"""Checks of values that users give. The sentence of the error names the value, what is wrong, and what is right."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .errors import PortraitTalkError, SettingsError

LOWEST_FPS, HIGHEST_FPS = 0.1, 1000.0  # of videos and motion tracks that are read and written
_SHOWN = 60  # characters of a value in a message


def check_real(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[PortraitTalkError] = SettingsError,
) -> float:
    """Return ``value`` as a float. Raises ``error`` unless it is a finite number between ``low`` and ``high``.

    name: the beginning of the sentence, such as "The seed".
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
    if not (math.isfinite(number) and low <= number <= high):
        raise error(f"{name} must be a{_range(low, high)}, not {shown(value)}.")
    return number


def check_whole(
    name: str, value: Any, low: int, high: int | None = None, error: type[PortraitTalkError] = SettingsError
) -> int:
    """Return ``value`` as an int. Raises ``error`` unless it is a whole number between ``low`` and ``high``."""
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is None or number < low or (high is not None and number > high):
        limits = f"between {low} and {high}" if high is not None else f"of at least {low}"
        raise error(f"{name} must be a whole number {limits}, not {shown(value)}.")
    return number


def check_type(
    name: str, value: Any, kinds: type | tuple[type, ...], wanted: str, error: type[PortraitTalkError]
) -> None:
    """Raise ``error`` unless ``value`` is of one of the ``kinds``. wanted: what is right, such as "a path"."""
    if not isinstance(value, kinds):
        raise error(f"{name} must be {wanted}, not {shown(value)}.")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise SettingsError unless ``value`` is one of the choices."""
    if value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}.")


def check_path(name: str, value: Any, error: type[PortraitTalkError]) -> Path:
    """Return ``value`` as a Path. Raises ``error`` unless it is text or a path, without null characters."""
    check_type(name, value, (str, Path), "a path", error)
    if "\0" in str(value):
        raise error(f"{name} must be a path, and no path has a null character as {shown(str(value))} has.")
    return Path(value)


def shown(value: Any) -> str:
    """Return a value as it stands in a message: numbers and short text themselves, else what kind of thing it is."""
    if value is None:
        return "None"
    if not isinstance(value, (Real, str)):
        return f"an object of type {type(value).__name__}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "a number of more than 60 digits"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def first_line(error: Exception) -> str:
    """Return the beginning of the message of another library's error, for a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(".")
    return line if len(line) <= 2 * _SHOWN else f"{line[: 2 * _SHOWN - 3]}..."


def _range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" number between {low:g} and {high:g}"
    return " finite number" + (f" of at least {low:g}" if math.isfinite(low) else "")
