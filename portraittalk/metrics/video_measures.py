"""Measurements on a written video in one pass over its frames, with faces detected again."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..compositing.compose import CropData
from ..compositing.head import head_box
from ..face.align import aligned_crop, extract_crop, from_crop
from ..face.detect import FaceProvider
from ..face.select import find_face
from ..media.reader import VideoReader
from ..types import Crop, Face, Identity
from .frechet import FeatureReader
from .recognition import FaceRecognition

SMALL_SIZE = 128  # side in pixels of the crops for seams, flicker and drift
IDENTITY_EVERY = 5  # frames


@dataclass(frozen=True)
class VideoMeasures:
    """The measurements on a video.

    faces: one per frame, None without a face. small: crops (F, 3, s, s), all at the same position. distance, cosine:
    means of dlib's face embeddings against the portrait's. outside_psnr: PSNR outside the head in dB.
    """

    faces: list[Face | None]
    small: Tensor
    distance: float | None
    cosine: float | None
    outside_psnr: float | None


def measure_video(
    video: VideoReader,
    crop: Crop,
    provider: FaceProvider,
    portrait: Tensor | None = None,
    recognition: FaceRecognition | None = None,
    identity: Identity | None = None,
    features: FeatureReader | None = None,
) -> VideoMeasures:
    """Measure a video frame by frame.

    crop: the position of ``small``. portrait: the picture that frames should equal outside the head. identity: the
    person that ``recognition`` compares with. features: extractor that receives every frame.
    """
    faces: list[Face | None] = []
    small, embeddings, errors = [], [], []
    outside = None if portrait is None else _outside(portrait, crop, identity)
    for number, frame in enumerate(video):
        found = provider(frame)
        faces.append(found[0] if found else None)
        small.append(extract_crop(frame, crop, SMALL_SIZE))
        if features is not None:
            features.add(frame)
        if portrait is not None and outside is not None:
            trimmed = frame[:, : outside.shape[1], : outside.shape[2]]  # encoders pad odd sides by a row or column
            errors.append(((trimmed - portrait).square() * outside).sum() / (3 * outside.sum()).clamp_min(1))
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
    return VideoMeasures(faces, torch.stack(small), distance, cosine, outside_psnr)


def first_crop(video: VideoReader, size: int, provider: FaceProvider) -> Crop:
    """Return the aligned face crop of a video's first frame."""
    frame = next(iter(video))
    return aligned_crop(find_face(frame, provider=provider).landmarks, video.size, size)


def face_of(identity: Identity) -> Face:
    """Return the portrait's face in pixels of the whole picture."""
    return Face(from_crop(identity.landmarks, identity.crop), identity.blendshapes)


def _outside(portrait: Tensor, crop: Crop, identity: Identity | None) -> Tensor:
    """Return a mask (1, H, W), 1 outside the crop and outside what moves with a turning head."""
    x0, y0, x1, y1 = CropData(portrait, crop).box
    outside = torch.ones(1, *portrait.shape[1:])
    outside[:, y0:y1, x0:x1] = 0
    if identity is not None:
        x0, y0, x1, y1 = head_box(identity.landmarks, crop)
        outside[:, y0:y1, x0:x1] = 0
    return outside
