"""The node that converts published weights files into a PortraitTalk model and loads it."""

from pathlib import Path

from comfy_api.latest import io

from ..portraittalk.errors import WeightsError
from ..portraittalk.output_files import make_folder
from ..portraittalk.weights.catalogue import PUBLIC, PublicFile, PublicModel, catalogue, shown_size
from ..portraittalk.weights.download import download
from ..portraittalk.weights.public import convert, converted_name, layout_named
from . import widgets
from .host import files, models
from .host.progress import HostProgress, NodeText
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
                f"models/{models.MODEL_FOLDER} (a minute or two, up to 5 GB); later runs load that file. Missing "
                "weights are downloaded on request."
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
                io.Boolean.Input(
                    "download_missing",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Download the files of the model that are missing from huggingface.co when the workflow runs, "
                        "under the licences that the tooltips of the files name. An interrupted download is resumed, "
                        "and every file is checked. Off: nothing is downloaded, and missing files are listed."
                    ),
                ),
            ],
            outputs=[
                ModelSocket.Output(
                    "model", display_name="model", tooltip="The model, for all other PortraitTalk nodes."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    # There is no validate_inputs: ComfyUI would mark every input of the node if one file is missing.

    @classmethod
    def fingerprint_inputs(cls, model: dict[str, str], download_missing: bool = False) -> str:
        there = models.list_public_files()
        names = [name for role, name in model.items() if role != "model" and name != NONE]
        marks = (files.fingerprint(models.public_path(name)) if name in there else f"{name} missing" for name in names)
        return "|".join([model["model"], *marks])

    @classmethod
    def execute(cls, model: dict[str, str] | None = None, download_missing: bool = False) -> io.NodeOutput:
        model = widgets.chosen("model", model)
        text = NodeText(cls)
        public, missing = _missing(model)
        if missing and not download_missing:
            wanted = ", ".join(file.wanted_in(models.model_folders()[0]) for file in missing)
            raise WeightsError(
                f"Files are missing for {public.name}: switch download_missing on, or download {wanted}, or choose "
                "other files."
            )
        for file in missing:
            text.add(f"{file.name}: {shown_size(file.megabytes)} from {file.repo}, licence {file.licence}")
            if not file.commercial:
                text.warn(f"The licence of {file.name} forbids commercial use.")
            download(file, models.model_folders()[0], progress=HostProgress(text))
        paths = _paths(model)
        out = models.model_folders()[0] / converted_name(public.name, paths)
        if not out.is_file():
            text.warn(f"Converting the files into {out.name}, once; this takes a minute or two.")
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


def _missing(chosen: dict[str, str]) -> tuple[PublicModel, list[PublicFile]]:
    """Return the chosen model and those of its files that are missing.

    Raises WeightsError for a name that is unknown or belongs to another model.
    """
    available, known = models.list_public_files(), catalogue()
    model = animating_models().get(chosen["model"])
    if model is None:
        raise WeightsError(f"There is no model '{chosen['model']}' among the public models: choose one from the list.")
    missing = [file for file in model.beside if file.found(models.model_folders()) is None]
    for role, default in model.files.items():
        name = chosen.get(role, "")
        if name == NONE and role == OPTIONAL:
            continue
        file = known.files.get(name)
        if file is not None and model.name not in known.used_by(file):
            raise WeightsError(f"{name} does not belong to {model.name}: choose {default.name} for {role}.")
        if name not in available:
            if file is None:
                raise WeightsError(
                    f"There is no file '{name}' in models/{models.MODEL_FOLDER}/{PUBLIC}; choose one from the list."
                )
            missing.append(file)
    return model, missing


def _file_input(role: str, file: PublicFile) -> io.Input:
    optional = role == OPTIONAL
    # The published file can be chosen before it is there: it may be downloaded.
    offered = dict.fromkeys([*([NONE] if optional else []), file.name, *models.list_public_files()])
    return io.Combo.Input(
        role,
        options=list(offered),
        default=file.name,
        tooltip=(
            f"{file.purpose[:1].upper()}{file.purpose[1:]}: {file.name} ({shown_size(file.megabytes)}, {file.licence}) "
            f"from {file.url}, in models/{models.MODEL_FOLDER}/{PUBLIC}."
            + (f" Optional: choose '{NONE}' to leave it out." if optional else "")
        ),
    )
