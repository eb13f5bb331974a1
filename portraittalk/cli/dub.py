"""``portraittalk dub``: make the face in a film speak other audio."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Landmarker, Model, ModelsDir, Steps, check_exist, command

app = typer.Typer()


@dataclass(frozen=True)
class DubOptions:
    """The command's options, as given by the user."""

    film: Annotated[Path, typer.Argument(help="Video with a face; the largest one is followed.")]
    audio: Annotated[Path, typer.Option(help="What the face says from now on (audio or video file).")]
    out: Annotated[Path, typer.Option(help="Output video, as long as the film; the suffix selects the format.")]
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same video.")] = 0
    fps: Annotated[float | None, typer.Option(help="Frames per second; default: the film's own.")] = None
    expression_strength: Annotated[float, typer.Option(help="Strength of the mouth's motion.")] = 1.0
    steps: Steps = None
    model: Model = "mini"
    models_dir: ModelsDir = None
    device: Device = "auto"
    landmarker: Landmarker = "own"


@command(app, DubOptions)
def dub(options: DubOptions) -> None:
    """Make the face in a film speak other audio; head, eyes and background stay as they are."""
    from ..face.providers import provider_named
    from ..media.audio import read_audio
    from ..media.reader import read_video
    from ..media.video import check_output, write_video
    from ..metrics.cost import peak_memory_mb
    from ..pipelines import dubbing
    from ..sampling.settings import chosen_settings
    from ..weights.files import find_weights, model_folders
    from ..weights.load import read_config
    from .machine import Machine
    from .terminal import ProgressBars, summary

    check_exist([options.film, options.audio])
    path = find_weights(options.model, model_folders(options.models_dir))
    check_output(options.out, inputs=[options.film, options.audio, path])
    config = read_config(path)
    settings = chosen_settings(config, seed=options.seed, steps=options.steps)
    film = read_video(options.film, options.fps)
    sound = read_audio(options.audio)
    dubbing.check_dubs(config)
    pipeline = Machine(options.device).load(path, config, settings, 1, film.size, 1)
    started = time.perf_counter()
    with ProgressBars() as progress:
        frames = dubbing.dub(
            pipeline,
            film,
            sound,
            settings,
            provider=provider_named(options.landmarker),
            expression_strength=options.expression_strength,
            progress=progress,
        )
        write_video(frames, options.out, film.fps, frames.audio)
    seconds = time.perf_counter() - started
    typer.echo(f"{options.out}: {summary(len(frames), frames.fps, seconds, peak_memory_mb())}")
