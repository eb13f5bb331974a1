"""Errors that a user can cause. Each message is one sentence that says what was wrong and what to do."""


class PortraitTalkError(Exception):
    """Base class of all user errors, shown as one sentence and never as a stack trace.

    The command line prints the message and exits with code 2; a ComfyUI node shows it as its error.
    """

    # ComfyUI prints the full name of an error's class before its message; the pack's module is named by its whole path.
    __module__ = "portraittalk"

    def __init_subclass__(cls) -> None:
        cls.__module__ = PortraitTalkError.__module__


class MediaError(PortraitTalkError):
    """An image, audio or video file that cannot be read."""


class OutputError(PortraitTalkError):
    """A file or folder that cannot be written, or must not be, because it is an input."""


class FaceError(PortraitTalkError):
    """No usable face: none found, an index out of range, or a face that is too small."""


class MotionError(PortraitTalkError):
    """A motion track that cannot be read, or does not fit its use."""


class WeightsError(PortraitTalkError):
    """A weights file that is missing, corrupt, or not for this model."""


class SettingsError(PortraitTalkError):
    """A setting out of range, such as an fps of 0 or a scale that is not a number."""
