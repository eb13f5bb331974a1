"""The node that encodes text prompts for expression and look."""

from comfy_api.latest import io

from .host import models
from .host.progress import NodeText
from .sockets import CATEGORY, ModelSocket, StyleCondition, StyleSocket


class TextStyleCondition(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkTextStyleCondition",
            display_name="PortraitTalk Text Style",
            category=CATEGORY,
            description=(
                "Describes in words what the face does while it speaks (expression, gaze, head pose) and the look of "
                "the video (drawing style, light, colours)."
            ),
            search_aliases=["prompt", "emotion", "expression", "style", "text conditioning"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model, the same as in the sampler."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip=(
                        "What the face does, in your own words: 'a wide smile, looking left', 'slightly worried', "
                        "'(surprised:0.5)' for half the weight; or the look of the video: 'oil painting', 'warm sunset "
                        "light'. '[0:2.5] sad [2.5:] a smile' changes it after 2.5 s. Empty: the portrait keeps its "
                        "own expression and look. EchoMimic models refuse prompts."
                    ),
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip=(
                        "What to remove, even if the portrait itself shows it: 'smiling' calms a smile, 'sepia' makes "
                        "colours colder. Empty: nothing is removed."
                    ),
                ),
                io.Float.Input(
                    "text_scale",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip=(
                        "Strength of the prompts relative to portrait and speech: 1 is normal, 0 switches the prompts "
                        "off, higher values exaggerate."
                    ),
                ),
                io.Float.Input(
                    "guidance_scale",
                    default=1.0,
                    min=0.0,
                    max=15.0,
                    step=0.1,
                    advanced=True,
                    tooltip=(
                        "Classifier-free guidance: how strongly AnimateDiff models follow the prompt and avoid the "
                        "negative prompt. 1: the model's own value (AnimateDiff 6, with LCM 1.5); 0: the negative "
                        "prompt alone. mini and EchoMimic ignore it; for AniPortrait it replaces the model's own 3.5. "
                        "Guidance doubles the time per step."
                    ),
                ),
            ],
            outputs=[
                StyleSocket.Output(
                    "style", display_name="style", tooltip=("The encoded prompts, for the sampler or Speech to Motion.")
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: models.LoadedModel, prompt: str, negative_prompt: str, text_scale: float, guidance_scale: float
    ) -> io.NodeOutput:
        with NodeText(cls).with_warnings():  # of clauses that are left out, for example
            style = model.ready().encode_style(prompt, negative_prompt)
        return io.NodeOutput(StyleCondition(style.to(models.output_device()), text_scale, guidance_scale))
