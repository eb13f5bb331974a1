"""``portraittalk train face``: train the face networks on whole pictures and prepared clips.

The order is pictures, drawn, driven, detector, mesh, expression, pack, heads; compare measures the shipped networks.
matte converts the network that separates a person from the background.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SettingsError
from .train import (
    Clips,
    Config,
    LeaveOut,
    Minutes,
    Out,
    Seed,
    Set,
    Start,
    Steps,
    Teeth,
    clips_of,
    configured,
    ends,
    files_of,
)

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(no_args_is_help=True, help="Train the face detector and the face mesh.")

Pictures = Annotated[Path | None, typer.Option(help="Output folder of `pictures`.")]
Driven = Annotated[Path | None, typer.Option(help="Output folder of `driven`.")]
Basis = Annotated[Path | None, typer.Option(help="Fitted expression basis, whose mean is the average face.")]


@app.command()
def pictures(
    images: Annotated[Path, typer.Option(help="Folder of pictures, one face each.")],
    out: Annotated[Path, typer.Option(help="Output folder; existing files are kept.")],
) -> None:
    """Label the faces in whole pictures with the teacher, MediaPipe."""
    from ..face.mediapipe import MediaPipeProvider
    from ..training.data.prepare import prepare_pictures

    files = files_of(images)
    if not files:
        raise SettingsError(f"{images} contains no pictures: give another folder.")
    prepare_pictures(files, out, MediaPipeProvider(max_faces=1))


@app.command()
def drawn(
    pictures: Annotated[Path, typer.Option(help="Output folder of `pictures`.")],
    out: Annotated[Path, typer.Option(help="Output folder; existing files are kept.")],
    copies: Annotated[int, typer.Option(min=1, help="Copies of each picture.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed of the looks.")] = 0,
) -> None:
    """Paint labelled pictures in the looks of prompts, drawn ones mostly."""
    from ..training.data.prepare import clip_files
    from ..training.face.heads import paint_copies

    paint_copies(list(clip_files(pictures)), copies, seed, out)


@app.command()
def driven(
    clips: Annotated[Path, typer.Option(help="Folder of prepared clips.")],
    out: Annotated[Path, typer.Option(help="Output folder of clips; existing files are kept.")],
    basis: Annotated[Path, typer.Option(help="Fitted expression basis.")],
    teeth: Teeth = None,
    variants: Annotated[int, typer.Option(help="Number of clips per portrait.")] = 2,
    leave_out: LeaveOut = None,
    seed: Annotated[int, typer.Option(help="Random seed of motion and looks.")] = 0,
) -> None:
    """Warp portraits with the motion of videos: synthetic talking faces with exact landmarks."""
    from ..compositing.teeth import SHIPPED, load_dentition
    from ..config import SMALL
    from ..training.animate.driven_portraits import drive_portraits
    from ..training.face.basis import read_basis

    files, dentition = clips_of(clips, leave_out or []), load_dentition(teeth or SHIPPED)
    drive_portraits(files, dentition, variants, read_basis(basis), SMALL, seed, out)


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
    from ..training.face.detector import train_detector
    from ..training.face.views import FaceSources
    from ..training.runs import DetectorRun

    options: dict[str, Any] = {"pictures": pictures, "clips": clips, "start": start, "leave_out": leave_out}
    run = configured(DetectorRun, "face detector", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    picture_files, videos = clips_of(run.pictures, run.leave_out), _videos(run.clips, run.leave_out)
    sources = FaceSources(picture_files, [], videos, run.training.views)
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
    from ..training.face.basis import read_basis
    from ..training.face.mesh import train_mesh
    from ..training.face.views import FaceSources
    from ..training.runs import MeshRun

    options: dict[str, Any] = {"pictures": pictures, "clips": clips, "basis": basis, "driven": driven, "start": start}
    options.update({"leave_out": leave_out, **ends(minutes, steps, seed)})
    run = configured(MeshRun, "face mesh", out, config, options, set_)
    picture_files, driven_files = (
        [] if folder is None else clips_of(folder, run.leave_out) for folder in (run.pictures, run.driven)
    )
    sources = FaceSources(picture_files, driven_files, _videos(run.clips, run.leave_out), run.training.views)
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
    """Train the expression network, which predicts ARKit weights from landmarks."""
    from ..training.face.basis import read_basis
    from ..training.face.mesh import train_expression
    from ..training.runs import ExpressionRun

    options: dict[str, Any] = {"clips": clips, "basis": basis, "leave_out": leave_out}
    run = configured(ExpressionRun, "face expression", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    files = clips_of(run.clips, run.leave_out)
    train_expression(files, read_basis(run.basis).mean, run.network, run.training, out)


@app.command()
def pack(
    detector: Annotated[Path, typer.Option(help="Weights trained by `detector`.")],
    mesh: Annotated[Path, typer.Option(help="Weights trained by `mesh`.")],
    expression: Annotated[Path, typer.Option(help="Weights trained by `expression`.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Join the three networks into one file, as shipped with the package."""
    from ..config import FaceDetectorConfig, FaceMeshConfig
    from ..face.networks import FaceNetworks, save_face_networks
    from ..tensor_files import check_tensor_file, load_into

    networks = FaceNetworks(FaceDetectorConfig(), FaceMeshConfig())
    check_tensor_file(out, [detector, mesh, expression])
    parts = ((networks.detector, detector), (networks.mesh, mesh), (networks.expression, expression))
    for network, path in parts:
        load_into(network, path)
    save_face_networks(out, networks)


@app.command()
def heads(
    landmarker: Annotated[Path, typer.Option(help="Landmarker whose mesh gets new heads, as written by `pack`.")],
    pictures: Annotated[Path, typer.Option(help="Output folder of `pictures`.")],
    clips: Annotated[Path, typer.Option(help="Folder of prepared clips.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    drawn: Annotated[Path | None, typer.Option(help="Output folder of `drawn`.")] = None,
    leave_out: LeaveOut = None,
    examples: Annotated[float, typer.Option(help="Number of examples, relative to those of the shipped heads.")] = 1,
    seed: Annotated[int, typer.Option(help="Random seed of the examples.")] = 0,
) -> None:
    """Fit the mesh's heads: is it a face, and is its mouth covered. All landmarks stay as they are."""
    from ..face.networks import load_face_networks, save_face_networks
    from ..training.data.prepare import clip_files
    from ..training.face.heads import HeadTraining, fit_heads
    from ..training.face.views import FaceSources
    from .terminal import ProgressBars

    training = HeadTraining(seed=seed).times(examples)
    names = tuple(leave_out or ())
    files, drawn_files = ([] if folder is None else list(clip_files(folder, names)) for folder in (pictures, drawn))
    sources = FaceSources(files, drawn_files, _videos(clips, names), training.sources)
    networks = load_face_networks(landmarker)
    with ProgressBars() as progress:
        for name, entropy in fit_heads(sources, networks, training, progress).items():
            typer.echo(f"{name}: mean cross-entropy {entropy:.4f}")
    save_face_networks(out, networks)


@app.command()
def matte(
    teacher: Annotated[Path, typer.Argument(help="MediaPipe's selfie_segmentation.tflite.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Convert MediaPipe's selfie segmentation to the person matte, as shipped with the package."""
    from ..face.matte import save_matte_net
    from ..tensor_files import check_tensor_file
    from ..training.face.matte import converted
    from .options import check_exist

    check_exist([teacher])
    check_tensor_file(out, [teacher])
    save_matte_net(out, converted(teacher))


def _videos(clips: Path, leave_out: tuple[str, ...]) -> list[Path]:
    from ..training.data.clips import open_clip

    return [path for path in clips_of(clips, leave_out) if len(open_clip(path)) > 1]


@app.command()
def compare(
    subjects: Annotated[list[Path], typer.Argument(metavar="SUBJECT", help="Pictures and videos.")],
    every: Annotated[int, typer.Option(min=1, help="Interval of the frames that are compared in videos.")] = 10,
) -> None:
    """Compare our landmarks with MediaPipe's: distance in outer eye distances, and failures."""
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
