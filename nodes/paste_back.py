"""The node that pastes processed face crops back into the whole picture."""

from collections.abc import Iterator

from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.checks import check_real
from ..portraittalk.compositing.compose import LARGEST_SCALE, CropData, paste_back
from ..portraittalk.progress import Progress
from . import convert
from .host import models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, CropDataSocket

PIXELS_PER_BATCH = 2**21  # output pixels per batch; cancellation is checked after each batch


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkPasteBack",
            display_name="PortraitTalk Paste Back",
            category=CATEGORY,
            description=(
                "Pastes the sampler's face crops back into the whole picture after an upscaler or face restorer has "
                "processed them. The edit fades out towards the crop's border; unchanged crops change nothing."
            ),
            search_aliases=["composite", "face paste", "uncrop", "stitch", "face restore"],
            inputs=[
                io.Image.Input(
                    "crops",
                    tooltip=(
                        "Crops from the sampler's 'crops' mode, also resized. They must stay square, neither cut nor "
                        "padded."
                    ),
                ),
                CropDataSocket.Input(
                    "crop_data",
                    tooltip="crop data of the same sampler: the whole picture and the position of the crop.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=1.0,
                    max=4.0,
                    step=0.25,
                    tooltip=(
                        "Enlarges the whole picture by this factor, so that upscaled crops keep their detail. 1 keeps "
                        "its size; typically the factor by which the crops were upscaled."
                    ),
                ),
            ],
            outputs=[io.Image.Output("frames", display_name="frames", tooltip="Whole pictures, one per crop.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, crops: Tensor, crop_data: CropData, scale: float) -> io.NodeOutput:
        convert.check_image(crops, "crops")
        check_real("The input 'scale'", scale, 1, LARGEST_SCALE)
        progress = HostProgress(NodeText(cls))
        height, width = crop_data.portrait.shape[-2:]
        batch_size = max(int(PIXELS_PER_BATCH / (height * width * scale**2)), 1)

        def pasted() -> Iterator[Tensor]:
            for start in range(0, len(crops), batch_size):
                frames = paste_back(convert.to_library(crops[start : start + batch_size], "crops"), crop_data, scale)
                progress(Progress("paste back", min(start + batch_size, len(crops)), len(crops), frames[-1]))
                yield frames

        return io.NodeOutput(convert.FrameCollector(len(crops), models.output_device()).collect(pasted()))
