"""Self-reenactment: the model driven by a real clip's landmarks, so that its output is comparable pixel by pixel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..compositing.compose import Compositor
from ..compositing.draw import mouth_opening
from ..compositing.structure import structure_of_landmarks
from ..errors import MediaError
from ..face.align import extract_crop, to_crop
from ..media.reader import VideoReader
from ..motion.read import motion_of_faces
from ..pipelines.load import AnyPipeline
from ..types import Face, Identity, SamplingSettings, Speech, Structure
from .lpips import Lpips, lpips
from .pixels import l1, mouth_region, psnr, sharpness, ssim


@dataclass(frozen=True)
class Likeness:
    """Similarity of generated to real crops.

    l1: mean absolute error of the mouth region in 1/255. psnr: of the mouth region in dB. ssim, lpips: of the whole
    crop; lpips is None without its network. sharpness: between the lips, see ``pixels.sharpness``; None if they never
    part.
    """

    l1: float
    psnr: float
    ssim: float
    sharpness: float | None
    lpips: float | None = None


def reenact(
    model: AnyPipeline,
    identity: Identity,
    speech: Speech,
    clip: VideoReader,
    faces: list[Face | None],
    settings: SamplingSettings,
    counts: Tensor | None = None,
    lpips_net: Lpips | None = None,
) -> tuple[Likeness, Likeness]:
    """Return the likeness of the model's output and that of the warped portrait alone.

    clip: starts with the portrait. faces: the face in each of its frames. counts: mask (F,) of the frames to compare,
    by default all. Raises MediaError if a frame has no face.
    """
    count = min(len(speech), len(faces))
    known = [face for face in faces[:count] if face is not None]
    if len(known) < count:
        raise MediaError(f"{clip.path.name} has frames without a face: give a clip with a face in every frame.")
    landmarks = to_crop(torch.stack([face.landmarks for face in known]), identity.crop)
    shapes = [torch.zeros(52) if face.blendshapes is None else face.blendshapes for face in known]
    basis = model.face_motion()[1]
    track = motion_of_faces(list(known), speech.fps, basis)

    @torch.no_grad()
    def structure_of(frames: slice) -> Structure:
        return structure_of_landmarks(
            identity, landmarks[frames], torch.stack(shapes[frames]), track[frames], basis, model.config
        )

    spoken = Speech(speech.features[:count], speech.fps, count / speech.fps)
    size = model.config.crop_size
    real = torch.stack([extract_crop(frame, identity.crop) for frame, _ in zip(clip, known, strict=False)])
    mouth, opening = mouth_region(landmarks, size), mouth_opening(landmarks, size)
    chosen = slice(None) if counts is None else counts[:count]

    def likeness(crops: Tensor) -> Likeness:
        crops = interpolate(crops, (size, size), mode="bilinear", antialias=True)
        pair = (crops[chosen], real[chosen])
        perceptual = None if lpips_net is None else lpips(lpips_net, *pair)
        detail = sharpness(*pair, opening[chosen])
        sharp = None if math.isnan(detail) else detail
        return Likeness(255 * l1(*pair, mouth[chosen]), psnr(*pair, mouth[chosen]), ssim(*pair), sharp, perceptual)

    crops = model.render(identity, spoken, model.encode_style(), structure_of, settings, "crop")
    rendered = torch.cat(list(crops))
    structure = structure_of(slice(0, count))
    no_residual = torch.zeros_like(structure.warped)
    compositor = Compositor(identity.portrait, identity.crop, landmarks=identity.landmarks)
    warped = compositor.crops(structure.flow, no_residual, structure.mask, closure=structure.closure)
    return likeness(rendered), likeness(warped)
