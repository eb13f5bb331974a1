"""Track files: the face in every frame of a whole video at 25 fps, or of a picture as a single frame.

A file holds ``landmarks`` (F, 478, 3) in pixels, ``blendshapes`` (F, 52) in the order of ``arkit.ARKIT_NAMES`` and
``found`` (F,), false for frames without a face, where the other two are zero.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ...errors import MediaError, PortraitTalkError
from ...face.detect import FaceProvider
from ...media.source import PICTURES
from ...models.motion_net import MOTION_FPS
from ...output_files import check_names, make_folder
from ...tensor_files import read_tensors
from .prepare import write_clip

logger = logging.getLogger(__name__)

Track = tuple[Tensor, Tensor]  # landmarks (F, 478, 3), blendshapes (F, 52)


def write_tracks(sources: Iterable[Path], out: Path, provider: FaceProvider) -> None:
    """Write a track file for each video and picture. Existing files are kept; unreadable sources are skipped with a log
    message."""
    make_folder(out)
    sources = list(sources)
    check_names({source: f"{source.stem}.safetensors" for source in sources})
    for source in sources:
        target = out / f"{source.stem}.safetensors"
        if target.exists():
            continue
        try:
            write_clip(target, track(source, provider))
        except PortraitTalkError as error:
            logger.warning("Skipped %s: %s", source.name, error)


def track(source: Path, provider: FaceProvider) -> dict[str, Tensor]:
    """Return the tensors of a video's or picture's track file, for the largest face of each frame.

    Raises MediaError if the source cannot be read.
    """
    from ...media.image import read_image
    from ...media.reader import read_video

    picture = source.suffix.lower() in PICTURES
    frames = [read_image(source).pixels] if picture else read_video(source, MOTION_FPS)
    faces = [next(iter(provider(frame)), None) for frame in frames]
    no_landmarks, no_blendshapes = torch.zeros(478, 3), torch.zeros(52)
    return {
        "landmarks": torch.stack([no_landmarks if face is None else face.landmarks for face in faces]),
        "blendshapes": torch.stack([no_blendshapes if face is None else _shapes(face.blendshapes) for face in faces]),
        "found": torch.tensor([face is not None for face in faces]),
    }


def read_track(path: Path) -> Track:
    """Read a track file without the frames that show no face: it is no longer in step with the sound."""
    landmarks, blendshapes, found = _read(path)
    return landmarks[found], blendshapes[found]


def read_spoken_track(path: Path) -> Track | None:
    """Read a track file in step with its video's sound, or return None if any frame shows no face."""
    landmarks, blendshapes, found = _read(path)
    return (landmarks, blendshapes) if found.all() else None


def _read(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    tensors = read_tensors(path)[1]
    if not {"landmarks", "blendshapes", "found"} <= tensors.keys():
        raise MediaError(f"{path} is not a track file: give a folder of `portraittalk train tracks`.")
    return tensors["landmarks"].float(), tensors["blendshapes"].float(), tensors["found"].bool()


def _shapes(blendshapes: Tensor | None) -> Tensor:
    return torch.zeros(52) if blendshapes is None else blendshapes
