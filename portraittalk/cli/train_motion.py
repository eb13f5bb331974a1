"""``portraittalk train motion``: train the network from speech to expression on videos and motion capture."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import SettingsError
from .train import Basis, Config, Minutes, Out, Seed, Set, Steps, app, configured, ends, files_of


@app.command()
def motion(
    out: Out,
    config: Config = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of talking-head videos.")] = None,
    tracks: Annotated[Path | None, typer.Option(help="Output folder of `tracks` for the videos.")] = None,
    mocap: Annotated[
        Path | None,
        typer.Option(help="Folder of motion capture (.csv of Live Link Face, .npz), each with its sound beside it."),
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="Name prefix of videos and captures held out for validation; repeatable.")
    ] = None,
    phones: Annotated[
        Path | None, typer.Option(help="Folder of phone files of videos and captures; some or all may be missing.")
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="Folder of synthetic speech: audio files, each with its phone file.")
    ] = None,
    wordless: Annotated[
        Path | None, typer.Option(help="Folder of sounds without speech or singing, such as music.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Initial weights: of another run, or a whole model such as mini.safetensors.")
    ] = None,
    basis: Basis = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the motion network, which predicts expressions from speech."""
    from ..media.source import VIDEOS
    from ..training.data.mocap import MOCAP
    from ..training.face.basis import read_basis
    from ..training.motion.speech import Sources, train
    from ..training.runs import MotionRun

    options: dict[str, Any] = {"clips": clips, "tracks": tracks, "mocap": mocap, "phones": phones, "basis": basis}
    options |= {"validation": validation, "synthetic": synthetic, "wordless": wordless, "start": start}
    run = configured(MotionRun, "motion", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    videos = [path for path in files_of(run.clips) if path.suffix.lower() in VIDEOS]
    takes = [path for path in files_of(run.mocap) if path.suffix.lower() in MOCAP]

    def split(files: list[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        held_out = tuple(path for path in files if run.validation and path.stem.startswith(run.validation))
        return tuple(path for path in files if path not in held_out), held_out

    (training_videos, held_out_videos), (training_takes, held_out_takes) = split(videos), split(takes)
    if not training_videos and not training_takes:
        raise SettingsError("There is nothing to train on: give --clips with videos, or --mocap with motion capture.")
    audio_files = (path for path in files_of(run.synthetic) if path.suffix != ".phones")
    synthetic_speech = tuple(path for path in audio_files if path.with_suffix(".phones").exists())
    sounds = tuple(files_of(run.wordless))
    sources = Sources(training_videos, run.tracks, run.phones, synthetic_speech, sounds, training_takes)
    held_out = Sources(held_out_videos, run.tracks, run.phones, (), (), held_out_takes)
    train(sources, held_out, read_basis(run.basis), out, run.network, run.training, run.start)
