"""What a written video shows: every frame looked at once, its faces found anew."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..compositing.compose import CropData
from ..face.align import aligned_crop, extract_crop, from_crop
from ..face.detect import FaceProvider
from ..face.select import find_face
from ..media.reader import VideoReader
from ..types import Crop, Face, Identity
from .frechet import FeatureReader
from .recognition import FaceRecognition

SMALL_SIZE = 128  # pixels a side of the crops that jumps and drift are looked for in
IDENTITY_EVERY = 5  # frames


@dataclass(frozen=True)
class Seen:
    """faces: of each frame, None where there is none. small: crops (F, 3, s, s), all at one place. distance, cosine:
    means of dlib's embeddings to the portrait's. outside_psnr: of what lies outside of the face crop, in dB."""

    faces: list[Face | None]
    small: Tensor
    distance: float | None
    cosine: float | None
    outside_psnr: float | None


def look(
    video: VideoReader,
    crop: Crop,
    provider: FaceProvider,
    portrait: Tensor | None = None,
    recognition: FaceRecognition | None = None,
    identity: Identity | None = None,
    features: FeatureReader | None = None,
) -> Seen:
    """crop: the place of ``small``. portrait: what the frames should equal outside of the crop. identity: the person
    that ``recognition`` is to see in them. features: what else is shown every frame."""
    faces: list[Face | None] = []
    small, embeddings, errors = [], [], []
    outside = None if portrait is None else _outside(portrait, crop)
    for number, frame in enumerate(video):
        found = provider(frame)
        faces.append(found[0] if found else None)
        small.append(extract_crop(frame, crop, SMALL_SIZE))
        if features is not None:
            features.add(frame)
        if portrait is not None and outside is not None:
            even = frame[:, : outside.shape[1], : outside.shape[2]]  # without the row that an encoder may have added
            errors.append(((even - portrait).square() * outside).sum() / (3 * outside.sum()).clamp_min(1))
        if recognition is not None and found and number % IDENTITY_EVERY == 0:
            embeddings.append(recognition(frame, found[0]))
    outside_psnr = None
    if outside is not None and outside.any():
        outside_psnr = -10 * torch.stack(errors).mean().log10().item()
    distance, cosine = None, None
    if recognition is not None and identity is not None and embeddings:
        reference = recognition(identity.portrait, face_of(identity))
        embedded = torch.stack(embeddings)
        distance = (embedded - reference).norm(dim=1).mean().item()
        cosine = cosine_similarity(embedded, reference[None]).mean().item()
    return Seen(faces, torch.stack(small), distance, cosine, outside_psnr)


def first_crop(video: VideoReader, size: int, provider: FaceProvider) -> Crop:
    """The aligned crop of a video's first frame."""
    frame = next(iter(video))
    return aligned_crop(find_face(frame, provider=provider).landmarks, video.size, size)


def face_of(identity: Identity) -> Face:
    """The portrait's face, in pixels of the whole picture."""
    return Face(from_crop(identity.landmarks, identity.crop), identity.blendshapes)


def _outside(portrait: Tensor, crop: Crop) -> Tensor:
    """(1, H, W): 1 outside of the crop."""
    x0, y0, x1, y1 = CropData(portrait, crop).box
    outside = torch.ones(1, *portrait.shape[1:])
    outside[:, y0:y1, x0:x1] = 0
    return outside
