"""The face landmarkers by name."""

from ..errors import SettingsError
from .detect import FaceProvider

NAMES = ("own", "mediapipe")


def provider_named(name: str) -> FaceProvider:
    """Return the landmarker of that name.

    own: our networks, which ship with the package. mediapipe: MediaPipe's landmarker, an optional extra.
    Raises SettingsError for another name, and FaceError if the extra is not installed.
    """
    if name == "own":
        from .mesh import MeshProvider

        return MeshProvider()
    if name == "mediapipe":
        from .mediapipe import MediaPipeProvider

        return MediaPipeProvider()
    raise SettingsError(f"There is no landmarker {name!r}: choose {' or '.join(NAMES)}.")
