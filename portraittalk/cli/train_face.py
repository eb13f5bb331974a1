"""``portraittalk train face``: the networks that find faces, from whole pictures and prepared clips.

The order is pictures, driven, detector, mesh, expression, pack; compare measures what ships.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .train import Clips, Config, LeaveOut, Minutes, Out, Seed, Set, Start, Steps, Teeth, configured, ends, files_of

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(no_args_is_help=True, help="Train the face detector and the landmarks.")

Pictures = Annotated[Path | None, typer.Option(help="Folder that `pictures` wrote.")]
Driven = Annotated[Path | None, typer.Option(help="Folder that `driven` wrote.")]
Basis = Annotated[Path | None, typer.Option(help="The fitted expression basis: its mean is the average face.")]


@app.command()
def pictures(
    images: Annotated[Path, typer.Option(help="Folder of pictures, one face each.")],
    out: Annotated[Path, typer.Option(help="Folder of files to write; what is there is kept.")],
) -> None:
    """Let the teacher find the faces of whole pictures."""
    from ..face.mediapipe import MediaPipeProvider
    from ..training.data.prepare import prepare_pictures

    prepare_pictures(files_of(images), out, MediaPipeProvider(max_faces=1))


@app.command()
def driven(
    clips: Annotated[Path, typer.Option(help="Folder of prepared clips.")],
    out: Annotated[Path, typer.Option(help="Folder of clips to write; what is there is kept.")],
    basis: Annotated[Path, typer.Option(help="The fitted expression basis.")],
    teeth: Teeth = None,
    variants: Annotated[int, typer.Option(help="Clips of each portrait.")] = 2,
    leave_out: LeaveOut = None,
    seed: Annotated[int, typer.Option(help="Of the motion and the looks.")] = 0,
) -> None:
    """Move portraits by the motion of videos: faces in speech, with exact landmarks."""
    from ..compositing.teeth import SHIPPED, load_dentition
    from ..config import MINI
    from ..training.animate.driven_portraits import drive_portraits
    from ..training.data.prepare import clip_files
    from ..training.face.basis import read_basis

    files, dentition = list(clip_files(clips, leave_out or [])), load_dentition(teeth or SHIPPED)
    drive_portraits(files, dentition, variants, read_basis(basis), MINI, seed, out)


@app.command()
def detector(
    out: Out,
    config: Config = None,
    pictures: Pictures = None,
    clips: Clips = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the face detector."""
    from ..training.data.prepare import clip_files
    from ..training.face.detector import train_detector
    from ..training.face.views import FaceSources
    from ..training.runs import DetectorRun

    options: dict[str, Any] = {"pictures": pictures, "clips": clips, "start": start, "leave_out": leave_out}
    run = configured(DetectorRun, "face detector", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    whole, videos = list(clip_files(run.pictures, run.leave_out)), _videos(run.clips, run.leave_out)
    sources = FaceSources(whole, [], videos, run.training.views)
    train_detector(sources, run.network, run.training, out, run.start)


@app.command()
def mesh(
    out: Out,
    config: Config = None,
    pictures: Pictures = None,
    clips: Clips = None,
    basis: Basis = None,
    driven: Driven = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the face mesh: the 478 landmarks."""
    from ..training.data.prepare import clip_files
    from ..training.face.basis import read_basis
    from ..training.face.mesh import train_mesh
    from ..training.face.views import FaceSources
    from ..training.runs import MeshRun

    options: dict[str, Any] = {"pictures": pictures, "clips": clips, "basis": basis, "driven": driven, "start": start}
    options.update({"leave_out": leave_out, **ends(minutes, steps, seed)})
    run = configured(MeshRun, "face mesh", out, config, options, set_)
    whole, moved = (
        [] if folder is None else list(clip_files(folder, run.leave_out)) for folder in (run.pictures, run.driven)
    )
    sources = FaceSources(whole, moved, _videos(run.clips, run.leave_out), run.training.views)
    train_mesh(sources, read_basis(run.basis).mean, run.network, run.training, out, run.start)


@app.command()
def expression(
    out: Out,
    config: Config = None,
    clips: Clips = None,
    basis: Basis = None,
    minutes: Minutes = None,
    steps: Steps = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the reader of expressions, which turns landmarks into ARKit weights."""
    from ..training.data.prepare import clip_files
    from ..training.face.basis import read_basis
    from ..training.face.mesh import train_expression
    from ..training.runs import ExpressionRun

    options: dict[str, Any] = {"clips": clips, "basis": basis, "leave_out": leave_out}
    run = configured(ExpressionRun, "face expression", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    files = list(clip_files(run.clips, run.leave_out))
    train_expression(files, read_basis(run.basis).mean, run.network, run.training, out)


@app.command()
def pack(
    detector: Annotated[Path, typer.Option(help="Weights that `detector` trained.")],
    mesh: Annotated[Path, typer.Option(help="Weights that `mesh` trained.")],
    expression: Annotated[Path, typer.Option(help="Weights that `expression` trained.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
) -> None:
    """Join the three networks into the file that ships."""
    from safetensors.torch import load_file

    from ..config import FaceDetectorConfig, FaceMeshConfig
    from ..face.networks import FaceNetworks, save_face_networks

    networks = FaceNetworks(FaceDetectorConfig(), FaceMeshConfig())
    parts = ((networks.detector, detector), (networks.mesh, mesh), (networks.expression, expression))
    for network, path in parts:
        network.load_state_dict(load_file(path))
    save_face_networks(out, networks)


def _videos(clips: Path, leave_out: tuple[str, ...]) -> list[Path]:
    from ..training.data.clips import open_clip
    from ..training.data.prepare import clip_files

    return [path for path in clip_files(clips, leave_out) if len(open_clip(path)) > 1]


@app.command()
def compare(
    subjects: Annotated[list[Path], typer.Argument(metavar="SUBJECT", help="Pictures and videos.")],
    every: Annotated[int, typer.Option(min=1, help="Of videos, every so many frames.")] = 10,
) -> None:
    """How far our landmarks are from MediaPipe's, in outer eye distances, and where they fail."""
    from ..face.providers import provider_named
    from ..metrics.landmark_error import compare_landmarkers, summary

    typer.echo(
        summary(compare_landmarkers(_pictures(subjects, every), provider_named("own"), provider_named("mediapipe")))
    )


def _pictures(subjects: list[Path], every: int) -> "Iterator[tuple[str, Tensor]]":
    from ..media.image import read_image
    from ..media.reader import read_video
    from ..media.source import VIDEOS

    for path in subjects:
        if path.suffix.lower() not in VIDEOS:
            yield path.name, read_image(path).flattened()
            continue
        for number, frame in enumerate(read_video(path)):
            if number % every == 0:
                yield f"{path.name} {number}", frame
