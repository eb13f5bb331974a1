"""Widgets that several nodes have, so that they have the same range everywhere."""

from comfy_api.latest import io

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
