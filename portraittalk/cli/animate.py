"""``portraittalk animate``: make a video from a portrait, speech and an optional prompt."""

import time

import typer

from .animate_options import AnimateOptions
from .options import command

app = typer.Typer()


@command(app, AnimateOptions)
def animate(options: AnimateOptions) -> None:
    """Animate a portrait to speech, with an optional prompt for its expression."""
    from ..metrics.cost import peak_memory_mb
    from .animation import Animation
    from .run_costs import RunCosts, Stopwatch, cache_folder, summed_up
    from .terminal import ProgressBars, messages, summary

    animation = Animation.read(options)
    costs = RunCosts(cache_folder())
    line = summed_up(animation.frames, animation.frame_size, animation.expected(costs))
    messages.print(line, highlight=False, soft_wrap=True)
    pipeline = animation.load_model()
    started = time.perf_counter()
    with ProgressBars() as progress:
        watch = Stopwatch(progress)
        video = animation.run(pipeline, watch)
    animation.remember(costs, video, watch)
    seconds = time.perf_counter() - started
    typer.echo(f"{options.out}: {summary(animation.frames, options.fps, seconds, peak_memory_mb())}")
