"""Evaluation of a model on the video files it writes, against the speech and, if there is one, a real video.

A *subject* is a portrait with speech, or a real clip: its first frame is then the portrait and its audio the speech,
and the output is compared with the clip. Everything is measured on the written video, with faces detected again.
"""

import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from ..compositing.structure import build_structure
from ..errors import MediaError
from ..face.detect import FaceProvider
from ..media.audio import read_audio
from ..media.image import read_image
from ..media.reader import read_video
from ..media.video import check_output, write_video
from ..motion.geometry import lip_aperture
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import TalkingFrames, talk
from ..sampling.settings import usual_settings
from ..sampling.windows import plan_windows
from ..speech.phones import read_phones
from ..types import SamplingSettings
from .adfd import adfd, score
from .dynamics import FPS, load_dynamics, measures_of_faces
from .figures import Figures
from .frechet import FeatureReader, Features
from .lip_sync import lip_sync
from .lips import apertures, best_lag, closure, correlation, lip_distance
from .metric_nets import MetricNets
from .naturalness import Naturalness, naturalness
from .pixels import seam_ratio
from .recognition import FaceRecognition
from .reenact import reenact
from .steady import blinks_per_minute, drift, flicker, still_region
from .video_measures import SMALL_SIZE, VideoMeasures, first_crop, measure_video

AWAY = 5  # frames beyond which a frame reveals little about another


@dataclass(frozen=True)
class Subject:
    """The inputs of one evaluation.

    portrait: a picture, or a clip whose first frame is used. speech: any file with audio. real: a video of the person
    speaking it; pixels are compared if it is the same file as the portrait. phones: file of timed phones. references:
    number of reference pictures for the model; those after the first are the frames of the real clip with the widest
    open mouth, and the mouth error is measured only on frames away from them.
    """

    name: str
    portrait: Path
    speech: Path
    real: Path | None = None
    phones: Path | None = None
    references: int = 1

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.portrait, self.speech, self.real, self.phones) if path is not None]


def replayed(clip: Path, phones: Path | None = None, references: int = 1) -> Subject:
    """Return the subject that regenerates a real clip from its first frame and its audio."""
    return Subject(clip.stem, clip, clip, clip, phones, references)


@dataclass(frozen=True)
class Evaluation:
    """The result for one subject.

    curves: lip apertures (F,) in eye distances at 25 fps, NaN in frames without a face: "asked" of the motion track,
    "found" in the generated video and, if there is one, "real" of the real video. video: the written file. features:
    of the generated and the real video, for FID and FVD; natural: their motion, for THEval's scores; None without a
    real one.
    """

    subject: Subject
    figures: Figures
    curves: dict[str, Tensor]
    video: Path
    features: tuple[Features, Features] | None = None
    natural: tuple[Naturalness, Naturalness] | None = None


def evaluate(
    model: AnyPipeline,
    subject: Subject,
    out: Path,
    provider: FaceProvider,
    recognition: FaceRecognition | None = None,
    settings: SamplingSettings | None = None,
    nets: MetricNets | None = None,
    *,
    liveliness: float = 1.0,
) -> Evaluation:
    """Generate the subject's video ``out`` and measure it. Raises PortraitTalkError if a file cannot be used.

    liveliness: see ``talk``; speakers differ by factors, so scores of motion depend on it.
    """
    check_output(out, inputs=subject.files)
    settings, nets = settings or usual_settings(model.config), nets or MetricNets()
    generated_features, real_features = (FeatureReader(nets.inception, nets.i3d) for _ in range(2))
    is_replay = subject.portrait == subject.real
    clip = None if subject.real is None else read_video(subject.real, FPS)
    portrait = next(iter(clip)) if clip is not None and is_replay else read_image(subject.portrait).flattened()
    phones = [] if subject.phones is None else read_phones(subject.phones)
    sound = read_audio(subject.speech)
    identity = model.encode_identity([portrait], provider=provider)
    real, counts = None, None
    if clip is not None:
        crop = identity.crop if is_replay else first_crop(clip, identity.crop.size, provider)
        real = measure_video(clip, crop, provider, None, recognition, identity, real_features)
        if is_replay and subject.references > 1:
            extra = subject.references - 1
            chosen, counts = _widest(apertures(real.faces), extra)
            if len(chosen) < extra or not counts.any():
                raise MediaError(f"{subject.portrait.name} is too short for {extra + 1} references: give fewer.")
            pictures = [frame.clone() for number, frame in enumerate(clip) if number in chosen]
            identity = model.encode_identity([portrait, *pictures], provider=provider)
    started = time.perf_counter()
    frames = talk(model, identity, sound, settings=settings, fps=FPS, liveliness=liveliness)
    write_video(frames, out, FPS, sound)
    elapsed = time.perf_counter() - started
    asked = _asked_aperture(model, frames)
    video, reader = read_video(out, FPS), None if clip is None else generated_features
    generated = measure_video(video, identity.crop, provider, identity.portrait, recognition, identity, reader)
    if not any(generated.faces):
        raise MediaError(f"No face was found in the video made from {subject.portrait.name}: give another portrait.")
    lips = apertures(generated.faces)
    net = load_dynamics()
    predicted, measured = net.curves_of(sound), measures_of_faces(generated.faces)
    dynamics = adfd(measured, predicted, net)
    # Whole-clip sampling shifts the windows at every step, so there are no fixed seams to measure.
    windows = plan_windows(len(frames), settings.window, settings.overlap) if model.follows_structure else []
    background = still_region(identity.landmarks, identity.crop.size, SMALL_SIZE)
    row: dict[str, float | int | None] = {
        "adfd": score(dynamics),
        "adfd_spatial": None if dynamics is None else dynamics.spatial,
        "adfd_temporal": None if dynamics is None else dynamics.temporal,
        "lips_asked": None if asked is None else correlation(asked, lips),
        "closure": closure(lips, phones, FPS),
        "identity": generated.distance,
        "identity_cosine": generated.cosine,
        "outside_psnr": generated.outside_psnr,
        "seam": seam_ratio(generated.small, [w.start for w in windows[1:]]) if len(windows) > 1 else None,
        "flicker": flicker(generated.small, background),
        "drift": drift(generated.small, background),
        "blinks": blinks_per_minute(generated.faces, FPS),
        "speed": elapsed / frames.speech.seconds,
    }
    natural, natural_real = naturalness(generated.faces, video.size, sound, FPS), None
    if natural is not None:
        row |= asdict(natural)
    if nets.syncnet is not None and (sync := lip_sync(nets.syncnet, video, generated.faces, sound)) is not None:
        row |= {"lse_c": sync.lse_c, "lse_d": sync.lse_d, "sync_offset": sync.offset}
    curves = {"found": lips} if asked is None else {"asked": asked, "found": lips}
    if clip is not None and real is not None:
        curves["real"] = apertures(real.faces)[: len(lips)]  # a clip's audio may be shorter or longer
        row |= _compared_to_real(generated, real, lips, curves["real"])
        natural_real = naturalness(real.faces[: len(lips)], clip.size, sound, FPS)
        if natural_real is not None:
            row |= {f"{name}_real": value for name, value in asdict(natural_real).items()}
        real_measures = measures_of_faces(real.faces)
        row["adfd_reference"] = score(adfd(measured, real_measures, net))
        row["adfd_real"] = score(adfd(real_measures, predicted, net))
        row["closure_real"] = closure(curves["real"], phones, FPS)
        if nets.syncnet is not None and (sync := lip_sync(nets.syncnet, clip, real.faces, sound)) is not None:
            row |= {"lse_c_real": sync.lse_c, "lse_d_real": sync.lse_d}
        if is_replay:
            row |= {"flicker_real": flicker(real.small, background), "drift_real": drift(real.small, background)}
        if is_replay and model.follows_structure:
            drawn, warped = reenact(model, identity, frames.speech, clip, real.faces, settings, counts, nets.lpips)
            row |= {"mouth": drawn.l1, "mouth_psnr": drawn.psnr, "ssim": drawn.ssim, "lpips": drawn.lpips}
            row |= {"mouth_warp": warped.l1, "mouth_psnr_warp": warped.psnr, "ssim_warp": warped.ssim}
            row |= {"lpips_warp": warped.lpips, "mouth_sharpness": drawn.sharpness}
            row["mouth_sharpness_warp"] = warped.sharpness
    names = [f.name for f in fields(Figures) if f.name != "subject"]
    figures = Figures(subject.name, **{name: row.get(name) for name in names})  # type: ignore[arg-type]  # by name
    features = None if clip is None else (generated_features.features(), real_features.features())
    both = None if natural is None or natural_real is None else (natural, natural_real)
    return Evaluation(subject, figures, curves, out, features, both)


def _asked_aperture(model: AnyPipeline, frames: TalkingFrames) -> Tensor | None:
    """Return the lip aperture (F,) of the motion track, or None for a model that generates its own motion."""
    if frames.motion is None:
        return None
    basis = model.face_motion()[1]
    return lip_aperture(build_structure(frames.identity, frames.motion, basis, model.config).landmarks)[: len(frames)]


def _widest(lips: Tensor, count: int) -> tuple[list[int], Tensor]:
    """Return the frames with the widest lip aperture (F,), and a mask (F,) of the frames at least ``AWAY`` from them.

    The frames chosen are at least ``AWAY`` from the first frame and from each other.
    """
    lips = lips.nan_to_num(-1.0)
    candidates = torch.arange(len(lips)) >= AWAY
    distant = torch.ones_like(candidates)
    chosen: list[int] = []
    while len(chosen) < count and candidates.any():
        chosen.append(int(lips.masked_fill(~candidates, -2.0).argmax()))
        near = (torch.arange(len(lips)) - chosen[-1]).abs() < AWAY
        candidates, distant = candidates & ~near, distant & ~near
    return chosen, distant


def _compared_to_real(
    generated: VideoMeasures, real: VideoMeasures, lips: Tensor, real_lips: Tensor
) -> dict[str, float | int | None]:
    """Return the figures that compare the faces of the generated video with those of the real one."""
    lag, best = best_lag(real_lips, lips[: len(real_lips)])
    ratio = None if generated.distance is None or real.distance is None else generated.distance / real.distance
    return {
        "lips_real": correlation(real_lips, lips[: len(real_lips)]),
        "lips_real_best": best,
        "lag": lag,
        "lip_distance": lip_distance(generated.faces, real.faces),
        "identity_real": real.distance,
        "identity_cosine_real": real.cosine,
        "identity_ratio": ratio,
        "blinks_real": blinks_per_minute(real.faces, FPS),
    }
