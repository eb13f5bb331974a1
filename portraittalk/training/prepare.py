"""Talking-head videos and portraits -> a data set of aligned, tracked clips, one safetensors file each.

A clip file holds ``frames`` (F, 3, S, S) uint8, ``landmarks`` (F, 478, 3) in crop pixels, ``blendshapes`` (F, 52) and,
for videos with sound, ``speech`` (F, W, M) float16. A clip is cropped by the alignment of its first frame, so that the
head moves inside the crop exactly as it does when a portrait is animated. Portraits are clips of one frame.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ..config import PortraitTalkConfig
from ..errors import FaceError
from ..face.align import aligned_crop, extract_crop, to_crop
from ..face.detect import FaceProvider
from ..motion.arkit import ARKIT_NAMES
from ..types import Crop, Face

logger = logging.getLogger(__name__)

PORTRAIT_SIZE = 384  # portraits keep more pixels than a crop, and a margin, for augmentation
PORTRAIT_MARGIN = 1.2
PICTURE_SIZE = 448  # pixels of whole pictures: a face in them is still larger than what the face mesh looks at


def prepare(
    videos: Iterable[Path], images: Iterable[Path], out: Path, provider: FaceProvider, config: PortraitTalkConfig
) -> None:
    """Writes one ``<stem>.safetensors`` a source into ``out``; what is already there is kept, so a run can be resumed.

    A source in which a face is lost is dropped, and the log says why.
    """
    from ..media.image import read_image

    out.mkdir(parents=True, exist_ok=True)
    for path in videos:
        target = out / f"{path.stem}.safetensors"
        if not target.exists():
            _save(target, path, lambda path=path: prepare_video(path, provider, config))  # type: ignore[misc]
    for path in images:
        target = out / f"{path.stem}.safetensors"
        if not target.exists():
            _save(target, path, lambda path=path: prepare_portrait(read_image(path).pixels, provider))  # type: ignore[misc]


def prepare_video(path: Path, provider: FaceProvider, config: PortraitTalkConfig) -> dict[str, Tensor]:
    """A talking-head video of one person -> the tensors of its clip file. Raises FaceError where a face is lost."""
    from ..media.audio import read_audio
    from ..media.reader import read_video
    from ..speech.features import encode_speech

    video = read_video(path)
    frames = list(video)
    clip = crop_clip(frames, [largest(provider, frame) for frame in frames], config.crop_size)
    speech = encode_speech(read_audio(path), float(video.fps), config.speech).features
    missing = len(frames) - len(speech)
    clip["speech"] = (
        F.pad(speech, (0, 0, 0, 0, 0, missing), mode="replicate").half()
        if missing > 0
        else speech[: len(frames)].half()
    )
    return clip


def prepare_portrait(image: Tensor, provider: FaceProvider) -> dict[str, Tensor]:
    """One portrait (3, H, W) -> the tensors of its clip file, with ``PORTRAIT_MARGIN`` around the canonical crop."""
    return crop_clip([image], [largest(provider, image)], PORTRAIT_SIZE, PORTRAIT_MARGIN)


def prepare_pictures(images: Iterable[Path], out: Path, provider: FaceProvider) -> None:
    """Writes whole pictures, at most ``PICTURE_SIZE`` pixels a side, as clip files of one frame that is not aligned:
    what faces are looked for in. What is there already is kept; a picture without a face is dropped, and the log says
    so."""
    from ..media.image import read_image

    def whole(path: Path) -> dict[str, Tensor]:
        image = read_image(path).pixels
        face = largest(provider, image)
        scale = min(PICTURE_SIZE / max(image.shape[-2:]), 1.0)
        size = [round(n * scale) for n in image.shape[-2:]]
        small = F.interpolate(image[None], size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        shapes = torch.zeros(len(ARKIT_NAMES)) if face.blendshapes is None else face.blendshapes
        frames = (small * 255).round().byte()
        return {"frames": frames, "landmarks": (face.landmarks * scale)[None], "blendshapes": shapes[None]}

    out.mkdir(parents=True, exist_ok=True)
    for path in images:
        target = out / f"{path.stem}.safetensors"
        if not target.exists():
            _save(target, path, lambda path=path: whole(path))  # type: ignore[misc]


def crop_clip(frames: list[Tensor], faces: list[Face], size: int, margin: float = 1.0) -> dict[str, Tensor]:
    """Frames (3, H, W) of one clip and their faces -> frames, landmarks and blendshapes in the first frame's crop."""
    crop = with_margin(aligned_crop(faces[0].landmarks, tuple(frames[0].shape[-2:]), size), margin)  # type: ignore[arg-type]
    cropped = torch.cat([(extract_crop(frame[None], crop).clamp(0, 1) * 255).round().byte() for frame in frames])
    landmarks = torch.stack([to_crop(face.landmarks, crop) for face in faces])
    blendshapes = torch.stack([face.blendshapes for face in faces if face.blendshapes is not None])
    return {"frames": cropped, "landmarks": landmarks, "blendshapes": blendshapes}


def with_margin(crop: Crop, margin: float) -> Crop:
    """The crop of the same size that shows ``margin`` times as much around the same centre."""
    matrix = crop.matrix / margin
    matrix[:, 2] += crop.size / 2 * (1 - 1 / margin)
    return Crop(matrix, crop.size, crop.image_size)


def largest(provider: FaceProvider, image: Tensor) -> Face:
    faces = provider(image)
    if not faces:
        raise FaceError("no face was found in a frame")
    return faces[0]


def clip_files(folder: Path, left_out: Iterable[str] = ()) -> Iterator[Path]:
    """The clip files of a data set in a fixed order, without those whose stem starts with a name in ``left_out``."""
    names = tuple(left_out)
    return (p for p in sorted(folder.glob("*.safetensors")) if not (names and p.stem.startswith(names)))


def _save(target: Path, source: Path, make) -> None:  # type: ignore[no-untyped-def]
    try:
        tensors = make()
    except FaceError as error:
        logger.warning("Left out %s: %s.", source.name, error)
        return
    write_clip(target, tensors)


def write_clip(target: Path, tensors: dict[str, Tensor]) -> None:
    """A clip file, which appears only when it is complete."""
    part = target.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    part.rename(target)
