"""The custom socket types and the values they carry."""

from dataclasses import dataclass, field

from comfy_api.latest import io

from ..portraittalk.types import Style

CATEGORY = "PortraitTalk"

ModelSocket = io.Custom("PORTRAITTALK_MODEL")  # models.LoadedModel
IdentitySocket = io.Custom("PORTRAITTALK_IDENTITY")  # portraittalk.types.Identity
StyleSocket = io.Custom("PORTRAITTALK_STYLE")  # StyleCondition
MotionSocket = io.Custom("PORTRAITTALK_MOTION")  # portraittalk.motion.track.MotionTrack
CropDataSocket = io.Custom("PORTRAITTALK_CROP_DATA")  # portraittalk.compositing.compose.CropData
FaceLandmarksSocket = io.Custom(
    "FACE_LANDMARKS"
)  # core's own type: {"frames": faces of each image, "image_size": (H, W), ...}


@dataclass(frozen=True)
class StyleCondition:
    """The encoded prompts, the scale of the text branch and the classifier-free guidance scale."""

    style: Style = field(default_factory=Style)
    text_scale: float = 1.0
    guidance_scale: float = 1.0
