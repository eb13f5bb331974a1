"""``portraittalk train face``: the networks that find faces, from whole pictures and prepared clips.

The order is pictures, driven, detector, mesh, expression, pack; compare measures what ships.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli import Clips, LeaveOut, Minutes, Out, Seed, files_of

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(no_args_is_help=True, help="Train the face detector and the landmarks.")

Pictures = Annotated[Path, typer.Option(help="Folder that `pictures` wrote.")]
Driven = Annotated[Path | None, typer.Option(help="Folder that `driven` wrote.")]
Basis = Annotated[Path, typer.Option(help="The fitted expression basis: its mean is the average face.")]
Start = Annotated[Path | None, typer.Option(help="Weights to begin with.")]


@app.command()
def pictures(
    images: Annotated[Path, typer.Option(help="Folder of pictures, one face each.")],
    out: Annotated[Path, typer.Option(help="Folder of files to write; what is there is kept.")],
) -> None:
    """Let the teacher find the faces of whole pictures."""
    from ..face.mediapipe import MediaPipeProvider
    from .prepare import prepare_pictures

    prepare_pictures(files_of(images), out, MediaPipeProvider(max_faces=1))


@app.command()
def driven(
    clips: Clips,
    out: Annotated[Path, typer.Option(help="Folder of clips to write; what is there is kept.")],
    basis: Basis,
    teeth: Annotated[Path, typer.Option(help="ICT-FaceKit as one npz of arrays V, F and M.")],
    variants: Annotated[int, typer.Option(help="Clips of each portrait.")] = 2,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
) -> None:
    """Move portraits by the motion of videos: faces in speech, with exact landmarks."""
    from ..config import MINI
    from .basis import read_basis
    from .mouths import drive_portraits
    from .prepare import clip_files
    from .teeth import read_dentition

    faces = read_basis(basis)
    drive_portraits(list(clip_files(clips, leave_out or [])), read_dentition(teeth), variants, faces, MINI, seed, out)


@app.command()
def detector(
    pictures: Pictures,
    clips: Clips,
    out: Out,
    minutes: Minutes,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
) -> None:
    """Train the face detector."""
    from ..config import FaceDetectorConfig
    from .face_detector import DetectorTraining, train_detector
    from .faces import FaceSources, FaceViews
    from .prepare import clip_files
    from .trainer import TrainerConfig

    views = FaceViews(pictures=0.85, driven=0)
    sources = FaceSources(list(clip_files(pictures, leave_out or [])), [], _videos(clips, leave_out), views)
    trainer = TrainerConfig(minutes=minutes, learning_rate=1e-3)
    train_detector(sources, FaceDetectorConfig(), DetectorTraining(seed=seed, trainer=trainer), out, start)


@app.command()
def mesh(
    pictures: Pictures,
    clips: Clips,
    basis: Basis,
    out: Out,
    minutes: Minutes,
    driven: Driven = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
) -> None:
    """Train the face mesh: the 478 landmarks."""
    from ..config import FaceMeshConfig
    from .basis import read_basis
    from .face_mesh import MeshTraining, train_mesh
    from .faces import FaceSources
    from .prepare import clip_files
    from .trainer import TrainerConfig

    training = MeshTraining(seed=seed, trainer=TrainerConfig(minutes=minutes, learning_rate=1e-3))
    whole, moved = (
        [] if folder is None else list(clip_files(folder, leave_out or [])) for folder in (pictures, driven)
    )
    sources = FaceSources(whole, moved, _videos(clips, leave_out), training.views)
    train_mesh(sources, read_basis(basis).mean, FaceMeshConfig(), training, out, start)


@app.command()
def expression(
    clips: Clips, basis: Basis, out: Out, minutes: Minutes = 3, leave_out: LeaveOut = None, seed: Seed = 0
) -> None:
    """Train the reader of expressions, which turns landmarks into ARKit weights."""
    from ..config import FaceMeshConfig
    from .basis import read_basis
    from .face_mesh import ExpressionTraining, train_expression
    from .prepare import clip_files
    from .trainer import TrainerConfig

    training = ExpressionTraining(seed=seed, trainer=TrainerConfig(minutes=minutes, learning_rate=1e-3))
    train_expression(list(clip_files(clips, leave_out or [])), read_basis(basis).mean, FaceMeshConfig(), training, out)


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
    from ..weights.face import FaceNetworks, save_face_networks

    networks = FaceNetworks(FaceDetectorConfig(), FaceMeshConfig())
    parts = ((networks.detector, detector), (networks.mesh, mesh), (networks.expression, expression))
    for network, path in parts:
        network.load_state_dict(load_file(path))
    save_face_networks(out, networks)


def _videos(clips: Path, leave_out: list[str] | None) -> list[Path]:
    from .data import open_clip
    from .prepare import clip_files

    return [path for path in clip_files(clips, leave_out or []) if len(open_clip(path)) > 1]


@app.command()
def compare(
    subjects: Annotated[list[Path], typer.Argument(metavar="SUBJECT", help="Pictures and videos.")],
    every: Annotated[int, typer.Option(min=1, help="Of videos, every so many frames.")] = 10,
) -> None:
    """How far our landmarks are from MediaPipe's, in outer eye distances, and where they fail."""
    from ..face.providers import provider_named
    from ..metrics.landmarks import compare_landmarkers, summary

    typer.echo(
        summary(compare_landmarkers(_pictures(subjects, every), provider_named("own"), provider_named("mediapipe")))
    )


def _pictures(subjects: list[Path], every: int) -> "Iterator[tuple[str, Tensor]]":
    from ..media.image import read_image
    from ..media.reader import read_video
    from .prepare import VIDEOS

    for path in subjects:
        if path.suffix.lower() not in VIDEOS:
            yield path.name, read_image(path).flattened()
            continue
        for number, frame in enumerate(read_video(path)):
            if number % every == 0:
                yield f"{path.name} {number}", frame
