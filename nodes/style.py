"""What the text asks for."""

from comfy_api.latest import io

from .host import models
from .sockets import CATEGORY, ModelSocket, StyleCondition, StyleSocket


class TextStyleCondition(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkTextStyleCondition",
            display_name="PortraitTalk Text Style",
            category=CATEGORY,
            description=(
                "Says in words what the face does while it speaks: its expression, where it looks, how it holds the "
                "head; and the look of the picture: paint, light, colours."
            ),
            search_aliases=["prompt", "emotion", "expression", "style", "text conditioning"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model, whose text encoder reads the prompt."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip=(
                        "What the face does, in your own words: 'a wide smile, looking left', 'slightly worried', "
                        "'(surprised:0.5)'; or which look the video has: 'oil painting', 'warm sunset light'. Empty: "
                        "the portrait keeps its own expression and look."
                    ),
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip=(
                        "What is taken away, also from what the portrait itself shows: 'smiling' calms a smile, "
                        "'sepia' makes colours colder."
                    ),
                ),
                io.Float.Input(
                    "text_scale",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How strongly the prompt acts beside portrait and speech; 0 switches it off.",
                ),
                io.Float.Input(
                    "guidance_scale",
                    default=1.0,
                    min=0.0,
                    max=15.0,
                    step=0.1,
                    advanced=True,
                    tooltip=(
                        "Pushes the result from the negative prompt towards the prompt. 1 is off; above it every step "
                        "costs twice the time."
                    ),
                ),
            ],
            outputs=[StyleSocket.Output("style", display_name="style", tooltip="For the sampler.")],
        )

    @classmethod
    def execute(
        cls, model: models.LoadedModel, prompt: str, negative_prompt: str, text_scale: float, guidance_scale: float
    ) -> io.NodeOutput:
        style = model.ready().encode_style(prompt, negative_prompt)
        return io.NodeOutput(StyleCondition(style.to(models.output_device()), text_scale, guidance_scale))
