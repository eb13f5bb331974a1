"""``portraittalk motion``: read the motion of a face from a video, as a motion track."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .options import Landmarker, check_exist, command

app = typer.Typer()


@dataclass(frozen=True)
class MotionOptions:
    """The command's options, as given by the user."""

    video: Annotated[Path, typer.Argument(help="Video of one person; the largest face of each frame is followed.")]
    out: Annotated[Path, typer.Option(help="Motion track to write (JSON), for `animate --motion-in`.")]
    fps: Annotated[float | None, typer.Option(help="Frames per second of the track; default: the video's own.")] = None
    smooth: Annotated[float, typer.Option(metavar="SECONDS", help="Smoothing of expression and head; 0 for none.")] = (
        0.04
    )
    expression_strength: Annotated[float, typer.Option(help="Strength of expressions.")] = 1.0
    head_motion: Annotated[float, typer.Option(help="Strength of head motion; 0 keeps the head still.")] = 1.0
    landmarker: Landmarker = "own"


@command(app, MotionOptions)
def motion(options: MotionOptions) -> None:
    """Read expression, head pose, gaze and blinks from a video, relative to its first frame and resting face."""
    from ..checks import check_real
    from ..face.providers import provider_named
    from ..media.reader import read_video
    from ..models.face_basis import load_basis
    from ..motion.read import read_motion
    from ..motion.transform import scale, smooth
    from ..output_files import check_file, check_outputs
    from ..sampling.settings import check_number
    from .terminal import ProgressBars

    check_real("The smoothing in seconds", options.smooth, 0, 10)
    check_number("head motion", options.head_motion, 10)
    check_number("expression strength", options.expression_strength, 10)
    check_exist([options.video])
    check_outputs([options.out], [options.video])
    check_file(options.out)
    video = read_video(options.video, options.fps)
    with ProgressBars() as progress:
        track = read_motion(video, float(video.fps), provider_named(options.landmarker), load_basis(), 0, progress)
    track = scale(smooth(track, options.smooth), options.expression_strength, options.head_motion)
    track.save(options.out)
    typer.echo(f"{options.out}: {len(track)} frames, {len(track) / track.fps:.2f} s at {track.fps:g} fps")
