"""The node that converts published weights files into a PortraitTalk model and loads it."""

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..portraittalk.errors import WeightsError
from ..portraittalk.output_files import make_folder
from ..portraittalk.weights.catalogue import PUBLIC, PublicFile, PublicModel, catalogue, shown_size
from ..portraittalk.weights.public import convert, converted_name, layout_named
from .host import files, models
from .host.progress import NodeText
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
                "Builds a model from published weights. The first run converts them into one file in "
                f"models/{models.MODEL_FOLDER} (a minute or two, up to 5 GB); later runs load that file."
            ),
            search_aliases=["echomimic", "liveportrait", "aniportrait", "animatediff", "public weights", "download"],
            inputs=[
                io.DynamicCombo.Input(
                    "model",
                    options=[
                        io.DynamicCombo.Option(model.name, [_file_input(*part) for part in model.files.items()])
                        for model in animating_models().values()
                    ],
                    tooltip="; ".join(f"'{model.name}': {model.purpose}" for model in animating_models().values())
                    + ".",
                ),
            ],
            outputs=[
                ModelSocket.Output(
                    "model", display_name="model", tooltip="The model, for all other PortraitTalk nodes."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, **inputs: Any) -> bool | str:
        # With **inputs, ComfyUI skips its own check of combo values, so this node can report missing files itself.
        return _input_error(inputs["model"]) or True

    @classmethod
    def fingerprint_inputs(cls, model: dict[str, str]) -> str:
        return "|".join([model["model"], *(files.fingerprint(path) for path in _paths(model).values())])

    @classmethod
    def execute(cls, model: dict[str, str]) -> io.NodeOutput:
        error = _input_error(model)
        if error:
            raise WeightsError(error)
        public, paths = animating_models()[model["model"]], _paths(model)
        out = models.model_folders()[0] / converted_name(public.name, paths)
        if not out.is_file():
            NodeText(cls).warn(f"Converting the files into {out.name}, once; this takes a minute or two.")
            make_folder(out.parent)
            convert(layout_named(public.layout), paths, out)
        return io.NodeOutput(models.load(out))


def animating_models() -> dict[str, PublicModel]:
    """Return the public models that can animate, by name; models that only edit a portrait are left out."""
    public = catalogue().models
    return {
        name: model for name, model in public.items() if layout_named(model.layout).config.animate_net.motion_modules
    }


def _paths(chosen: dict[str, str]) -> dict[str, Path]:
    """Return the chosen file of each role.

    chosen: model name under the key ``model``, and a file name for each role.
    """
    return {role: models.public_path(name) for role, name in chosen.items() if role != "model" and name != NONE}


def _input_error(chosen: dict[str, str]) -> str | None:
    """Return the error message for the model and file names of a workflow, or None if they are valid."""
    available, known = models.list_public_files(), catalogue()
    model = animating_models().get(chosen["model"])
    if model is None:
        return f"There is no model '{chosen['model']}' among the public models: choose one from the list."
    missing = [file for file in model.beside if file.found(models.model_folders()) is None]
    for role, default in model.files.items():
        name = chosen.get(role, "")
        if name == NONE and role == OPTIONAL:
            continue
        file = known.files.get(name)
        if file is not None and model.name not in known.used_by(file):
            return f"{name} does not belong to {model.name}: choose {default.name} for {role}."
        if name not in available:
            if file is None:
                return f"There is no file '{name}' in models/{models.MODEL_FOLDER}/{PUBLIC}; choose one from the list."
            missing.append(file)
    if not missing:
        return None
    wanted = ", ".join(file.wanted_in(models.model_folders()[0]) for file in missing)
    return f"Files are missing for {model.name}: download {wanted}, or choose other files."


def _file_input(role: str, file: PublicFile) -> io.Input:
    optional = role == OPTIONAL
    return io.Combo.Input(
        role,
        options=[*([NONE] if optional else []), *models.list_public_files()],
        default=file.name,
        tooltip=(
            f"{file.purpose[:1].upper()}{file.purpose[1:]}: {file.name} ({shown_size(file.megabytes)}, {file.licence}) "
            f"from {file.url}. Put it into models/{models.MODEL_FOLDER}/{PUBLIC}."
            + (f" Optional: choose '{NONE}' to leave it out." if optional else "")
        ),
    )
