"""The model with a real clip's own landmarks: what is drawn can then be compared with the real pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..compositing.compose import Compositor
from ..compositing.structure import structure_of_landmarks
from ..errors import MediaError
from ..face.align import extract_crop, to_crop
from ..media.reader import VideoReader
from ..motion.read import motion_of_faces
from ..pipelines.load import AnyPipeline
from ..types import Face, Identity, SamplingSettings, Speech, Structure
from .image import l1, mouth_region, psnr, ssim
from .lpips import Lpips, lpips


@dataclass(frozen=True)
class Likeness:
    """Of pictures to the real ones. l1: in 1/255, and psnr: in dB, in the mouth region; ssim and lpips: of the whole
    crop, the latter None without its network."""

    l1: float
    psnr: float
    ssim: float
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
    """-> the model's and that of the warp alone. clip: begins with the portrait; faces: of each of its frames. counts:
    (F,), the frames in which they are compared; by default all.

    Raises MediaError where a frame has none.
    """
    count = min(len(speech), len(faces))
    known = [face for face in faces[:count] if face is not None]
    if len(known) < count:
        raise MediaError(f"{clip.path.name} has frames without a face: re-enactment needs one in every frame.")
    landmarks = to_crop(torch.stack([face.landmarks for face in known]), identity.crop)
    shapes = [torch.zeros(52) if face.blendshapes is None else face.blendshapes for face in known]
    track = motion_of_faces(list(known), speech.fps, model.face_motion()[1])

    @torch.no_grad()
    def structure_of(frames: slice) -> Structure:
        return structure_of_landmarks(
            identity, landmarks[frames], torch.stack(shapes[frames]), track[frames], model.config
        )

    spoken = Speech(speech.features[:count], speech.fps, count / speech.fps)
    size = model.config.crop_size
    real = torch.stack([extract_crop(frame, identity.crop) for frame, _ in zip(clip, known, strict=False)])
    mouth = mouth_region(landmarks, size)
    chosen = slice(None) if counts is None else counts[:count]

    def likeness(crops: Tensor) -> Likeness:
        crops = interpolate(crops, (size, size), mode="bilinear", antialias=True)
        seen = (crops[chosen], real[chosen])
        looks = None if lpips_net is None else lpips(lpips_net, *seen)
        return Likeness(255 * l1(*seen, mouth[chosen]), psnr(*seen, mouth[chosen]), ssim(*seen), looks)

    crops = model.render(identity, spoken, model.encode_style(), structure_of, settings, "crop")
    drawn = torch.cat(list(crops))
    whole = structure_of(slice(0, count))
    warped = Compositor(identity.portrait, identity.crop).crops(whole.flow, torch.zeros_like(whole.warped), whole.mask)
    return likeness(drawn), likeness(warped)
