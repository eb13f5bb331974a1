"""The demo portrait, speech and film that ship with the pack, as files of ComfyUI's input folder.

The front end shows and plays only files that lie in ComfyUI's own folders, so they are copied there. Where they cannot
be, or were deleted, our loaders still read the files of the pack. The film has no loader of ours, and core's Load Video
lists only what lies directly in the input folder, so it is copied there.
"""

import logging
import shutil
from pathlib import Path

import folder_paths

from ...portraittalk.errors import OutputError
from ...portraittalk.output_files import atomic_file, explained, make_folder
from . import files

FOLDER = "portraittalk"  # in the input folder
PORTRAIT, SPEECH = f"{FOLDER}/demo_portrait.jpg", f"{FOLDER}/demo_speech.wav"
FILM = "portraittalk_demo_film.mp4"
_ASSETS = Path(__file__).parents[2] / "portraittalk" / "assets" / "demo"
# With the names that workflows of version 0.1.0 hold.
_FILES = {
    PORTRAIT: _ASSETS / "portrait.jpg",
    SPEECH: _ASSETS / "speech.wav",
    FILM: _ASSETS / "film.mp4",
    "demo portrait (built in)": _ASSETS / "portrait.jpg",
    "demo speech (built in)": _ASSETS / "speech.wav",
}
logger = logging.getLogger(__name__)


def provide() -> None:
    """Copy the demo files to the input folder where they are missing; if it cannot be written, that is only logged."""
    folder = Path(folder_paths.get_input_directory())
    for name in (PORTRAIT, SPEECH, FILM):
        place = folder / name
        try:
            if not place.exists():
                make_folder(place.parent)
                with atomic_file(place) as part, explained(place):
                    shutil.copyfile(_FILES[name], part)
        except OutputError as error:
            logger.warning("PortraitTalk: the demo files cannot be shown by the front end. %s", error)
            return


def file(name: str) -> Path:
    """Return the path of a stored file or of a demo file. Raises MediaError, see ``files.stored_file``."""
    if name in _FILES and files.stored_file_problem(name):
        return _FILES[name]
    return files.stored_file(name)


def file_problem(name: str) -> str | None:
    """Return the error message of ``file`` for this name, or None if the file exists."""
    return None if name in _FILES else files.stored_file_problem(name)
