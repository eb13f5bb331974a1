"""The node that loads a PortraitTalk model."""

from comfy_api.latest import io

from ..portraittalk.weights.files import BUILT_IN
from .host import files, models
from .sockets import CATEGORY, ModelSocket

BUILT_IN_LABEL = f"{BUILT_IN} (built in)"


class ModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkModelLoader",
            display_name="Load PortraitTalk Model",
            category=CATEGORY,
            description=(
                "Loads a PortraitTalk model: the small one that ships with the pack, or a file in "
                f"models/{models.MODEL_FOLDER}. ComfyUI moves it to the GPU and back as needed."
            ),
            search_aliases=["talking head model", "lip sync model", "portrait talk", "checkpoint"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[BUILT_IN_LABEL, *models.list_models()],
                    default=BUILT_IN_LABEL,
                    tooltip=(
                        f"'{BUILT_IN_LABEL}' needs no download and runs on a CPU. Other models are .safetensors files "
                        f"in models/{models.MODEL_FOLDER}, or in a folder listed for '{models.MODEL_FOLDER}' in "
                        "extra_model_paths.yaml. Load PortraitTalk Model from Public Files creates them from published"
                        " weights such as EchoMimic."
                    ),
                ),
            ],
            outputs=[
                ModelSocket.Output(
                    "model", display_name="model", tooltip="The model, for all other PortraitTalk nodes."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        if model == BUILT_IN_LABEL or model in models.list_models():
            return True
        return models.missing_model_message(model)

    @classmethod
    def fingerprint_inputs(cls, model: str) -> str:
        return BUILT_IN if model == BUILT_IN_LABEL else files.fingerprint(models.model_path(model))

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        return io.NodeOutput(models.load(BUILT_IN if model == BUILT_IN_LABEL else models.model_path(model)))
