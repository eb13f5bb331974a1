"""The ComfyUI nodes: thin wrappers that define a schema, convert the inputs, call the library and convert the result.

There is one file per family of nodes.
"""

from comfy_api.latest import ComfyExtension, io

from .conversation import Conversation
from .dubbing import Dub
from .edit import IdentityEdit
from .evaluate import Evaluate
from .host import demo, models, routes
from .identity import IdentityEncode
from .load_media import LoadAudio, LoadPortrait
from .media_info import faces_info, waveform_info
from .model_loader import ModelLoader
from .motion import CombineMotion, LoadMotion, SaveMotion, SpeechToMotion, VideoToMotion
from .motion_curves import EditMotion, curves_info
from .paste_back import PasteBack
from .public_loader import PublicModelLoader
from .sampler import AnimateNetSampler
from .save_video import SaveVideo, VideoCombine
from .style import TextStyleCondition

NODES: list[type[io.ComfyNode]] = [
    ModelLoader,
    PublicModelLoader,
    LoadAudio,
    LoadPortrait,
    IdentityEncode,
    IdentityEdit,
    TextStyleCondition,
    SpeechToMotion,
    VideoToMotion,
    CombineMotion,
    EditMotion,
    SaveMotion,
    LoadMotion,
    AnimateNetSampler,
    Conversation,
    Dub,
    PasteBack,
    SaveVideo,
    VideoCombine,
    Evaluate,
]


class PortraitTalkExtension(ComfyExtension):
    """The extension that registers the model folders, the demo files and the nodes with ComfyUI."""

    async def on_load(self) -> None:
        models.register_model_folder()
        demo.provide()
        routes.answer_with("waveform", waveform_info)
        routes.answer_with("faces", faces_info)
        routes.answer_with("curves", curves_info)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
