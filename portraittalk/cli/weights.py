"""``portraittalk weights``: manage models and the public files they are converted from."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError, WeightsError

SHIPPED_BASIS = Path(__file__).parents[1] / "assets" / "face" / "basis.safetensors"
ModelsDir = Annotated[
    Path | None,
    typer.Option(envvar="PORTRAITTALK_MODELS", help="Models folder, such as ComfyUI/models/portraittalk."),
]
Endpoint = Annotated[str | None, typer.Option(envvar="HF_ENDPOINT", help="URL of a mirror of huggingface.co.")]

app = typer.Typer(no_args_is_help=True, help="List, download, verify, convert, test and pack weights.")


@app.command("list")
def list_weights(models_dir: ModelsDir = None) -> None:
    """List the models for --model, and the public weights that further models can be converted from."""
    from rich.console import Console
    from rich.table import Table

    from ..weights.catalogue import PUBLIC, catalogue, shown_size
    from ..weights.files import available_weights, comfyui_models_folder

    folder = models_dir or comfyui_models_folder()
    if folder is not None and folder.exists():  # else it is what `get` would create
        _existing(folder)
    folders = [] if folder is None else [folder]
    installed = available_weights(folders)
    models = Table("model", "description", "size", "state", title="Models", title_justify="left")
    for name, path in installed.items():
        known = catalogue().models.get(name)
        models.add_row(name, known.purpose if known else str(path), shown_size(path.stat().st_size / 1e6), "present")
    for public in catalogue().models.values():
        if public.name not in installed:
            missing = len(public.missing(folders))
            state = f"{missing} of {len(public.needed)} files missing" if missing else "files present, not converted"
            models.add_row(public.name, public.purpose, f"about {shown_size(public.megabytes)}", state)
    files = Table("file", "purpose", "size", "licence", "used by", "state", title_justify="left")
    files.title = f"Public files in {folder or 'ComfyUI/models/portraittalk'}/{PUBLIC}"
    for file in catalogue().files.values():
        licence = file.licence if file.commercial else f"{file.licence} (NOT for commercial use)"
        used = ", ".join(catalogue().used_by(file)) or "no model yet"
        files.add_row(file.name, file.purpose, shown_size(file.megabytes), licence, used, file.state(folders))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(models)
    console.print(files)


@app.command("get")
def get_weights(
    name: Annotated[str, typer.Argument(help="Name of a model or file, as shown by `portraittalk weights list`.")],
    models_dir: ModelsDir = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept licences that forbid commercial use, without prompting.")
    ] = False,
    remove_files: Annotated[
        bool, typer.Option("--remove-files", help="Delete a model's public files after the conversion.")
    ] = False,
    endpoint: Endpoint = None,
) -> None:
    """Download public weights from huggingface.co. The files of a model are then converted to one, in half precision.

    Interrupted downloads are resumed. Single files in pickled formats are converted to safetensors.
    """
    from ..output_files import check_space, make_folder
    from ..weights.catalogue import PICKLED, catalogue, shown_size
    from ..weights.download import download
    from ..weights.public import to_safetensors

    folder = _folder(models_dir)
    public, files = catalogue().lookup(name)
    if public is not None and _model_file(folder, public.name).is_file():
        typer.echo(f"{_model_file(folder, public.name)} already exists.")
        return
    missing = [file for file in files if file.state([folder]) != "present"]
    make_folder(folder)
    megabytes = sum(file.megabytes for file in missing) + (public.megabytes if public is not None else 0)
    check_space(folder, round(megabytes * 1e6))
    for file in missing:
        if not file.commercial and not accept_licence:
            _ask_for_consent(file.name, file.licence, file.repo)
    for file in missing:
        typer.echo(f"{file.name}: {shown_size(file.megabytes)} from {file.repo}, licence {file.licence}")
        download(file, folder, endpoint)
    if public is not None:
        _convert_model(public.name, folder, _model_file(folder, public.name))
        if remove_files:
            for file in public.files.values():
                (file.found([folder]) or file.place(folder)).unlink()
    else:
        place = files[0].found([folder]) or files[0].place(folder)
        if place.suffix in PICKLED:
            to_safetensors(place, converted := place.with_suffix(".safetensors"))
            if files[0] in missing:  # downloaded just now; else it is the user's own
                place.unlink()
            place = converted
        typer.echo(str(place))


@app.command("verify")
def verify_weights(models_dir: ModelsDir = None) -> None:
    """Verify installed weights: sizes, hashes (if known), keys and shapes. Exit code 2 if anything is wrong."""
    from ..weights.catalogue import catalogue
    from ..weights.verify import verify

    labels = {True: "ok    ", False: "BROKEN", None: "-     "}
    broken = 0
    for finding in verify(catalogue(), [_existing(_folder(models_dir))]):
        typer.echo(f"{labels[finding.ok]}  {finding.name}: {finding.message}")
        broken += finding.ok is False
    if broken:
        raise WeightsError(f"{broken} of these checks failed: see the lines marked BROKEN.")


@app.command("convert")
def convert_weights(
    what: Annotated[
        str,
        typer.Argument(help="A model from `weights list` whose files are downloaded, a layout, or a pickled file."),
    ],
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="NAME=PATH", help="Public file of the layout; the error for a wrong NAME lists all names."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help=".safetensors file to write.")] = None,
    models_dir: ModelsDir = None,
) -> None:
    """Convert the files of a public checkpoint to one model file, in half precision. All keys must match.

    A single .pth, .ckpt, .pt or .bin file becomes a .safetensors file with the same tensors.
    """
    from ..tensor_files import SUFFIX
    from ..weights.catalogue import PICKLED
    from ..weights.public import convert, layout_named, to_safetensors

    if Path(what).suffix in PICKLED:
        target = out or Path(what).with_suffix(".safetensors")
        to_safetensors(Path(what), target)
    elif files:
        if out is None:
            raise SettingsError("Give the file to write with --out, such as --out models/echo.safetensors.")
        target = out
        named = [file.partition("=") for file in files]
        for name, equals, path in named:
            if not (name and equals and path):
                raise SettingsError(f"--file {name} names no file: write NAME=PATH, as in --file vae=vae.safetensors.")
        convert(layout_named(what), {name: Path(path) for name, _, path in named}, target)
    elif Path(what).suffix == SUFFIX:
        raise SettingsError(f"{what} needs no conversion; to convert a public checkpoint, give its layout and --file.")
    else:
        folder = _folder(models_dir)
        _convert_model(what, folder, out or _model_file(folder, what))
        return
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


@app.command("selftest")
def selftest_weights(
    name: Annotated[str, typer.Argument(help="Name of the model: 'mini', or one in --models-dir.")],
    out_dir: Annotated[Path, typer.Option(help="Folder for the video, the contact sheet and the report.")] = Path(
        "selftest"
    ),
    models_dir: ModelsDir = None,
    seconds: Annotated[float, typer.Option(help="Seconds of the demo speech to use.")] = 3.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; default: the model's own value.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    fast_decode: Annotated[
        bool, typer.Option("--fast-decode", help="Decode with the model's fast decoder (TAESD), if it has one.")
    ] = False,
) -> None:
    """Test a model on this machine: render a short demo video, measure it, and make a contact sheet for bug reports."""
    from ..metrics.selftest import selftest
    from ..output_files import make_folder
    from ..pipelines.load import load_model
    from ..sampling.settings import chosen_settings
    from ..weights.files import model_folders
    from .terminal import ProgressBars, choose_device

    make_folder(out_dir)
    model = load_model(name, choose_device(device), model_folders(models_dir))
    settings = chosen_settings(model.config, fast_decode=fast_decode, steps=steps)
    with ProgressBars() as progress:
        result = selftest(model, out_dir, settings, seconds, progress)
    typer.echo(result.sentences())
    typer.echo(
        f"For a bug report, attach {out_dir / 'report.json'} and {out_dir / 'sheet.png'}. "
        "The video is in the same folder."
    )


@app.command("pack")
def pack_weights(
    out: Annotated[Path, typer.Option(help=".safetensors file to write.")],
    autoencoder: Annotated[Path, typer.Option(help="Trained weights of the autoencoder (.safetensors).")],
    identity_net: Annotated[Path, typer.Option(help="Trained weights of IdentityNet.")],
    animate_net: Annotated[Path, typer.Option(help="Trained weights of AnimateNet.")],
    motion_net: Annotated[Path, typer.Option(help="Trained weights of the motion network.")],
    basis: Annotated[
        Path, typer.Option(help="Fitted expression basis; default: the one in the package.")
    ] = SHIPPED_BASIS,
    difference_decoder: Annotated[
        Path | None,
        typer.Option(help="Trained weights of the difference decoder; without it, mouth windows are decoded twice."),
    ] = None,
    scaling_factor: Annotated[
        float | None, typer.Option(min=1e-3, help="Of the autoencoder's latents; default: that of the shipped one.")
    ] = None,
    whole_crop: Annotated[
        bool, typer.Option("--whole-crop", help="The networks draw whole crops (`train animate`), not mouth windows.")
    ] = False,
) -> None:
    """Join separately trained networks into one model file, in half precision."""
    from ..config import MINI, SMALL
    from ..weights.load import pack

    files = {
        "autoencoder": autoencoder,
        "identity_net": identity_net,
        "animate_net": animate_net,
        "motion_net": motion_net,
        "basis": basis,
    }
    config = SMALL if whole_crop else replace(MINI, difference_decoder=None)
    if difference_decoder is not None:
        if whole_crop:
            raise SettingsError("Networks that draw whole crops have no difference decoder: leave one option out.")
        files["difference_decoder"], config = difference_decoder, MINI
    if scaling_factor is not None:
        config = replace(config, autoencoder=replace(config.autoencoder, scaling_factor=scaling_factor))
    pack(out, config, files)


def _folder(models_dir: Path | None) -> Path:
    from ..weights.files import comfyui_models_folder

    folder = models_dir or comfyui_models_folder()
    if folder is None:
        raise SettingsError(
            "Give the models folder with --models-dir, such as --models-dir ComfyUI/models/portraittalk."
        )
    return folder


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: check --models-dir.")
    return folder


def _model_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _convert_model(name: str, folder: Path, out: Path) -> None:
    from ..weights.catalogue import PUBLIC, catalogue
    from ..weights.public import convert, layout_named

    public, _ = catalogue().lookup(name)
    if public is None:
        raise WeightsError(f"'{name}' is a file, not a model; give a model, or a layout with --file.")
    missing = public.missing([folder])
    if missing:
        downloads = "; ".join(file.wanted_in(folder) for file in missing)
        raise WeightsError(
            f"Files of {name} are missing: run `portraittalk weights get {name}`, or download {downloads}."
        )
    places = {role: path for role, file in public.files.items() if (path := file.found([folder])) is not None}
    convert(layout_named(public.layout), places, out)
    size = f"{out.stat().st_size / 1e6:.1f} MB"
    typer.echo(f"{out}: {size}. Its source files in {folder / PUBLIC} are no longer needed.")


def _ask_for_consent(name: str, licence: str, repo: str) -> None:
    notice = f"The licence of {name} ({licence}; see https://huggingface.co/{repo}) does not allow commercial use."
    if not sys.stdin.isatty():
        raise SettingsError(f"{notice} Add --accept-licence to accept it.")
    if not typer.confirm(f"{notice} Do you accept it?"):
        raise SettingsError(f"{name} was not downloaded, because its licence was not accepted.")
