"""Makes a model of public files, as they were published."""

from pathlib import Path

from comfy_api.latest import io

from ..portraittalk.errors import WeightsError
from ..portraittalk.weights.catalogue import PUBLIC, catalogue, shown_size
from ..portraittalk.weights.public import convert, converted_name, layout_named
from . import host
from .types import CATEGORY, ModelSocket

NONE = "none"
MODELS = ("echomimic-acc", "echomimic")
USUAL = catalogue().models[MODELS[0]].files  # role -> file
OPTIONAL = "taesd"


class PublicModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkPublicModelLoader",
            display_name="Load PortraitTalk Model from Public Files",
            category=CATEGORY,
            description=(
                "Makes a model of EchoMimic's published weights. The first time they are converted into one file of "
                f"models/{host.MODEL_FOLDER}, which takes a minute or two and about 4.4 GB; later that file is loaded."
            ),
            search_aliases=["echomimic", "public weights", "talking head model", "checkpoint", "download"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(MODELS),
                    default=MODELS[0],
                    tooltip="'echomimic-acc' takes 6 steps, 'echomimic' 30 guided ones, with other files.",
                ),
                *(
                    io.Combo.Input(
                        role,
                        options=[*([NONE] if role == OPTIONAL else []), *host.list_public_files()],
                        default=file.name,
                        tooltip=_tooltip(role),
                    )
                    for role, file in USUAL.items()
                ),
            ],
            outputs=[ModelSocket.Output("model", display_name="model", tooltip="For every other PortraitTalk node.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(
        cls,
        model: str,
        denoising_unet: str,
        motion_module: str,
        reference_unet: str,
        face_locator: str,
        vae: str,
        whisper: str,
        taesd: str,
    ) -> bool | str:
        chosen = (denoising_unet, motion_module, reference_unet, face_locator, vae, whisper, taesd)
        return _problem(model, dict(zip(USUAL, chosen, strict=True))) or True

    @classmethod
    def fingerprint_inputs(cls, model: str, **chosen: str) -> str:
        return "|".join([model, *(host.fingerprint(path) for path in _places(chosen).values())])

    @classmethod
    def execute(cls, model: str, **chosen: str) -> io.NodeOutput:
        problem = _problem(model, chosen)
        if problem:
            raise WeightsError(problem)
        places = _places(chosen)
        out = host.model_folders()[0] / converted_name(model, places)
        if not out.is_file():
            host.tell(cls, f"The files are converted once, into {out.name}: this takes a minute or two.")
            out.parent.mkdir(parents=True, exist_ok=True)
            convert(layout_named(model), places, out)
        return io.NodeOutput(host.load(out))


def _places(chosen: dict[str, str]) -> dict[str, Path]:
    return {role: host.public_path(name) for role, name in chosen.items() if name != NONE}


def _problem(model: str, chosen: dict[str, str]) -> str | None:
    """What is wrong with the names of files that come from a workflow, or None."""
    there, known = host.list_public_files(), catalogue()
    folder = host.model_folders()[0]
    missing = []
    for role, name in chosen.items():
        if name == NONE and role == OPTIONAL:
            continue
        file = known.files.get(name)
        if file is not None and model not in known.used_by(file):
            return f"{name} is no part of {model}, which needs {known.models[model].files[role].name} as {role}."
        if name not in there:
            if file is None:
                return f"There is no file '{name}' in models/{host.MODEL_FOLDER}/{PUBLIC}; choose one from the list."
            missing.append(file)
    if not missing:
        return None
    wanted = ", ".join(f"{file.name} ({shown_size(file.megabytes)}, {file.url})" for file in missing)
    return f"Files are missing in {folder / PUBLIC}: {wanted}. Download them there, or choose others."


def _tooltip(role: str) -> str:
    files = {catalogue().models[model].files[role].name: catalogue().models[model].files[role] for model in MODELS}
    told = "; ".join(
        f"{name} ({shown_size(file.megabytes)}, {file.licence}) from {file.url}" for name, file in files.items()
    )
    return f"{told}, in models/{host.MODEL_FOLDER}/{PUBLIC}." + (" May be left out." if role == OPTIONAL else "")
