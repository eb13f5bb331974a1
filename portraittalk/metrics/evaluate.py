"""How good a model is, measured on files such as a user gets, and on real clips that are played again.

A *subject* is a picture with a speech, or a real clip: then the first frame is the portrait and the sound the speech,
and what comes out can be compared with what really happened. Everything is measured on the written video, its faces
found anew.
"""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .. import pipeline
from ..errors import MediaError
from ..face.align import extract_crop, from_crop, to_crop
from ..face.compose import Compositor, CropData
from ..face.detect import FaceProvider
from ..media.audio import Audio, read_audio
from ..media.image import read_image
from ..media.reader import VideoReader, read_video
from ..media.video import write_video
from ..motion.geometry import lip_aperture
from ..motion.read import motion_of_faces
from ..motion.speech_to_motion import speech_to_motion
from ..motion.structure import build_structure, structure_of_landmarks
from ..sampling.render import render
from ..sampling.windows import plan_windows
from ..speech.features import encode_speech
from ..types import Face, Identity, SamplingSettings, Speech, Structure, Style
from ..weights.model import Model
from .identity import FaceRecognition
from .image import l1, mouth_region, psnr, seam_ratio
from .lips import best_lag, correlation

FPS = 25.0
SEAM_SIZE = 128  # pixels a side of the crops that jumps at window borders are looked for in
IDENTITY_EVERY = 5  # frames


@dataclass(frozen=True)
class Figures:
    """One row of the table; None where it does not apply: no real clip, no recognition network, nothing outside.

    lips_asked: correlation of the lip aperture found in the video with the one that the motion track asks for.
    lips_real: with the real clip's, as it is; lips_real_best: at ``lag`` frames (positive: the video is late).
    identity: mean distance of dlib's embeddings to the portrait's; identity_real: that of the real clip's own frames.
    mouth, mouth_warp: mean absolute error of the model and of the warp alone in the mouth region, in 1/255, with the
    real clip's landmarks given, and mouth_psnr, mouth_psnr_warp in dB. outside_psnr: of all that lies outside of the
    face crop, against the portrait, in dB. seam: how much more frames jump at window borders. speed: compute seconds
    per second of video.
    """

    subject: str
    lips_asked: float
    lips_real: float | None
    lips_real_best: float | None
    lag: int | None
    identity: float | None
    identity_real: float | None
    mouth: float | None
    mouth_warp: float | None
    mouth_psnr: float | None
    mouth_psnr_warp: float | None
    outside_psnr: float | None
    seam: float | None
    speed: float


def evaluate(
    model: Model,
    subject: Path,
    speech: Path | None,
    out: Path,
    provider: FaceProvider,
    recognition: FaceRecognition | None = None,
    settings: SamplingSettings | None = None,
) -> Figures:
    """Measures one subject: a picture with ``speech``, or a clip. out: the video that is written and looked at."""
    settings = settings or SamplingSettings()
    clip = read_video(subject, FPS) if speech is None else None
    portrait = read_image(subject).flattened() if clip is None else next(iter(clip))
    sound = _sound(clip, speech)
    identity = pipeline.encode_identity(model, [portrait], provider=provider)
    started = time.perf_counter()
    heard = encode_speech(sound, FPS, model.config.speech)
    motion = speech_to_motion(model.motion_net, heard, settings.seed)
    write_video(pipeline.animate(model, identity, heard, Style(), motion, settings), out, FPS, sound)
    took = time.perf_counter() - started
    asked = lip_aperture(build_structure(identity, motion, model.basis, model.config).landmarks)
    seen = _look(read_video(out, FPS), identity, provider, recognition)
    real = None if clip is None else _look(clip, identity, provider, recognition)
    drawn = None if clip is None or real is None else _drawn(model, identity, heard, clip, real.faces, settings)
    lips = _aperture(seen.faces)
    real_lips = None if real is None else _aperture(real.faces)[: len(lips)]  # a clip's sound may be shorter or longer
    best = None if real_lips is None else best_lag(real_lips, lips[: len(real_lips)])
    windows = plan_windows(len(heard), settings.window, settings.overlap)
    return Figures(
        subject=subject.stem,
        lips_asked=correlation(asked, lips),
        lips_real=None if real_lips is None else correlation(real_lips, lips[: len(real_lips)]),
        lips_real_best=None if best is None else best[1],
        lag=None if best is None else best[0],
        identity=seen.distance,
        identity_real=None if real is None else real.distance,
        mouth=None if drawn is None else drawn[0],
        mouth_warp=None if drawn is None else drawn[1],
        mouth_psnr=None if drawn is None else drawn[2],
        mouth_psnr_warp=None if drawn is None else drawn[3],
        outside_psnr=seen.outside_psnr,
        seam=seam_ratio(seen.small, [w.start for w in windows[1:]]) if len(windows) > 1 else None,
        speed=took / heard.seconds,
    )


def table(rows: list[Figures]) -> str:
    """The figures as tab-separated text with a line of names."""
    names = [f.name for f in fields(Figures)]
    lines = [[_shown(getattr(row, name)) for name in names] for row in rows]
    return "\n".join("\t".join(line) for line in [names, *lines])


def as_json(rows: list[Figures]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


@dataclass(frozen=True)
class _Seen:
    """What a video shows: its faces, None where there is none; small crops (F, 3, s, s) at the portrait's place."""

    faces: list[Face | None]
    small: Tensor
    distance: float | None
    outside_psnr: float | None


def _look(video: VideoReader, identity: Identity, provider: FaceProvider, recognition: FaceRecognition | None) -> _Seen:
    faces: list[Face | None] = []
    small, embeddings, errors = [], [], []
    x0, y0, x1, y1 = CropData(identity.portrait, identity.crop).box
    outside = torch.ones(1, *identity.portrait.shape[1:])
    outside[:, y0:y1, x0:x1] = 0
    for number, frame in enumerate(video):
        found = provider(frame)
        faces.append(found[0] if found else None)
        small.append(extract_crop(frame, identity.crop, SEAM_SIZE))
        even = frame[:, : outside.shape[1], : outside.shape[2]]  # without the row that an encoder may have added
        errors.append(((even - identity.portrait).square() * outside).sum() / (3 * outside.sum()).clamp_min(1))
        if recognition is not None and found and number % IDENTITY_EVERY == 0:
            embeddings.append(recognition(frame, found[0]))
    outside_psnr = -10 * torch.stack(errors).mean().log10().item() if outside.any() else None
    distance = None
    if recognition is not None and embeddings:
        reference = recognition(identity.portrait, _face(identity))
        distance = (torch.stack(embeddings) - reference).norm(dim=1).mean().item()
    return _Seen(faces, torch.stack(small), distance, outside_psnr)


def _drawn(
    model: Model,
    identity: Identity,
    speech: Speech,
    clip: VideoReader,
    faces: list[Face | None],
    settings: SamplingSettings,
) -> tuple[float, float, float, float]:
    """Mouth error of the model and of the warp, as L1 in 1/255 and as PSNR; every landmark is the real clip's."""
    count = min(len(speech), len(faces))
    known = [face for face in faces[:count] if face is not None]
    if len(known) < count:
        raise MediaError(f"{clip.path.name} has frames without a face: re-enactment needs one in every frame.")
    landmarks = to_crop(torch.stack([face.landmarks for face in known]), identity.crop)
    shapes = [torch.zeros(52) if face.blendshapes is None else face.blendshapes for face in known]
    track = motion_of_faces(list(known), FPS, model.basis)

    @torch.no_grad()
    def structure_of(frames: slice) -> Structure:
        return structure_of_landmarks(
            identity, landmarks[frames], torch.stack(shapes[frames]), track[frames], model.config
        )

    spoken = Speech(speech.features[:count], FPS, count / FPS)
    size = model.config.crop_size
    real = torch.stack([extract_crop(frame, identity.crop) for frame, _ in zip(clip, known, strict=False)])
    drawn = torch.cat(list(render(model, identity, spoken, Style(), structure_of, settings, "crop")))
    whole = structure_of(slice(0, count))
    nothing = torch.zeros_like(whole.warped)
    warped = Compositor(identity.portrait, identity.crop).crops(whole.flow, nothing, whole.mask)
    drawn, warped = (interpolate(crops, (size, size), mode="bilinear", antialias=True) for crops in (drawn, warped))
    mouth = mouth_region(landmarks, size)
    distances = 255 * l1(drawn, real, mouth), 255 * l1(warped, real, mouth)
    return *distances, psnr(drawn, real, mouth), psnr(warped, real, mouth)


def _sound(clip: VideoReader | None, speech: Path | None) -> Audio:
    if clip is not None:
        return clip.audio()
    assert speech is not None
    return read_audio(speech)


def _face(identity: Identity) -> Face:
    """The portrait's face, in pixels of the whole picture."""
    return Face(from_crop(identity.landmarks, identity.crop), identity.blendshapes)


def _aperture(faces: list[Face | None]) -> Tensor:
    """(F,), NaN where there is no face."""
    return torch.stack([torch.tensor(torch.nan) if face is None else lip_aperture(face.landmarks) for face in faces])


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)
