"""``portraittalk edit``: the portrait, changed by a prompt, and still the same person."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MediaError, SettingsError

app = typer.Typer()


@app.command()
def edit(
    portraits: Annotated[
        list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures of one person; the first is changed.")
    ],
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    model: Annotated[str, typer.Option(help="A file of --models-dir, made of Stable Diffusion 1.5.")],
    prompt: Annotated[str, typer.Option(help="What the picture is to show.")] = "",
    negative_prompt: Annotated[str, typer.Option(help="What it is not to show.")] = "",
    models_dir: Annotated[Path | None, typer.Option(envvar="PORTRAITTALK_MODELS", help="Folder of models.")] = None,
    strength: Annotated[float | None, typer.Option(help="0 keeps the portrait, 1 keeps the person only.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strongly the prompt is followed; 1 is off.")] = None,
    identity_scale: Annotated[float, typer.Option(help="How much it has to stay the same person.")] = 1.0,
    text_scale: Annotated[float, typer.Option(help="Strength of the prompt's attention.")] = 1.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
    whole: Annotated[bool, typer.Option("--whole", help="Redraw the whole picture, not only the face.")] = False,
    face_index: Annotated[int | None, typer.Option(help="Which face of the portrait; 0 is the largest.")] = None,
    max_size: Annotated[int, typer.Option(min=64, help="Longest side; larger pictures are reduced.")] = 2048,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Change a portrait by a prompt; what comes out can be animated like any portrait."""
    from .. import pipeline
    from ..face.select import FaceChoice
    from ..media.image import read_image, write_png
    from ..sampling.settings import check_settings, usual_settings
    from ..types import Scales
    from ..weights.load import load_networks
    from ..weights.model import PromptModel
    from .terminal import ProgressBars, choose_device

    if out.suffix.lower() != ".png":
        raise MediaError(f"{out.name} cannot be written: give the picture a name that ends in .png.")
    networks = load_networks(model, choose_device(device), folders=[] if models_dir is None else [models_dir])
    if not isinstance(networks, PromptModel):
        raise SettingsError(f"The model '{model}' cannot edit pictures: choose one made of Stable Diffusion 1.5.")
    usual = usual_settings(networks.config)
    settings = replace(
        usual,
        seed=seed,
        scales=Scales(identity_scale, text_scale),
        steps=usual.steps if steps is None else steps,
        guidance_scale=usual.guidance_scale if guidance is None else guidance,
        strength=usual.strength if strength is None else strength,
    )
    check_settings(settings, networks.config)
    style = pipeline.encode_style(networks, prompt, negative_prompt)
    images = [read_image(path, max_size).flattened() for path in portraits]
    with ProgressBars() as progress:
        identity = pipeline.encode_identity(networks, images, FaceChoice(index=face_index), progress=progress)
        picture = pipeline.edit_portrait(networks, identity, style, settings, whole, progress)
    write_png(picture, out)
    typer.echo(str(out))
