"""``portraittalk prepare``: videos and portraits become a data set to train on."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from .options import Landmarker

app = typer.Typer()


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder of talking-head videos and portraits.")],
    out: Annotated[Path, typer.Option(help="Folder of clips to write; what a former run finished is kept.")],
    workers: Annotated[int, typer.Option(min=1, help="Sources that are worked on at once.")] = 1,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the clips, if not the videos' own.")] = None,
    shortest: Annotated[float, typer.Option(help="Seconds; shorter stretches are dropped.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Seconds; longer stretches are split.")] = 10.0,
    eyes: Annotated[float, typer.Option(help="Least distance of the outer eye corners, in pixels.")] = 48.0,
    landmarker: Landmarker = "own",
) -> None:
    """Make a data set to train on: cleaned, cropped, tracked clips; report.json says what was dropped."""
    from ..config import MINI
    from ..training.data.clean import CleanRules
    from ..training.data.prepare import PrepareSettings, summarised
    from ..training.data.prepare import prepare as run
    from .terminal import ProgressBars, dropped_table

    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: give one that holds videos or portraits.")
    if not 0 < shortest <= longest:
        raise SettingsError(f"Clips cannot last from {shortest:g} to {longest:g} seconds: swap or change the two.")
    rules = CleanRules(seconds=(shortest, longest), eyes=eyes)
    with ProgressBars() as bars:
        reports = run(folder, out, PrepareSettings(MINI, rules, fps, landmarker), workers, bars)
    typer.echo(dropped_table(summarised(reports)))
