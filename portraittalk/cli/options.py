"""Options that several commands have, and commands whose options are one dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")

Model = Annotated[str, typer.Option(help="Name of the model: 'mini', or a file of --models-dir without its suffix.")]
ModelsDir = Annotated[
    Path | None,
    typer.Option(envvar="PORTRAITTALK_MODELS", help="Folder of further models; by default ComfyUI's, inside of one."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Landmarker = Annotated[str, typer.Option(help="What finds the face: own, or mediapipe (an extra).")]
FaceIndex = Annotated[int | None, typer.Option(help="Which face of the portrait; 0 is the largest.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps, if not the model's own; mini: one to four.")]
Strength = Annotated[
    float | None,
    typer.Option(help="How far models that draw by a prompt go from the portrait: 0 keeps it, 1 the person only."),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option("--guidance-scale", "--guidance", help="How strongly such models follow the prompt; 1 is off."),
]


def command(app: typer.Typer, options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Register a function of one dataclass as a command: each field is an option, or an argument if it says so."""

    def register(function: Callable[[Options], None]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)

        def run(**values: Any) -> None:
            function(options(**values))

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = hints
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads the options from
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                for field in fields(options)  # type: ignore[arg-type]  # a dataclass, which no type variable can say
            ]
        )
        return app.command()(run)

    return register
