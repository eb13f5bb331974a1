"""``portraittalk train adfd``: the speech-to-face predictor that ADFD measures with, and a check of its ranking."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from .train import Clips, Config, LeaveOut, Minutes, Out, Seed, Set, Steps, configured, ends, files_of

app = typer.Typer(no_args_is_help=True, help="Train and check the predictor of the ADFD metric.")


@app.command("fit")
def fit_predictor(
    out: Out,
    config: Config = None,
    clips: Clips = None,
    sounds: Annotated[
        Path | None, typer.Option(help="Folder of the videos or sounds that the clips come from, of the same names.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="How the names of the clips to train on begin.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the predictor on filmed clips; OUT/adfd.safetensors is what `evaluate` uses."""
    from ..training.data.prepare import clip_files
    from ..training.motion.adfd import train_adfd
    from ..training.runs import AdfdRun

    options = {"clips": clips, "sounds": sounds, "only": only, "leave_out": leave_out or []}
    run = configured(AdfdRun, "adfd fit", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    heard = {path.stem: path for path in files_of(run.sounds)}
    chosen = [p for p in clip_files(run.clips, run.leave_out) if p.stem.startswith(run.only) and p.stem in heard]
    if not chosen:
        raise SettingsError(f"No clip of {run.clips} has its sound in {run.sounds}: a sound needs its clip's name.")
    train_adfd(chosen, heard, run.training, out)


@app.command("rank")
def rank_videos(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Real videos of people talking, two or more.")],
    made: Annotated[Path | None, typer.Option(help="Folder of made videos of the same names.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A trained predictor; by default the one that ships.")] = None,
    landmarker: Annotated[str, typer.Option(help="What finds the face: own, or mediapipe (an extra).")] = "own",
) -> None:
    """Check that ADFD puts real > out of step > another's sound > still."""
    from ..face.providers import provider_named
    from ..metrics.dynamics import FILE, load_dynamics
    from ..metrics.ranking import rank, ranking_table

    if len(videos) < 2:
        raise SettingsError("Ranking needs two videos or more: the others' sounds are what one is compared with.")
    typer.echo(ranking_table(rank(videos, provider_named(landmarker), load_dynamics(weights or FILE), made)))
