"""Track files: the face in every frame of a whole video at 25 frames a second; of pictures, in their one frame.

A file holds ``landmarks`` (F, 478, 3) in pixels, ``blendshapes`` (F, 52) in the order of ``arkit.ARKIT_NAMES``
and ``found`` (F,), false where no face is: there the other two are zero.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...errors import PortraitTalkError
from ...face.detect import FaceProvider
from ...media.source import PICTURES
from ...models.motion_net import MOTION_FPS
from .prepare import write_clip

logger = logging.getLogger(__name__)

Track = tuple[Tensor, Tensor]  # landmarks (F, 478, 3), blendshapes (F, 52)


def write_tracks(sources: Iterable[Path], out: Path, provider: FaceProvider) -> None:
    """A track file for each video and picture; what is there is kept. What cannot be read is left out, and the log says
    so."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        target = out / f"{source.stem}.safetensors"
        if target.exists():
            continue
        try:
            write_clip(target, track(source, provider))
        except PortraitTalkError as error:
            logger.warning("Left out %s: %s", source.name, error)


def track(source: Path, provider: FaceProvider) -> dict[str, Tensor]:
    """The tensors of the track file of a video or picture: of several faces, that of the largest.

    Raises MediaError where it cannot be read.
    """
    from ...media.image import read_image
    from ...media.reader import read_video

    picture = source.suffix.lower() in PICTURES
    frames = [read_image(source).pixels] if picture else read_video(source, MOTION_FPS)
    faces = [next(iter(provider(frame)), None) for frame in frames]
    nowhere, still = torch.zeros(478, 3), torch.zeros(52)
    return {
        "landmarks": torch.stack([nowhere if face is None else face.landmarks for face in faces]),
        "blendshapes": torch.stack([still if face is None else _shapes(face.blendshapes) for face in faces]),
        "found": torch.tensor([face is not None for face in faces]),
    }


def read_track(path: Path) -> Track:
    """A track file without the frames that show no face: what says how a face moves, but not when."""
    landmarks, blendshapes, found = _read(path)
    return landmarks[found], blendshapes[found]


def read_spoken_track(path: Path) -> Track | None:
    """A track file in step with the sound of its video, or None where a frame shows no face."""
    landmarks, blendshapes, found = _read(path)
    return (landmarks, blendshapes) if found.all() else None


def _read(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    tensors = load_file(path)
    return tensors["landmarks"].float(), tensors["blendshapes"].float(), tensors["found"].bool()


def _shapes(blendshapes: Tensor | None) -> Tensor:
    return torch.zeros(52) if blendshapes is None else blendshapes
