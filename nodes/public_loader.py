"""Makes a model of public files, as they were published."""

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..portraittalk.errors import WeightsError
from ..portraittalk.weights.catalogue import PUBLIC, PublicFile, PublicModel, catalogue, shown_size
from ..portraittalk.weights.public import convert, converted_name, layout_named
from .host import files, models
from .host.progress import tell
from .sockets import CATEGORY, ModelSocket

NONE = "none"
OPTIONAL = "taesd"


class PublicModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkPublicModelLoader",
            display_name="Load PortraitTalk Model from Public Files",
            category=CATEGORY,
            description=(
                "Makes a model of weights that others have published. The first time they are converted into one file "
                f"of models/{models.MODEL_FOLDER}, which takes a minute or two and 4 to 5 GB; later that file is "
                "loaded."
            ),
            search_aliases=["echomimic", "aniportrait", "animatediff", "public weights", "checkpoint", "download"],
            inputs=[
                io.DynamicCombo.Input(
                    "model",
                    options=[
                        io.DynamicCombo.Option(model.name, [_file_input(*part) for part in model.files.items()])
                        for model in talking_models().values()
                    ],
                    tooltip="; ".join(f"'{model.name}': {model.purpose}" for model in talking_models().values()) + ".",
                ),
            ],
            outputs=[ModelSocket.Output("model", display_name="model", tooltip="For every other PortraitTalk node.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, **inputs: Any) -> bool | str:
        # Only with **inputs does ComfyUI leave it to this node to say what is wrong with a file's name.
        return _problem(inputs["model"]) or True

    @classmethod
    def fingerprint_inputs(cls, model: dict[str, str]) -> str:
        return "|".join([model["model"], *(files.fingerprint(path) for path in _places(model).values())])

    @classmethod
    def execute(cls, model: dict[str, str]) -> io.NodeOutput:
        problem = _problem(model)
        if problem:
            raise WeightsError(problem)
        public, places = talking_models()[model["model"]], _places(model)
        out = models.model_folders()[0] / converted_name(public.name, places)
        if not out.is_file():
            tell(cls, f"The files are converted once, into {out.name}: this takes a minute or two.")
            out.parent.mkdir(parents=True, exist_ok=True)
            convert(layout_named(public.layout), places, out)
        return io.NodeOutput(models.load(out))


def talking_models() -> dict[str, PublicModel]:
    """The models of public weights that can animate, by name; those that only edit a portrait are left out."""
    every = catalogue().models
    return {
        name: model for name, model in every.items() if layout_named(model.layout).config.animate_net.motion_modules
    }


def _places(chosen: dict[str, str]) -> dict[str, Path]:
    """chosen: the name of the model, as ``model``, and of the file for each role."""
    return {role: models.public_path(name) for role, name in chosen.items() if role != "model" and name != NONE}


def _problem(chosen: dict[str, str]) -> str | None:
    """What is wrong with names that come from a workflow, or None."""
    there, known = models.list_public_files(), catalogue()
    model = talking_models().get(chosen["model"])
    if model is None:
        return f"There is no model '{chosen['model']}' of public files; choose one from the list."
    missing = [file for file in model.beside if file.found(models.model_folders()) is None]
    for role, usual in model.files.items():
        name = chosen.get(role, "")
        if name == NONE and role == OPTIONAL:
            continue
        file = known.files.get(name)
        if file is not None and model.name not in known.used_by(file):
            return f"{name} is no part of {model.name}, which needs {usual.name} as {role}."
        if name not in there:
            if file is None:
                return f"There is no file '{name}' in models/{models.MODEL_FOLDER}/{PUBLIC}; choose one from the list."
            missing.append(file)
    if not missing:
        return None
    wanted = ", ".join(file.wanted_in(models.model_folders()[0]) for file in missing)
    return f"Files are missing for {model.name}: {wanted}. Download them, or choose others."


def _file_input(role: str, file: PublicFile) -> io.Input:
    optional = role == OPTIONAL
    return io.Combo.Input(
        role,
        options=[*([NONE] if optional else []), *models.list_public_files()],
        default=file.name,
        tooltip=(
            f"{file.purpose[:1].upper()}{file.purpose[1:]}: {file.name} ({shown_size(file.megabytes)}, {file.licence}) "
            f"from {file.url}, in models/{models.MODEL_FOLDER}/{PUBLIC}." + (" May be left out." if optional else "")
        ),
    )
