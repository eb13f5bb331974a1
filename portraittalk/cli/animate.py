"""``portraittalk animate``: make a video from a portrait, speech and an optional prompt."""

import time

import typer

from .animate_options import AnimateOptions
from .options import command

app = typer.Typer()


@command(app, AnimateOptions)
def animate(options: AnimateOptions) -> None:
    """Animate a portrait to speech, with an optional prompt for its expression."""
    from .animation import Animation
    from .terminal import ProgressBars, summary

    animation = Animation.read(options)
    pipeline = animation.load_model()
    started = time.perf_counter()
    with ProgressBars() as progress:
        animation.run(pipeline, progress)
    typer.echo(f"{options.out}: {summary(animation.frames, options.fps, time.perf_counter() - started)}")
