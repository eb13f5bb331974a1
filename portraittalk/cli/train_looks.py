"""``portraittalk train look``: train LookNet, which gives pictures a look, then the reader, which predicts looks from
prompts."""

from pathlib import Path
from typing import Annotated

import typer

from .options import check_exist
from .train import Config, LeaveOut, Minutes, Out, Seed, Set, Steps, configured, ends, media_of

app = typer.Typer(no_args_is_help=True, help="Train the networks for looks, such as 'oil painting'.")


@app.command()
def net(
    out: Out,
    config: Config = None,
    portraits: Annotated[
        Path | None, typer.Option(help="Folder of pictures of about 768 pixels, one head each.")
    ] = None,
    leave_out: LeaveOut = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train LookNet on portraits with looks rendered by formula."""
    from ..media.source import PICTURES
    from ..training.looks.painter import train_look_net
    from ..training.runs import LookNetRun

    options = {"portraits": portraits, "leave_out": leave_out or [], **ends(minutes, steps, seed)}
    run = configured(LookNetRun, "look net", out, config, options, set_)
    train_look_net(media_of(run.portraits, PICTURES, "pictures", run.leave_out), run.training, out)


@app.command()
def reader(
    out: Out,
    config: Config = None,
    net: Annotated[Path | None, typer.Option(help="Weights trained by `net`.")] = None,
    file: Annotated[Path | None, typer.Option(help="File to write, with both networks.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the reader on the shipped sentence encoder, and write it into one file with LookNet."""
    from ..tensor_files import load_into
    from ..text.networks import LookNetworks, load_text_networks, save_look_networks
    from ..training.looks.painter import look_config
    from ..training.looks.prompt_reader import train_look_reader
    from ..training.runs import LookReaderRun

    options = {"net": net, "file": file, **ends(minutes, steps, seed)}
    run = configured(LookReaderRun, "look reader", out, config, options, set_)
    networks = LookNetworks(look_config())
    load_into(networks.net, run.net)
    trained = train_look_reader(load_text_networks(), run.training, out)
    networks.reader.load_state_dict(trained.state_dict())
    save_look_networks(run.file, networks)


@app.command()
def check(
    portraits: Annotated[list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures, one face each.")],
    audio: Annotated[Path, typer.Option(help="Speech for the videos.")],
    seconds: Annotated[float, typer.Option(help="Seconds of the speech to use.")] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a contact sheet per portrait: one row per look, one column per frame."),
    ] = None,
) -> None:
    """Measure every look on talking portraits: flicker, preserved identity, and similarity to its formula."""
    from ..media.audio import read_audio
    from ..media.image import read_image
    from ..output_files import check_names, check_outputs, make_folder
    from ..pipelines.load import load_model
    from ..training.looks.check import Sheet, check_looks, looks_table

    check_exist([*portraits, audio])
    sheets = {} if out is None else {path: out / f"{path.stem}.png" for path in portraits}
    check_names({path: str(sheet) for path, sheet in sheets.items()})
    check_outputs(sheets.values(), [*portraits, audio])
    if out is not None:
        make_folder(out)
    model, speech, rows = load_model(), read_audio(audio, duration=seconds), []
    for path in portraits:
        sheet = Sheet()
        rows += list(check_looks(model, read_image(path).flattened(), speech, keep=sheet.add))
        if path in sheets:
            sheet.save(sheets[path])
    typer.echo(looks_table(rows))
