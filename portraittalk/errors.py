"""The errors that a user can cause, each carrying one sentence that says what was wrong and what to do."""


class PortraitTalkError(Exception):
    """A mistake in what the user gave us: shown as one sentence, never as a stack trace.

    The command line prints the message and exits with code 2; a node shows it as its error.
    """


class MediaError(PortraitTalkError):
    """A picture, sound or video that cannot be read or written."""


class FaceError(PortraitTalkError):
    """No usable face: none found, an index that is not there, or a face that is too small."""


class MotionError(PortraitTalkError):
    """A motion track that cannot be read, or does not fit what it is used with."""


class WeightsError(PortraitTalkError):
    """A weights file that is missing, corrupt, or made for something else."""


class SettingsError(PortraitTalkError):
    """A setting outside of its range, such as an fps of 0 or a scale that is not a number."""
