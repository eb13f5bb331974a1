"""``portraittalk train``: every step from prepared clips to the networks that ``weights pack`` joins.

``portraittalk prepare`` makes the clips; then the order is autoencoder, tracks, basis and motion, embed, pairs, animate
--stage 1, animate --stage 2, and distil where one step is not enough (``animate_cli``). What a step is trained with
stands in its recipe (``recipes``), in the file given with --config and in the options, each going before the one named
before it; all of it is written into the run's folder as ``run.toml``.
``torchrun --nproc_per_node N -m portraittalk train ...`` trains with several processes.
"""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="Train the networks of a PortraitTalk from videos and portraits.")

T = TypeVar("T")
Config = Annotated[
    Path | None, typer.Option(help="TOML file of the run, such as another run's run.toml; options go before it.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the file, as in training.batch=8; repeatable."),
]
Clips = Annotated[Path | None, typer.Option(help="Folder of prepared clips.")]
Pairs = Annotated[Path | None, typer.Option(help="Folder of pair files.")]
Out = Annotated[Path, typer.Option(help="Folder of the run; a run that is there is resumed.")]
Minutes = Annotated[
    float | None, typer.Option(help="When to stop; the learning rate falls to zero by then.", show_default=False)
]
Steps = Annotated[int | None, typer.Option(help="When to stop, if that comes before the minutes.", show_default=False)]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(help="What has a name that begins so is not trained on, but shown at checkpoints; repeatable."),
]
Seed = Annotated[int | None, typer.Option(help="Of data order, augmentation and initial weights.")]
Start = Annotated[Path | None, typer.Option(help="Weights to begin with.")]
Basis = Annotated[Path | None, typer.Option(help="The fitted expression basis.")]
Teeth = Annotated[
    Path | None, typer.Option(help="Teeth for closed mouths, as `teeth` wrote them.", show_default="those that ship")
]


NEEDED = ("accelerate", "pydantic", "tomli_w")


@app.callback()
def _train() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(f"Training needs {' and '.join(missing)}: pip install 'portraittalk[train]'.")
    logging.getLogger(__package__.split(".")[0]).handlers = []  # else every line comes twice
    main = os.environ.get("RANK", "0") == "0"  # torchrun's
    logging.basicConfig(level=logging.INFO if main else logging.WARNING, format="%(asctime)s %(message)s")


def configured(
    kind: type[T],
    command: str,
    out: Path,
    config: Path | None,
    options: dict[str, Any],
    assignments: list[str] | None,
) -> T:
    """The run that recipe, file and options describe; it is written into its folder."""
    from ..training.run_config import asked, build, read_layers, recipe, write_run

    given = {key: value for key, value in options.items() if value != []}
    layers = read_layers(command, config, given, assignments or [])
    name = f"animate {asked(layers, 'training.stage')}" if command == "animate" else command
    run = build(kind, [*recipe(name), *layers])
    write_run(run, command, out)
    return run


def ends(minutes: float | None, steps: int | None, seed: int | None) -> dict[str, Any]:
    """The options that all trainers share, by their keys."""
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
        bool | None, typer.Option("--decoder-only", help="Keep the latents as they are.", show_default=False)
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
    files = list(clip_files(run.clips, run.leave_out))
    held_out = [path for path in clip_files(run.clips) if path not in files]
    network = run.network
    train_autoencoder(files, network.crop_size, network.autoencoder, run.training, out, run.start, held_out)


@app.command()
def tracks(
    sources: Annotated[Path, typer.Argument(help="Folder of videos and pictures.")],
    out: Annotated[Path, typer.Option(help="Folder of track files to write; what is there is kept.")],
    landmarker: Annotated[str, typer.Option(help="What finds the face: own, or mediapipe (an extra).")] = "mediapipe",
) -> None:
    """Track the face through whole videos, in step with their sound, and in pictures."""
    from ..face.providers import provider_named
    from ..media.source import PICTURES, VIDEOS
    from ..training.data.tracks import write_tracks

    files = [path for path in files_of(sources) if path.suffix.lower() in (*PICTURES, *VIDEOS)]
    write_tracks(files, out, provider_named(landmarker))


@app.command()
def basis(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit packed as .npz.")],
    clips: Annotated[Path, typer.Option(help="Folder that `tracks` wrote of videos.")],
    portraits: Annotated[Path, typer.Option(help="Folder that `tracks` wrote of portraits.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Fit the expression basis."""
    from ..face.mediapipe import MediaPipeProvider
    from ..training.face.basis import fit_files

    films, stills = (sorted(folder.glob("*.safetensors")) for folder in (clips, portraits))
    fit_files(ict, films, stills, MediaPipeProvider(), out)


@app.command()
def teeth(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit as one npz of arrays V, F and M.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Render the teeth that are painted into mouths."""
    from ..training.animate.teeth import read_dentition, save_dentition

    save_dentition(read_dentition(ict), out)


@app.command()
def motion(
    out: Out,
    config: Config = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of videos of people speaking.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="Videos whose name begins so are not trained on; repeatable.")
    ] = None,
    tracks: Annotated[Path | None, typer.Option(help="Folder that `tracks` wrote of the videos.")] = None,
    phones: Annotated[Path | None, typer.Option(help="Folder of the videos' phone files.")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="Folder of sound files with phone files beside them.")] = None,
    wordless: Annotated[Path | None, typer.Option(help="Folder of sounds in which nobody speaks.")] = None,
    start: Start = None,
    basis: Basis = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the motion network, which turns speech into expressions."""
    from ..media.source import VIDEOS
    from ..training.face.basis import read_basis
    from ..training.motion.speech import Sources, train
    from ..training.runs import MotionRun

    options: dict[str, Any] = {
        "clips": clips,
        "validation": validation,
        "tracks": tracks,
        "phones": phones,
        "synthetic": synthetic,
    }
    options |= {"wordless": wordless, "start": start}
    run = configured(MotionRun, "motion", out, config, {**options, "basis": basis, **ends(minutes, steps, seed)}, set_)
    videos = [path for path in files_of(run.clips) if path.suffix.lower() in VIDEOS]
    held_out = tuple(path for path in videos if run.validation and path.stem.startswith(run.validation))
    spoken = tuple(path for path in videos if path not in held_out)
    sounds = (path for path in files_of(run.synthetic) if path.suffix != ".phones")
    voices = tuple(path for path in sounds if path.with_suffix(".phones").exists())
    sources = Sources(spoken, run.tracks, run.phones, voices, tuple(files_of(run.wordless)))
    train(sources, held_out, read_basis(run.basis), out, run.network, run.training, run.start)


@app.command()
def embed(
    clips: Annotated[Path, typer.Option(help="Folder of prepared clips.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    every: int = 15,
    leave_out: LeaveOut = None,
) -> None:
    """Ask a face recogniser about every clip: what IdentityNet's encoder learns from."""
    import torch
    from safetensors.torch import save_file

    from ..training.animate.identity_teacher import SFace
    from ..training.data.clips import open_clip
    from ..training.data.prepare import clip_files

    recognise = SFace()
    found = {}
    for path in clip_files(clips, leave_out or []):
        clip = open_clip(path)
        frames = range(0, len(clip), every)
        found[clip.name] = torch.stack([recognise(clip.frames(k, k + 1)[0], clip.landmarks[k]) for k in frames])
    save_file(found, out)


@app.command()
def pairs(
    out: Annotated[Path, typer.Option(help="Folder of pair files to write; what is there is kept.")],
    config: Config = None,
    clips: Clips = None,
    autoencoder: Annotated[Path | None, typer.Option(help="Trained weights of the autoencoder.")] = None,
    basis: Basis = None,
    teeth: Teeth = None,
    scaling_factor: Annotated[
        float | None, typer.Option(help="Of the autoencoder: what gives its latents unit variance.")
    ] = None,
    variants: Annotated[int | None, typer.Option(help="Pair files of each clip.")] = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Make the pairs of reference and target that IdentityNet and AnimateNet are trained on, as latents."""
    from safetensors.torch import load_file

    from ..compositing.teeth import load_dentition
    from ..models.autoencoder import Autoencoder
    from ..training.animate.pairs import make_pairs
    from ..training.data.prepare import clip_files
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
    network.load_state_dict(load_file(run.autoencoder))
    files = list(clip_files(run.clips, run.leave_out))
    teeth_, faces = load_dentition(run.teeth), read_basis(run.basis)
    make_pairs(files, teeth_, run.variants, network, faces, run.network, run.settings, run.seed, out)


def files_of(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(path for path in folder.iterdir() if path.is_file())
