"""Options shared by several commands, and support for commands whose options are a dataclass."""

import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ..errors import SettingsError

Options = TypeVar("Options")

Model = Annotated[str, typer.Option(help="Name of the model: 'mini', or a file of --models-dir without its suffix.")]
ModelsDir = Annotated[
    Path | None,
    typer.Option(
        envvar="PORTRAITTALK_MODELS",
        help="Folder of further models; default: ComfyUI/models/portraittalk when installed as a custom node.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Landmarker = Annotated[str, typer.Option(help="Face landmarker: own, or mediapipe (requires the mediapipe extra).")]
FaceIndex = Annotated[
    int | None, typer.Option(help="Face to use if the portrait has several; 0 is the largest, 1 the next.")
]
Liveliness = Annotated[
    float,
    typer.Option(help="How lively head, brows and gaze are: 0 still, 1 a natural speaker, 2 a lively one."),
]
Steps = Annotated[
    int | None,
    typer.Option(help="Denoising steps; default: the model's own value (mini: 1, and more do not improve it)."),
]
Strength = Annotated[
    float | None,
    typer.Option(
        help="Denoising strength of Stable Diffusion models: 0 keeps the portrait, 1 keeps only the person's identity."
    ),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        "--guidance-scale",
        "--guidance",
        help="Classifier-free guidance scale; 1 is off. Default: the model's own value.",
    ),
]


def check_exist(paths: Iterable[Path]) -> None:
    """Raise SettingsError unless each path is an existing file or folder, so that mistakes show before long work."""
    for path in paths:
        if not os.path.exists(path):
            address = path.parts[0].lower() in ("http:", "https:", "ftp:") if path.parts else False
            advice = "it is an address: download the file, and give its path" if address else "check the path"
            raise SettingsError(f"{path} does not exist: {advice}.")
        if not path.is_file() and not path.is_dir():
            raise SettingsError(f"{path} is not a file but a device or pipe: save it as a file first.")


def command(app: typer.Typer, options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Return a decorator that registers a function of one dataclass as a command, with one parameter per field."""

    def register(function: Callable[[Options], None]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)

        def run(**values: Any) -> None:
            function(options(**values))

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = hints
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads the options from it
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                for field in sorted(  # required options come first in the help
                    fields(options),  # type: ignore[arg-type]  # a dataclass, which a TypeVar cannot express
                    key=lambda field: field.default is not MISSING,
                )
            ]
        )
        return app.command()(run)

    return register
