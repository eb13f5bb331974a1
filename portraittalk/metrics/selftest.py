"""Self-test: a short clip of the demo portrait with a model on this machine, with figures and pictures for a report.

The authors of the pack could not run the public weights, so results from a user's machine are the first available.
"""

import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import SettingsError
from ..face.mesh import MeshProvider
from ..face.topology import LIPS_OUTER
from ..media.audio import read_audio
from ..media.image import write_png
from ..media.reader import read_video
from ..media.video import write_video
from ..output_files import make_folder, write_text
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import talk
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import usual_settings
from ..types import Face, Identity, SamplingSettings
from .adfd import adfd, score
from .cost import peak_memory_mb
from .dynamics import FPS, MEASURES, load_dynamics, measures_of_faces
from .identity import identity_embedding
from .lips import apertures, best_lag, correlation
from .recognition import FaceRecognition
from .video_measures import IDENTITY_EVERY, face_of, measure_video

DEMO = Path(__file__).parents[1] / "assets" / "demo"
SHORTEST = 1.0  # seconds
COLUMNS, TILE = 10, 160  # contact sheet: number of frames, tile side in pixels
PACKAGES = ("torch", "diffusers", "transformers", "safetensors")
APERTURE = [name for name, *_ in MEASURES].index("lip aperture")


@dataclass(frozen=True)
class Selftest:
    """The results of a self-test; None where a figure cannot be measured.

    - seconds_per_frame: sampling, decoding and pasting back.
    - seconds_to_prepare: detecting and encoding the face, and encoding the speech.
    - peak_memory_mb: torch's peak allocation on a GPU, otherwise the peak memory of the process.
    - finite: whether no pixel is NaN or infinite.
    - faces_found: share of the frames with a face.
    - lip_correlation: correlation of the lip aperture with the one predicted from the speech; lip_correlation_best: the
      same at lip_lag_ms, the best lag (positive: the face is late).
    - adfd: see ``metrics.adfd``.
    - identity_cosine: cosine of mini's identity features of portrait and frames.
    - identity_distance: distance of dlib's face embeddings, if dlib is installed (up to 0.5: same person).
    - outside_psnr: PSNR outside the head against the portrait, in dB.
    """

    model: str
    precision: str
    device: str
    system: str
    packages: dict[str, str]
    settings: dict[str, float | int | bool]
    frames: int
    fps: float
    seconds_per_frame: float
    seconds_to_prepare: float
    peak_memory_mb: float | None
    finite: bool
    faces_found: float
    lip_correlation: float | None
    lip_correlation_best: float | None
    lip_lag_ms: int | None
    adfd: float | None
    identity_cosine: float | None
    identity_distance: float | None
    outside_psnr: float | None

    def sentences(self) -> str:
        """Return the figures as readable text, one per line."""
        rows = {
            name: ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            for name, value in asdict(self).items()
        }
        return "\n".join(
            f"{name.replace('_', ' '):>22}  {f'{value:.3f}' if isinstance(value, float) else value}"
            for name, value in rows.items()
        )


def selftest(
    model: AnyPipeline,
    folder: Path,
    settings: SamplingSettings | None = None,
    seconds: float = 3.0,
    progress: ProgressCallback = ignore_progress,
) -> Selftest:
    """Generate ``seconds`` of the demo with a model and measure the video.

    Writes the video (``clip.mp4``), a contact sheet (``sheet.png``) and the figures (``report.json``) into ``folder``.
    Raises SettingsError for less than a second, or for settings out of range.
    """
    if not seconds >= SHORTEST:
        raise SettingsError(f"The self-test length of {seconds:g} s is too short: give at least {SHORTEST:g} s.")
    make_folder(folder)
    config, device = model.config, model.device
    settings = settings or usual_settings(config)
    sound = read_audio(DEMO / "speech.wav", duration=seconds)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    frames = talk(model, DEMO / "portrait.jpg", sound, settings=settings, fps=FPS, progress=progress)
    identity = frames.identity
    prepared = time.perf_counter()
    finite = True

    def checked_frames() -> Iterator[Tensor]:
        nonlocal finite
        for chunk in frames:
            finite = finite and bool(chunk.isfinite().all())
            yield chunk.nan_to_num()

    video = folder / "clip.mp4"
    write_video(checked_frames(), video, FPS, sound)
    elapsed = time.perf_counter() - prepared
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory_mb()
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    observed = measure_video(
        read_video(video, FPS), identity.crop, MeshProvider(), identity.portrait, recognition, identity
    )
    net = load_dynamics()
    predicted = net.curves_of(sound)
    lips, predicted_lips = apertures(observed.faces), predicted[: len(observed.faces), APERTURE]
    lag, best = best_lag(predicted_lips, lips)
    result = Selftest(
        model=config.name,
        precision=str(model.dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        system=platform.platform(),
        packages={name: _version(name) for name in PACKAGES},
        settings={k: v for k, v in asdict(settings).items() if not isinstance(v, dict)},
        frames=len(frames),
        fps=FPS,
        seconds_per_frame=elapsed / len(frames),
        seconds_to_prepare=prepared - started,
        peak_memory_mb=memory,
        finite=finite,
        faces_found=sum(face is not None for face in observed.faces) / len(observed.faces),
        lip_correlation=_number(correlation(predicted_lips, lips)),
        lip_correlation_best=_number(best),
        lip_lag_ms=round(1000 * lag / FPS) if _number(best) is not None else None,
        adfd=score(adfd(measures_of_faces(observed.faces), predicted, net)),
        identity_cosine=identity_cosine(identity, video, observed.faces),
        identity_distance=observed.distance,
        outside_psnr=_number(observed.outside_psnr),
    )
    write_text(folder / "report.json", json.dumps(asdict(result), indent=1) + "\n")
    write_png(contact_sheet(identity, video, observed.faces), folder / "sheet.png", comment=None)
    return result


@torch.no_grad()
def identity_cosine(identity: Identity, video: Path, faces: list[Face | None]) -> float | None:
    """Return the mean cosine of the identity embeddings of the portrait and every fifth frame, None without faces."""
    portrait = identity_embedding(identity.portrait.cpu(), face_of(identity.to("cpu")))
    embeddings = [
        identity_embedding(frame, face)
        for number, (frame, face) in enumerate(zip(read_video(video, FPS), faces, strict=False))
        if face is not None and number % IDENTITY_EVERY == 0
    ]
    return (torch.stack(embeddings) @ portrait).mean().item() if embeddings else None


def contact_sheet(identity: Identity, video: Path, faces: list[Face | None]) -> Tensor:
    """Return (3, H, W): the portrait and evenly spaced frames of the video, and a second row of mouth close-ups."""
    mouth = face_of(identity.to("cpu")).landmarks[list(LIPS_OUTER), :2]
    centre, reach = mouth.mean(0), 1.2 * float((mouth.amax(0) - mouth.amin(0)).max() / 2)
    places = torch.linspace(0, len(faces) - 1, COLUMNS).round().int().tolist()
    shown = [frame for number, frame in enumerate(read_video(video, FPS)) for _ in range(places.count(number))]
    columns = []
    for picture in (identity.portrait.cpu(), *shown):
        (left, top), (right, bottom) = ((centre + sign * reach).round().int().tolist() for sign in (-1, 1))
        mouth_crop = picture[:, max(top, 0) : bottom, max(left, 0) : right]
        columns.append(torch.cat([_tile(picture), _tile(mouth_crop)], 1))
    return torch.cat(columns, 2)


def _tile(picture: Tensor) -> Tensor:
    """Return the picture (3, h, w) fitted into a white square."""
    scale = TILE / max(picture.shape[-2:])
    size = [max(round(side * scale), 1) for side in picture.shape[-2:]]
    tile = torch.ones(3, TILE, TILE)
    tile[:, : size[0], : size[1]] = interpolate(picture[None], size, mode="bilinear", antialias=True)[0]
    return tile


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
