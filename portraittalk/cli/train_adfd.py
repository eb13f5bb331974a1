"""``portraittalk train adfd``: train the speech-to-face predictor of the ADFD metric, and check its ranking."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from .options import Landmarker
from .train import Clips, Config, LeaveOut, Minutes, Out, Seed, Set, Steps, clips_of, configured, ends, files_of

app = typer.Typer(no_args_is_help=True, help="Train and check the predictor of the ADFD metric.")


@app.command("fit")
def fit_predictor(
    out: Out,
    config: Config = None,
    clips: Clips = None,
    sounds: Annotated[
        Path | None,
        typer.Option(help="Folder of the clips' source videos or audio files, with the same names as the clips."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Name prefix of the clips to train on.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the predictor on real clips. Writes OUT/adfd.safetensors; `evaluate` uses the copy in the package."""
    from ..training.motion.adfd import train_adfd
    from ..training.runs import AdfdRun

    options = {"clips": clips, "sounds": sounds, "only": only, "leave_out": leave_out or []}
    run = configured(AdfdRun, "adfd fit", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    audio = {path.stem: path for path in files_of(run.sounds)}
    selected = [p for p in clips_of(run.clips, run.leave_out) if p.stem.startswith(run.only) and p.stem in audio]
    if not selected:
        raise SettingsError(
            f"No clip in {run.clips} has audio in {run.sounds}: the audio file of a clip must have the clip's name."
        )
    if len(selected) == 1:
        raise SettingsError(f"Only one clip in {run.clips} has audio in {run.sounds}: at least two are needed.")
    train_adfd(selected, audio, run.training, out)


@app.command("rank")
def rank_videos(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Two or more real talking-head videos.")],
    made: Annotated[Path | None, typer.Option(help="Folder of generated videos with the same names.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of a trained predictor; default: those in the package.")
    ] = None,
    landmarker: Landmarker = "own",
) -> None:
    """Check that ADFD ranks real video > shifted audio > another video's audio > still video."""
    from ..face.providers import provider_named
    from ..metrics.dynamics import FILE, load_dynamics
    from ..metrics.ranking import rank, ranking_table

    if len(videos) < 2:
        raise SettingsError("Give at least two videos: each is compared with the audio of the others.")
    typer.echo(ranking_table(rank(videos, provider_named(landmarker), load_dynamics(weights or FILE), made)))
