"""Widgets that several nodes have, so that they have the same range everywhere."""

from typing import Any

from comfy_api.latest import io

from ..portraittalk.errors import SettingsError

MAX_SEED = 0xFFFFFFFFFFFFFFFF


def seed(tooltip: str) -> io.Input:
    """Return the widget of a random seed. It stays as it is after a run, so that a result is not computed again."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=MAX_SEED,
        control_after_generate=io.ControlAfterGenerate.fixed,
        tooltip=tooltip,
    )


def fps(tooltip: str) -> io.Input:
    """Return the widget of a frame rate."""
    return io.Float.Input("fps", default=25.0, min=1.0, max=120.0, step=0.01, tooltip=tooltip)


def amount(name: str, tooltip: str, optional: bool = False) -> io.Input:
    """Return the widget of an amplitude, 1 by default and 0 for none."""
    return io.Float.Input(name, default=1.0, min=0.0, max=3.0, step=0.05, optional=optional, tooltip=tooltip)


def chosen(name: str, value: dict[str, Any] | None) -> dict[str, Any]:
    """Return the value of a DynamicCombo input.

    Raises SettingsError where a workflow names no option of its list: ComfyUI then leaves the input out.
    """
    if value is None:
        raise SettingsError(f"The input '{name}' is none of its options: choose one from the list.")
    return value
