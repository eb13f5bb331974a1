"""PortraitTalk: one portrait, one speech clip and an optional prompt become a talking-face video.

    model = portraittalk.load_model("mini")
    audio = portraittalk.read_audio("speech.wav")
    frames = portraittalk.talk(model, ["portrait.jpg"], audio, prompt="a wide smile")
    portraittalk.write_video(frames, "talking.mp4", frames.fps, audio)

Everything here is imported when it is first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .errors import FaceError as FaceError
    from .errors import MediaError as MediaError
    from .errors import MotionError as MotionError
    from .errors import OutputError as OutputError
    from .errors import PortraitTalkError as PortraitTalkError
    from .errors import SettingsError as SettingsError
    from .errors import WeightsError as WeightsError
    from .face.select import FaceChoice as FaceChoice
    from .media.audio import Audio as Audio
    from .media.audio import read_audio as read_audio
    from .media.image import read_image as read_image
    from .media.sound import open_audio as open_audio
    from .media.video import write_video as write_video
    from .motion.keyframes import MotionEdit as MotionEdit
    from .motion.track import MotionTrack as MotionTrack
    from .pipelines.conversation import Speaker as Speaker
    from .pipelines.conversation import converse as converse
    from .pipelines.dubbing import dub as dub
    from .pipelines.load import load_model as load_model
    from .pipelines.talk import TalkingFrames as TalkingFrames
    from .pipelines.talk import talk as talk
    from .sampling.settings import usual_settings as usual_settings
    from .types import Identity as Identity
    from .types import SamplingSettings as SamplingSettings
    from .types import Scales as Scales

_HOME = {
    "Audio": "media.audio",
    "FaceChoice": "face.select",
    "FaceError": "errors",
    "Identity": "types",
    "MediaError": "errors",
    "MotionEdit": "motion.keyframes",
    "MotionError": "errors",
    "MotionTrack": "motion.track",
    "OutputError": "errors",
    "PortraitTalkError": "errors",
    "SamplingSettings": "types",
    "Scales": "types",
    "SettingsError": "errors",
    "Speaker": "pipelines.conversation",
    "TalkingFrames": "pipelines.talk",
    "WeightsError": "errors",
    "converse": "pipelines.conversation",
    "dub": "pipelines.dubbing",
    "load_model": "pipelines.load",
    "open_audio": "media.sound",
    "read_audio": "media.audio",
    "read_image": "media.image",
    "talk": "pipelines.talk",
    "usual_settings": "sampling.settings",
    "write_video": "media.video",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
