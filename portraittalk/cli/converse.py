"""``portraittalk converse``: make a video of several people of one picture who talk to each other."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..errors import SettingsError
from .animate_options import SMALLEST_MAX_SIZE
from .options import Device, Landmarker, Model, ModelsDir, Steps, check_exist, command

Value = TypeVar("Value")

app = typer.Typer()


@dataclass(frozen=True)
class ConverseOptions:
    """The command's options, as given by the user."""

    picture: Annotated[Path, typer.Argument(help="Picture with a face for each speech.")]
    audio: Annotated[
        list[Path],
        typer.Option(
            help="What one person says, repeat the option for each person. All begin with the video, "
            "with silence where others speak, unless --in-turns is given."
        ),
    ]
    out: Annotated[
        Path, typer.Option(help="Output video; the suffix selects the format: .mp4, .webm, .gif, .webp, or .png.")
    ]
    in_turns: Annotated[
        bool,
        typer.Option("--in-turns", help="Let each speech begin where the one before ends."),
    ] = False
    face_index: Annotated[
        list[int] | None,
        typer.Option(
            help="Face of each speech, in their order; 0 is the largest, 1 the next. Default: from left to right."
        ),
    ] = None
    prompt: Annotated[
        list[str] | None, typer.Option(help="What each person's face should do, in the order of the speeches.")
    ] = None
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same video.")] = 0
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 25.0
    steps: Steps = None
    model: Model = "mini"
    models_dir: ModelsDir = None
    device: Device = "auto"
    head_motion: Annotated[float, typer.Option(help="Strength of head motion; 0 keeps the heads still.")] = 1.0
    expression_strength: Annotated[float, typer.Option(help="Strength of expressions.")] = 1.0
    liveliness: Annotated[
        float, typer.Option(help="How lively the people are: 0 still, 1 natural speakers, 2 lively ones.")
    ] = 1.0
    blinks: Annotated[float, typer.Option(help="Blinks per minute on average; 0 for none.")] = 16.0
    max_size: Annotated[
        int, typer.Option(help="Longest side of the picture in pixels; larger pictures are scaled down.")
    ] = 2048
    preview: Annotated[float | None, typer.Option(metavar="SECONDS", help="Render only the first seconds.")] = None
    landmarker: Landmarker = "own"


@command(app, ConverseOptions)
def converse(options: ConverseOptions) -> None:
    """Animate several people of one picture, each with a speech of their own; who does not speak listens."""
    from ..face.providers import provider_named
    from ..face.select import FaceChoice
    from ..media.audio import frame_count, read_audio
    from ..media.image import read_image
    from ..media.video import check_output, check_room, write_video
    from ..metrics.cost import peak_memory_mb
    from ..pipelines import conversation
    from ..sampling.settings import chosen_settings
    from ..types import image_size
    from ..weights.files import find_weights, model_folders
    from ..weights.load import read_config
    from .machine import Machine
    from .terminal import ProgressBars, summary

    if options.max_size < SMALLEST_MAX_SIZE:
        raise SettingsError(f"--max-size must be at least {SMALLEST_MAX_SIZE} pixels, not {options.max_size}.")
    count = len(options.audio)
    prompts = _one_each("--prompt", options.prompt, count) or [""] * count
    indices = _one_each("--face-index", options.face_index, count)
    check_exist([options.picture, *options.audio])
    path = find_weights(options.model, model_folders(options.models_dir))
    kind = check_output(options.out, inputs=[options.picture, *options.audio, path])
    provider = provider_named(options.landmarker)
    config = read_config(path)
    settings = chosen_settings(config, seed=options.seed, steps=options.steps)
    image = read_image(options.picture, options.max_size).flattened()
    sounds = [read_audio(file, duration=options.preview) for file in options.audio]
    if options.in_turns:
        sounds = conversation.in_turns(sounds)
    longest = max(frame_count(sound.samples, sound.sample_rate, options.fps) for sound in sounds)
    check_room(options.out, kind, image, longest)
    pipeline = Machine(options.device).load(path, config, settings, longest, image_size(image), 1)
    faces = (
        conversation.faces_from_left(image, count, provider)
        if indices is None
        else [FaceChoice(index=index) for index in indices]
    )
    speakers = [
        conversation.Speaker(sound, face, prompt) for sound, face, prompt in zip(sounds, faces, prompts, strict=True)
    ]
    started = time.perf_counter()
    with ProgressBars() as progress:
        frames = conversation.converse(
            pipeline,
            image,
            speakers,
            settings,
            fps=options.fps,
            provider=provider,
            head_motion=options.head_motion,
            expression_strength=options.expression_strength,
            liveliness=options.liveliness,
            blinks_per_minute=options.blinks,
            progress=progress,
        )
        write_video(frames, options.out, frames.fps, frames.audio)
    seconds = time.perf_counter() - started
    typer.echo(f"{options.out}: {summary(len(frames), frames.fps, seconds, peak_memory_mb())}")


def _one_each(name: str, values: list[Value] | None, count: int) -> list[Value] | None:
    """Return the values of an option, or None if it is not given. Raises SettingsError unless there are ``count``."""
    if not values:
        return None
    if len(values) != count:
        raise SettingsError(f"{name} is given {len(values)} times for {count} speeches: give it once for each --audio.")
    return values
