"""``portraittalk train``: train the networks that ``weights pack`` joins, from prepared clips.

``portraittalk prepare`` makes the clips; then the order is autoencoder, tracks, basis, motion, embed, pairs, animate
--stage 1, animate --stage 2, and distil if one denoising step is not enough (``train_animate``). Settings come from
the stage's recipe (``training/recipes``), the file given with --config, and the options, in increasing precedence. They
are all written into the run's folder as ``run.toml``.
``torchrun --nproc_per_node N -m portraittalk train ...`` trains with several processes.
"""

import logging
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..errors import SettingsError
from .options import Landmarker, check_exist

app = typer.Typer(no_args_is_help=True, help="Train the networks of a model from videos and portraits.")

T = TypeVar("T")
Config = Annotated[
    Path | None, typer.Option(help="TOML file of settings, such as another run's run.toml; options override it.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override any setting, as in training.batch=8; repeatable."),
]
Clips = Annotated[Path | None, typer.Option(help="Folder of prepared clips.")]
Pairs = Annotated[Path | None, typer.Option(help="Folder of pair files.")]
Out = Annotated[Path, typer.Option(help="Folder of the run; an unfinished run in it is resumed.")]
Minutes = Annotated[
    float | None,
    typer.Option(help="Training time in minutes; the learning rate decays to zero by then.", show_default=False),
]
Steps = Annotated[
    int | None, typer.Option(help="Maximum number of training steps, if reached before --minutes.", show_default=False)
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(help="Name prefix of held-out files, used for validation at checkpoints; repeatable."),
]
Seed = Annotated[int | None, typer.Option(help="Random seed of data order, augmentation and initial weights.")]
Start = Annotated[Path | None, typer.Option(help="Initial weights.")]
Basis = Annotated[Path | None, typer.Option(help="Fitted expression basis.")]
Teeth = Annotated[
    Path | None,
    typer.Option(help="Teeth for closed mouths, written by `teeth`.", show_default="the file in the package"),
]


PACKAGES = ("accelerate", "pydantic", "tomli_w")


@app.callback()
def _train() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise SettingsError(f"Training needs {' and '.join(missing)}: pip install 'portraittalk[train]'.")
    logging.getLogger(__package__.split(".")[0]).handlers = []  # otherwise every line is logged twice
    main = os.environ.get("RANK", "0") == "0"  # set by torchrun
    logging.basicConfig(level=logging.INFO if main else logging.WARNING, format="%(asctime)s %(message)s")


def configured(
    kind: type[T],
    command: str,
    out: Path,
    config: Path | None,
    options: dict[str, Any],
    assignments: list[str] | None,
) -> T:
    """Build the run from recipe, file and options, and write its settings into its folder."""
    from ..training.run_config import asked, build, check_run, read_layers, recipe, write_run

    given = {key: value for key, value in options.items() if value != []}
    layers = read_layers(command, config, given, assignments or [])
    name = f"animate {asked(layers, 'training.stage')}" if command == "animate" else command
    run = build(kind, [*recipe(name), *layers])
    check_run(run, out)
    write_run(run, command, out, config)
    return run


def clips_of(folder: Path, left_out: Iterable[str] = ()) -> list[Path]:
    """Return the clip or pair files of a folder except those left out. Raises SettingsError if there are none."""
    from ..training.data.prepare import clip_files

    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: check the path.")
    files = list(clip_files(folder, left_out))
    if not files:
        other = " besides those left out" if any(clip_files(folder)) else ""
        raise SettingsError(
            f"{folder} contains no .safetensors files{other}: give the folder that an earlier step wrote."
        )
    return files


def files_of(folder: Path | None) -> list[Path]:
    """Return the files of a folder, sorted; none without a folder. Raises SettingsError if it does not exist."""
    if folder is not None and not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: check the path.")
    return [] if folder is None else sorted(path for path in folder.iterdir() if path.is_file())


def media_of(folder: Path, suffixes: tuple[str, ...], kind: str, left_out: Iterable[str] = ()) -> list[Path]:
    """Return the files of a folder with one of these suffixes, except those left out, sorted.

    kind: what they are called. Raises SettingsError if there are none.
    """
    names = tuple(left_out)
    found = [path for path in files_of(folder) if path.suffix.lower() in suffixes]
    found = [path for path in found if not (names and path.stem.startswith(names))]
    if not found:
        raise SettingsError(f"{folder} contains no {kind}: give another folder.")
    return found


def ends(minutes: float | None, steps: int | None, seed: int | None) -> dict[str, Any]:
    """Return the options shared by all trainers, by setting key."""
    return {"training.trainer.minutes": minutes, "training.trainer.steps": steps, "training.seed": seed}


@app.command()
def autoencoder(
    out: Out,
    config: Config = None,
    clips: Clips = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    decoder_only: Annotated[
        bool | None,
        typer.Option("--decoder-only", help="Freeze the encoder, so that latents do not change.", show_default=False),
    ] = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the autoencoder."""
    from ..training.animate.autoencoder import train_autoencoder
    from ..training.data.prepare import clip_files
    from ..training.runs import AutoencoderRun

    options: dict[str, Any] = {
        "clips": clips,
        "start": start,
        "leave_out": leave_out,
        "training.decoder_only": decoder_only,
    }
    run = configured(AutoencoderRun, "autoencoder", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    files = clips_of(run.clips, run.leave_out)
    held_out = [path for path in clip_files(run.clips) if path not in files]
    network = run.network
    train_autoencoder(files, network.crop_size, network.autoencoder, run.training, out, run.start, held_out)


@app.command()
def tracks(
    sources: Annotated[Path, typer.Argument(help="Folder of videos and pictures.")],
    out: Annotated[Path, typer.Option(help="Output folder of track files; existing files are kept.")],
    landmarker: Landmarker = "mediapipe",
) -> None:
    """Track the face in pictures and in whole videos, in sync with their audio."""
    from ..face.providers import provider_named
    from ..media.source import PICTURES, VIDEOS
    from ..training.data.tracks import write_tracks

    files = media_of(sources, (*PICTURES, *VIDEOS), "videos or pictures")
    write_tracks(files, out, provider_named(landmarker))


@app.command()
def basis(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit packed as .npz.")],
    clips: Annotated[Path, typer.Option(help="Output folder of `tracks` for videos.")],
    portraits: Annotated[Path, typer.Option(help="Output folder of `tracks` for portraits.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Fit the expression basis."""
    from ..face.mediapipe import MediaPipeProvider
    from ..tensor_files import check_tensor_file
    from ..training.face.basis import fit_files

    check_exist([ict])
    video_tracks, portrait_tracks = clips_of(clips), clips_of(portraits)
    check_tensor_file(out, [ict, *video_tracks, *portrait_tracks])
    fit_files(ict, video_tracks, portrait_tracks, MediaPipeProvider(), out)


@app.command()
def teeth(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit as an .npz file with the arrays V, F and M.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Render the teeth that are painted into open mouths."""
    from ..tensor_files import check_tensor_file
    from ..training.animate.teeth import read_dentition, save_dentition

    check_exist([ict])
    check_tensor_file(out, [ict])
    save_dentition(read_dentition(ict), out)


@app.command()
def embed(
    clips: Annotated[Path, typer.Option(help="Folder of prepared clips.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    every: Annotated[int, typer.Option(min=1, help="Interval of the frames that are used.")] = 15,
    leave_out: LeaveOut = None,
) -> None:
    """Compute face recognition embeddings of every clip, the teacher for IdentityNet's encoder."""
    import torch

    from ..tensor_files import check_tensor_file, write_tensors
    from ..training.animate.identity_teacher import SFace
    from ..training.data.clips import open_clip

    files = clips_of(clips, leave_out or [])
    check_tensor_file(out, files)
    recognise = SFace()
    embeddings = {}
    for path in files:
        clip = open_clip(path)
        frames = range(0, len(clip), every)
        embeddings[clip.name] = torch.stack([recognise(clip.frames(k, k + 1)[0], clip.landmarks[k]) for k in frames])
    write_tensors(out, embeddings)


@app.command()
def pairs(
    out: Annotated[Path, typer.Option(help="Output folder of pair files; existing files are kept.")],
    config: Config = None,
    clips: Clips = None,
    autoencoder: Annotated[Path | None, typer.Option(help="Trained weights of the autoencoder.")] = None,
    basis: Basis = None,
    teeth: Teeth = None,
    scaling_factor: Annotated[
        float | None, typer.Option(help="The autoencoder's scaling factor, which gives its latents unit variance.")
    ] = None,
    variants: Annotated[int | None, typer.Option(help="Number of pair files per clip.")] = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Make the pairs of reference and target latents that IdentityNet and AnimateNet are trained on."""
    from ..compositing.teeth import load_dentition
    from ..models.autoencoder import Autoencoder
    from ..tensor_files import load_into
    from ..training.animate.pairs import make_pairs
    from ..training.face.basis import read_basis
    from ..training.runs import PairsRun

    options: dict[str, Any] = {
        "clips": clips,
        "autoencoder": autoencoder,
        "basis": basis,
        "teeth": teeth,
        "variants": variants,
    }
    options.update({"network.autoencoder.scaling_factor": scaling_factor, "leave_out": leave_out, "seed": seed})
    run = configured(PairsRun, "pairs", out, config, options, set_)
    network = Autoencoder(run.network.autoencoder).eval()
    load_into(network, run.autoencoder)
    files = clips_of(run.clips, run.leave_out)
    teeth_, faces = load_dentition(run.teeth), read_basis(run.basis)
    make_pairs(files, teeth_, run.variants, network, faces, run.network, run.settings, run.seed, out)
