"""``portraittalk prepare``: make a training data set from videos and portraits."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from .options import Landmarker

app = typer.Typer()


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder of talking-head videos and portraits.")],
    out: Annotated[Path, typer.Option(help="Output folder of clips; sources finished by an earlier run are kept.")],
    workers: Annotated[int, typer.Option(min=1, help="Number of sources processed in parallel.")] = 1,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second of the clips; default: those of each video.")
    ] = None,
    shortest: Annotated[float, typer.Option(help="Minimum clip length in seconds; shorter ones are dropped.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Maximum clip length in seconds; longer ones are split.")] = 10.0,
    eyes: Annotated[float, typer.Option(help="Minimum distance of the outer eye corners in pixels.")] = 48.0,
    landmarker: Landmarker = "own",
) -> None:
    """Make a training data set of cleaned, cropped and tracked clips; report.json lists what was dropped."""
    from ..config import SMALL
    from ..sampling.settings import check_fps
    from ..training.data.clean import CleanRules
    from ..training.data.prepare import PrepareSettings, summarised
    from ..training.data.prepare import prepare as run
    from .terminal import ProgressBars, dropped_table

    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: give a folder of videos or portraits.")
    if not 0 < shortest <= longest:
        raise SettingsError(
            f"--shortest must be above 0 and at most --longest, not {shortest:g} and {longest:g} seconds."
        )
    if fps is not None:
        check_fps(fps)
    if not eyes >= 0:
        raise SettingsError(f"--eyes must be at least 0 pixels, not {eyes:g}.")
    rules = CleanRules(seconds=(shortest, longest), eyes=eyes)
    with ProgressBars() as bars:
        reports = run(folder, out, PrepareSettings(SMALL, rules, fps, landmarker), workers, bars)
    typer.echo(dropped_table(summarised(reports)))
