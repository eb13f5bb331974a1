"""The nodes of PortraitTalk: thin, from schema to conversion to the library and back; one file per family."""

from comfy_api.latest import ComfyExtension, io

from .edit import IdentityEdit
from .evaluate import Evaluate
from .host import models
from .identity import IdentityEncode
from .load_media import LoadAudio, LoadPortrait
from .model_loader import ModelLoader
from .motion import LoadMotion, SaveMotion, SpeechToMotion
from .paste_back import PasteBack
from .public_loader import PublicModelLoader
from .sampler import AnimateNetSampler
from .style import TextStyleCondition
from .video_combine import VideoCombine

NODES: list[type[io.ComfyNode]] = [
    ModelLoader,
    PublicModelLoader,
    LoadAudio,
    LoadPortrait,
    IdentityEncode,
    IdentityEdit,
    TextStyleCondition,
    SpeechToMotion,
    SaveMotion,
    LoadMotion,
    AnimateNetSampler,
    PasteBack,
    VideoCombine,
    Evaluate,
]


class PortraitTalkExtension(ComfyExtension):
    """Registers the model folder and the nodes."""

    async def on_load(self) -> None:
        models.register_model_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
