"""Crops that went through other nodes, back into the whole picture."""

from collections.abc import Iterator

from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.compositing.compose import CropData, paste_back
from ..portraittalk.progress import Progress
from . import convert
from .host import models
from .host.progress import HostProgress
from .sockets import CATEGORY, CropDataSocket

PIXELS_AT_ONCE = 2**21  # of the frames pasted together, between two looks at Cancel


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkPasteBack",
            display_name="PortraitTalk Paste Back",
            category=CATEGORY,
            description=(
                "Puts aligned crops, upscaled or restored by other nodes, back into the whole picture under a soft "
                "border. Crops that were not changed leave the picture as it is."
            ),
            search_aliases=["composite", "face paste", "uncrop", "stitch", "face restore"],
            inputs=[
                io.Image.Input("crops", tooltip="Square crops from the sampler's 'crops' mode, at any size, uncut."),
                CropDataSocket.Input(
                    "crop_data", tooltip="The sampler's crop data: the picture, and where the crop lies in it."
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=1.0,
                    max=4.0,
                    step=0.25,
                    tooltip="Enlarges the whole picture, to keep the detail of crops that are now sharper than it is.",
                ),
            ],
            outputs=[io.Image.Output("frames", display_name="frames", tooltip="Whole pictures, one for each crop.")],
        )

    @classmethod
    def execute(cls, crops: Tensor, crop_data: CropData, scale: float) -> io.NodeOutput:
        progress = HostProgress()
        height, width = crop_data.portrait.shape[-2:]
        at_once = max(int(PIXELS_AT_ONCE / (height * width * scale**2)), 1)

        def pasted() -> Iterator[Tensor]:
            for start in range(0, len(crops), at_once):
                frames = paste_back(convert.to_library(crops[start : start + at_once]), crop_data, scale)
                progress(Progress("paste back", min(start + at_once, len(crops)), len(crops), frames[-1]))
                yield frames

        return io.NodeOutput(convert.frames_to_comfy(pasted(), len(crops), models.output_device()))
