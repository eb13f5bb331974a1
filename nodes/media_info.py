"""What the loader nodes show of a file before the workflow runs: the waveform of a speech, the faces of a picture."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..portraittalk.face.providers import provider_named
from ..portraittalk.face.search import area
from ..portraittalk.media.image import LARGEST_SIDE, read_image
from ..portraittalk.media.waveform import read_waveform
from ..portraittalk.pipelines.suitability import warnings_about
from .host import demo, files

WAVEFORM_PARTS = 600
KEPT = 16  # files of each kind whose answer is kept


def waveform_info(name: str) -> dict[str, Any]:
    """Return the seconds of a sound in the input folder, and its peaks from left to right. Raises MediaError."""
    path = demo.file(name)
    return _waveform(path, files.fingerprint(path))


def faces_info(name: str) -> dict[str, Any]:
    """Return the faces of a picture in the input folder, the largest first, as *face number* counts them.

    box: left, top, right and bottom as shares of the picture. warnings: what will hurt a video of this face.
    Raises MediaError.
    """
    path = demo.file(name)
    return _faces(path, files.fingerprint(path))


@lru_cache(maxsize=KEPT)
def _waveform(path: Path, fingerprint: str) -> dict[str, Any]:
    sound = read_waveform(path, WAVEFORM_PARTS)
    return {"seconds": sound.seconds, "peaks": sound.peaks}


@lru_cache(maxsize=KEPT)
def _faces(path: Path, fingerprint: str) -> dict[str, Any]:
    picture = read_image(path, max_side=LARGEST_SIDE).pixels
    height, width = picture.shape[-2:]
    with torch.inference_mode():
        faces = sorted(provider_named("own")(picture), key=area, reverse=True)
        return {
            "faces": [
                {
                    "box": [edge / side for edge, side in zip(face.box, (width, height) * 2, strict=True)],
                    "warnings": warnings_about(picture, face),
                }
                for face in faces
            ]
        }
