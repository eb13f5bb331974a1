"""A short clip of the demo portrait with a model on this machine: figures and pictures that can go with a report.

The pack's authors could not run public weights: what a user's machine finds here is the first that is known of them.
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
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import SettingsError
from ..face.align import aligned_crop, extract_crop
from ..face.mesh import MeshProvider
from ..face.topology import LIPS_OUTER
from ..media.audio import read_audio
from ..media.reader import read_video
from ..media.video import write_video
from ..pipelines.load import AnyPipeline, load_model
from ..pipelines.mini import MiniPipeline
from ..pipelines.talk import talk
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import usual_settings
from ..types import Face, Identity, SamplingSettings, image_size
from .adfd import adfd, score
from .cost import peak_memory_mb
from .dynamics import FPS, MEASURES, load_dynamics, measures_of_faces
from .lips import apertures, best_lag, correlation
from .recognition import FaceRecognition
from .watch import IDENTITY_EVERY, face_of, look

DEMO = Path(__file__).parents[1] / "assets" / "demo"
SHORTEST = 1.0  # seconds
COLUMNS, TILE = 10, 160  # of the contact sheet: frames, and pixels a side
PACKAGES = ("torch", "diffusers", "transformers", "safetensors")
APERTURE = [name for name, *_ in MEASURES].index("lip aperture")


@dataclass(frozen=True)
class Selftest:
    """What was measured; None where it cannot be.

    seconds_per_frame: of sampling, decoding and pasting back; seconds_to_prepare: of finding the face, encoding it and
    listening. peak_memory_mb: on a GPU what torch held there, else what the process held. faces_found: share of the
    frames that show a face. lip_correlation: of the lips' opening with what the speech lets expect, and best at a lag
    of lip_lag_ms (positive: the face is late). adfd: see ``metrics.adfd``. identity_cosine: of mini's identity
    features of portrait and frames; identity_distance: dlib's, where it is installed (up to 0.5: one person).
    outside_psnr: of what lies around the face, against the portrait, in dB. finite: whether every pixel is a number.
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
        """The figures for people, a line each."""
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
    """Makes ``seconds`` of the demo with a model, measures them, and writes into ``folder`` the video (``clip.mp4``),
    a contact sheet (``sheet.png``) and the figures (``report.json``).

    Raises SettingsError for less than a second, or for settings out of range.
    """
    if not seconds >= SHORTEST:
        raise SettingsError(f"A self-test needs at least {SHORTEST:g} s of speech, not {seconds:g}.")
    folder.mkdir(parents=True, exist_ok=True)
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

    def watched() -> Iterator[Tensor]:
        nonlocal finite
        for chunk in frames:
            finite = finite and bool(chunk.isfinite().all())
            yield chunk.nan_to_num()

    video = folder / "clip.mp4"
    write_video(watched(), video, FPS, sound)
    took = time.perf_counter() - prepared
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory_mb()
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    seen = look(read_video(video, FPS), identity.crop, MeshProvider(), identity.portrait, recognition, identity)
    net = load_dynamics()
    wanted = net.curves_of(sound)
    lips, asked = apertures(seen.faces), wanted[: len(seen.faces), APERTURE]
    lag, best = best_lag(asked, lips)
    result = Selftest(
        model=config.name,
        precision=str(model.dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        system=platform.platform(),
        packages={name: _version(name) for name in PACKAGES},
        settings={k: v for k, v in asdict(settings).items() if not isinstance(v, dict)},
        frames=len(frames),
        fps=FPS,
        seconds_per_frame=took / len(frames),
        seconds_to_prepare=prepared - started,
        peak_memory_mb=memory,
        finite=finite,
        faces_found=sum(face is not None for face in seen.faces) / len(seen.faces),
        lip_correlation=_number(correlation(asked, lips)),
        lip_correlation_best=_number(best),
        lip_lag_ms=round(1000 * lag / FPS) if _number(best) is not None else None,
        adfd=score(adfd(measures_of_faces(seen.faces), wanted, net)),
        identity_cosine=identity_cosine(identity, video, seen.faces),
        identity_distance=seen.distance,
        outside_psnr=_number(seen.outside_psnr),
    )
    (folder / "report.json").write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    _save(contact_sheet(identity, video, seen.faces), folder / "sheet.png")
    return result


@torch.no_grad()
def identity_cosine(identity: Identity, video: Path, faces: list[Face | None]) -> float | None:
    """Mean cosine of mini's identity features of the portrait and of every fifth frame that shows a face."""
    mini = load_model()
    assert isinstance(mini, MiniPipeline)
    net = mini.identity_net.encoder

    def embedded(image: Tensor, face: Face) -> Tensor:
        crop = aligned_crop(face.landmarks, image_size(image), mini.config.crop_size)
        return net.embed(net(extract_crop(image, crop, mini.config.crop_size)[None]))[0]

    portrait = embedded(identity.portrait.cpu(), face_of(identity.to("cpu")))
    found = [
        embedded(frame, face)
        for number, (frame, face) in enumerate(zip(read_video(video, FPS), faces, strict=False))
        if face is not None and number % IDENTITY_EVERY == 0
    ]
    return (torch.stack(found) @ portrait).mean().item() if found else None


def contact_sheet(identity: Identity, video: Path, faces: list[Face | None]) -> Tensor:
    """(3, H, W): the portrait and frames evenly over the video, in two rows: the whole, and the mouth enlarged."""
    mouth = face_of(identity.to("cpu")).landmarks[list(LIPS_OUTER), :2]
    centre, reach = mouth.mean(0), 1.2 * float((mouth.amax(0) - mouth.amin(0)).max() / 2)
    places = torch.linspace(0, len(faces) - 1, COLUMNS).round().int().tolist()
    shown = [frame for number, frame in enumerate(read_video(video, FPS)) for _ in range(places.count(number))]
    columns = []
    for picture in (identity.portrait.cpu(), *shown):
        (left, top), (right, bottom) = ((centre + sign * reach).round().int().tolist() for sign in (-1, 1))
        close = picture[:, max(top, 0) : bottom, max(left, 0) : right]
        columns.append(torch.cat([_tile(picture), _tile(close)], 1))
    return torch.cat(columns, 2)


def _tile(picture: Tensor) -> Tensor:
    """(3, h, w) fitted into a white square."""
    scale = TILE / max(picture.shape[-2:])
    size = [max(round(side * scale), 1) for side in picture.shape[-2:]]
    tile = torch.ones(3, TILE, TILE)
    tile[:, : size[0], : size[1]] = interpolate(picture[None], size, mode="bilinear", antialias=True)[0]
    return tile


def _save(image: Tensor, path: Path) -> None:
    Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()).save(path)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
