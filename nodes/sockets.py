"""The socket types of our own, and what travels through them."""

from dataclasses import dataclass, field

from comfy_api.latest import io

from ..portraittalk.types import Style

CATEGORY = "PortraitTalk"

ModelSocket = io.Custom("PORTRAITTALK_MODEL")  # models.LoadedModel
IdentitySocket = io.Custom("PORTRAITTALK_IDENTITY")  # portraittalk.types.Identity
StyleSocket = io.Custom("PORTRAITTALK_STYLE")  # StyleCondition
MotionSocket = io.Custom("PORTRAITTALK_MOTION")  # portraittalk.motion.track.MotionTrack
CropDataSocket = io.Custom("PORTRAITTALK_CROP_DATA")  # portraittalk.compositing.compose.CropData
FaceLandmarksSocket = io.Custom("FACE_LANDMARKS")  # core's: {"frames": faces of each image, "image_size": (H, W), ...}


@dataclass(frozen=True)
class StyleCondition:
    """What the text asks for, and how strongly: the text branch's scale, and the guidance's."""

    style: Style = field(default_factory=Style)
    text_scale: float = 1.0
    guidance_scale: float = 1.0
