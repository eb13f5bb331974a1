"""How good a model is, measured on files such as a user gets, and on real clips that are played again.

A *subject* is a picture with a speech, or a real clip: then the first frame is the portrait and the sound the speech,
and what comes out can be compared with what really happened. Everything is measured on the written video, its faces
found anew.
"""

import time
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from ..compositing.structure import build_structure
from ..errors import MediaError
from ..face.detect import FaceProvider
from ..media.audio import read_audio
from ..media.image import read_image
from ..media.reader import read_video
from ..media.video import write_video
from ..motion.geometry import lip_aperture
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import TalkingFrames, talk
from ..sampling.settings import usual_settings
from ..sampling.windows import plan_windows
from ..speech.phones import Phone, read_phones
from ..types import SamplingSettings
from .adfd import adfd, score
from .dynamics import FPS, load_dynamics, measures_of_faces
from .figures import Figures
from .frechet import FeatureReader, Features
from .image import seam_ratio
from .lip_sync import lip_sync
from .lips import apertures, best_lag, closure, correlation, lip_distance
from .metric_nets import MetricNets
from .recognition import FaceRecognition
from .reenact import reenact
from .steady import blinks_per_minute, drift, flicker, still_region
from .watch import SMALL_SIZE, Seen, first_crop, look

AWAY = 5  # frames from which on a picture says little about another


@dataclass(frozen=True)
class Subject:
    """portrait: a picture, or a clip whose first frame it is. speech: any file with sound. real: a video of the person
    saying it; pixels are compared where it is the clip that the portrait comes from. phones: what is spoken when.
    references: how many pictures of the person the model gets; the further ones are those frames of a replayed clip
    whose mouths are widest open, and the mouth's error is that of frames away from them."""

    name: str
    portrait: Path
    speech: Path
    real: Path | None = None
    phones: Path | None = None
    references: int = 1


def replayed(clip: Path, phones: Path | None = None, references: int = 1) -> Subject:
    """A real clip that is made again from its first frame and its sound."""
    return Subject(clip.stem, clip, clip, clip, phones, references)


@dataclass(frozen=True)
class Evaluation:
    """curves: lip apertures (F,) in eye distances at 25 frames a second, "asked", "found" and, of a real video, "real";
    NaN in frames without a face. video: what was written. features: of the made video and of the real one, for FID and
    FVD; None without a real one."""

    subject: Subject
    figures: Figures
    curves: dict[str, Tensor]
    video: Path
    features: tuple[Features, Features] | None = None


def evaluate(
    model: AnyPipeline,
    subject: Subject,
    out: Path,
    provider: FaceProvider,
    recognition: FaceRecognition | None = None,
    settings: SamplingSettings | None = None,
    nets: MetricNets | None = None,
) -> Evaluation:
    """Makes the subject's video ``out`` and measures it. Raises PortraitTalkError where a file cannot be used."""
    settings, nets = settings or usual_settings(model.config), nets or MetricNets()
    made_features, real_features = (FeatureReader(nets.inception, nets.i3d) for _ in range(2))
    replays = subject.portrait == subject.real
    clip = None if subject.real is None else read_video(subject.real, FPS)
    portrait = next(iter(clip)) if clip is not None and replays else read_image(subject.portrait).flattened()
    phones = [] if subject.phones is None else _phones(subject.phones)
    sound = read_audio(subject.speech)
    identity = model.encode_identity([portrait], provider=provider)
    real, counts = None, None
    if clip is not None:
        crop = identity.crop if replays else first_crop(clip, identity.crop.size, provider)
        real = look(clip, crop, provider, None, recognition, identity, real_features)
        if replays and subject.references > 1:
            wanted = subject.references - 1
            further, counts = _widest(apertures(real.faces), wanted)
            if len(further) < wanted or not counts.any():
                raise MediaError(f"{subject.portrait.name} is too short for {wanted + 1} references: give fewer.")
            pictures = [frame.clone() for number, frame in enumerate(clip) if number in further]
            identity = model.encode_identity([portrait, *pictures], provider=provider)
    started = time.perf_counter()
    frames = talk(model, identity, sound, settings=settings, fps=FPS)
    write_video(frames, out, FPS, sound)
    took = time.perf_counter() - started
    asked = _asked_aperture(model, frames)
    video, watching = read_video(out, FPS), None if clip is None else made_features
    seen = look(video, identity.crop, provider, identity.portrait, recognition, identity, watching)
    if not any(seen.faces):
        raise MediaError(f"No face was found in the video made from {subject.portrait.name}: nothing can be measured.")
    lips = apertures(seen.faces)
    net = load_dynamics()
    expected, found = net.curves_of(sound), measures_of_faces(seen.faces)
    follows = adfd(found, expected, net)
    # Whole clips are sampled in windows that move on at every step, so that their seams lie nowhere.
    windows = plan_windows(len(frames), settings.window, settings.overlap) if model.follows_structure else []
    around = still_region(identity.landmarks, identity.crop.size, SMALL_SIZE)
    row: dict[str, float | int | None] = {
        "adfd": score(follows),
        "adfd_spatial": None if follows is None else follows.spatial,
        "adfd_temporal": None if follows is None else follows.temporal,
        "lips_asked": None if asked is None else correlation(asked, lips),
        "closure": closure(lips, phones, FPS),
        "identity": seen.distance,
        "identity_cosine": seen.cosine,
        "outside_psnr": seen.outside_psnr,
        "seam": seam_ratio(seen.small, [w.start for w in windows[1:]]) if len(windows) > 1 else None,
        "flicker": flicker(seen.small, around),
        "drift": drift(seen.small, around),
        "blinks": blinks_per_minute(seen.faces, FPS),
        "speed": took / frames.speech.seconds,
    }
    if nets.syncnet is not None and (sync := lip_sync(nets.syncnet, video, seen.faces, sound)) is not None:
        row |= {"lse_c": sync.lse_c, "lse_d": sync.lse_d, "sync_offset": sync.offset}
    curves = {"found": lips} if asked is None else {"asked": asked, "found": lips}
    if clip is not None and real is not None:
        curves["real"] = apertures(real.faces)[: len(lips)]  # a clip's sound may be shorter or longer
        row |= _beside(seen, real, lips, curves["real"])
        true = measures_of_faces(real.faces)
        row |= {"adfd_reference": score(adfd(found, true, net)), "adfd_real": score(adfd(true, expected, net))}
        row["closure_real"] = closure(curves["real"], phones, FPS)
        if nets.syncnet is not None and (sync := lip_sync(nets.syncnet, clip, real.faces, sound)) is not None:
            row |= {"lse_c_real": sync.lse_c, "lse_d_real": sync.lse_d}
        if replays:
            row |= {"flicker_real": flicker(real.small, around), "drift_real": drift(real.small, around)}
        if replays and model.follows_structure:
            drawn, warped = reenact(model, identity, frames.speech, clip, real.faces, settings, counts, nets.lpips)
            row |= {"mouth": drawn.l1, "mouth_psnr": drawn.psnr, "ssim": drawn.ssim, "lpips": drawn.lpips}
            row |= {"mouth_warp": warped.l1, "mouth_psnr_warp": warped.psnr, "ssim_warp": warped.ssim}
            row["lpips_warp"] = warped.lpips
    names = [f.name for f in fields(Figures) if f.name != "subject"]
    figures = Figures(subject.name, **{name: row.get(name) for name in names})  # type: ignore[arg-type]  # by name
    features = None if clip is None else (made_features.features(), real_features.features())
    return Evaluation(subject, figures, curves, out, features)


def _asked_aperture(model: AnyPipeline, frames: TalkingFrames) -> Tensor | None:
    """The lip aperture (F,) that the motion asks for; None for a model that makes its motion itself."""
    if frames.motion is None:
        return None
    basis = model.face_motion()[1]
    return lip_aperture(build_structure(frames.identity, frames.motion, basis, model.config).landmarks)[: len(frames)]


def _widest(lips: Tensor, count: int) -> tuple[list[int], Tensor]:
    """Those of the frames (F,) whose lips are furthest apart, ``AWAY`` from the first and from each other, and which of
    all frames (F,) are as far from them."""
    lips = lips.nan_to_num(-1.0)
    away = torch.arange(len(lips)) >= AWAY
    far = torch.ones_like(away)
    chosen: list[int] = []
    while len(chosen) < count and away.any():
        chosen.append(int(lips.masked_fill(~away, -2.0).argmax()))
        near = (torch.arange(len(lips)) - chosen[-1]).abs() < AWAY
        away, far = away & ~near, far & ~near
    return chosen, far


def _phones(path: Path) -> list[Phone]:
    try:
        return read_phones(path)
    except ValueError as error:
        raise MediaError(f"{path.name} is no phone file: a line is a start, an end (seconds) and a phone.") from error


def _beside(seen: Seen, real: Seen, lips: Tensor, real_lips: Tensor) -> dict[str, float | int | None]:
    """What compares the faces of a made video with those of the real one."""
    lag, best = best_lag(real_lips, lips[: len(real_lips)])
    ratio = None if seen.distance is None or real.distance is None else seen.distance / real.distance
    return {
        "lips_real": correlation(real_lips, lips[: len(real_lips)]),
        "lips_real_best": best,
        "lag": lag,
        "lip_distance": lip_distance(seen.faces, real.faces),
        "identity_real": real.distance,
        "identity_cosine_real": real.cosine,
        "identity_ratio": ratio,
        "blinks_real": blinks_per_minute(real.faces, FPS),
    }
