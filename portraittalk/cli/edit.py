"""``portraittalk edit``: edit a portrait by a prompt, preserving the person's identity."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OutputError
from .options import Device, FaceIndex, GuidanceScale, ModelsDir, Steps, Strength, check_exist

app = typer.Typer()


@app.command()
def edit(
    portraits: Annotated[
        list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures of one person; the first one is edited.")
    ],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    model: Annotated[str, typer.Option(help="Name of a Stable Diffusion 1.5 model in --models-dir, such as identity.")],
    prompt: Annotated[str, typer.Option(help="What the picture should show.")] = "",
    negative_prompt: Annotated[str, typer.Option(help="What the picture should not show.")] = "",
    models_dir: ModelsDir = None,
    strength: Strength = None,
    guidance_scale: GuidanceScale = None,
    identity_scale: Annotated[
        float, typer.Option(help="Scale of the identity branch's cross-attention: higher preserves identity more.")
    ] = 1.0,
    text_scale: Annotated[float, typer.Option(help="Scale of the text branch's cross-attention.")] = 1.0,
    steps: Steps = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same picture.")] = 0,
    whole: Annotated[bool, typer.Option("--whole", help="Redraw the whole picture, not only the face crop.")] = False,
    face_index: FaceIndex = None,
    max_size: Annotated[
        int, typer.Option(min=64, help="Longest side of the picture in pixels; larger pictures are scaled down.")
    ] = 2048,
    device: Device = "auto",
) -> None:
    """Edit a portrait by a prompt. The result can be animated like any portrait."""
    from ..face.select import FaceChoice
    from ..media.image import read_image, write_png
    from ..output_files import check_file, check_outputs
    from ..pipelines.load import load_model
    from ..sampling.settings import chosen_settings
    from ..types import Scales
    from ..weights.files import find_weights, model_folders
    from .terminal import ProgressBars, choose_device

    if out.suffix.lower() != ".png":
        raise OutputError(f"{out} cannot be written: choose a file name that ends in .png.")
    check_exist(portraits)
    path = find_weights(model, model_folders(models_dir))
    check_outputs([out], [*portraits, path])
    check_file(out)
    images = [read_image(portrait, max_size).flattened() for portrait in portraits]
    pipeline = load_model(path, choose_device(device))
    pipeline.require_editing()
    settings = chosen_settings(
        pipeline.config,
        seed=seed,
        scales=Scales(identity_scale, text_scale),
        steps=steps,
        guidance_scale=guidance_scale,
        strength=strength,
    )
    style = pipeline.encode_style(prompt, negative_prompt)
    with ProgressBars() as progress:
        identity = pipeline.encode_identity(images, FaceChoice(index=face_index), progress=progress)
        picture = pipeline.edit_portrait(identity, style, settings, whole, progress)
    write_png(picture, out)
    typer.echo(str(out))
