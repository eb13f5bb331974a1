"""Conversion of talking-head videos and portraits to a data set of aligned, tracked clips, one safetensors file each.

A clip file holds ``jpeg`` and ``offsets`` (the F frames, S x S, as concatenated JPEGs), ``landmarks`` (F, 478, 3) in
crop pixels, ``blendshapes`` (F, 52), ``rotation`` (F, 3) of the head relative to the first frame, for videos with sound
``speech`` (F, W, M) float16, and in its header ``source``, ``speaker``, ``fps`` and ``caption``. A clip is cropped by
the alignment of its first frame, so the head moves inside the crop exactly as in an animated portrait. Portraits are
clips of one frame. Each short clip is its own file, so interrupted runs can resume and any subset can be read.
"""

import io
import json
import logging
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...arkit import ARKIT_NAMES
from ...config import PortraitTalkConfig
from ...errors import FaceError, MediaError, PortraitTalkError
from ...face.align import aligned_crop, extract_crop, to_crop
from ...face.detect import FaceProvider
from ...face.providers import provider_named
from ...media.source import PICTURES, VIDEOS
from ...models.face_basis import load_basis
from ...motion.read import pose_and_gaze
from ...output_files import check_names, make_folder, remove_unfinished, write_text
from ...progress import Progress, ProgressCallback, ignore_progress
from ...tensor_files import write_tensors
from ...text_files import read_text
from ...types import Crop, Face
from .clean import CleanRules, Dropped, describe, fault, is_cut, stretches

logger = logging.getLogger(__name__)

PORTRAIT_SIZE = 384  # portraits keep more pixels than a crop and a margin, for augmentation
PORTRAIT_MARGIN = 1.2
PICTURE_SIZE = 448  # side of whole pictures in pixels: a face in them is still larger than the face mesh's input
QUALITY = 95  # JPEG quality; chroma is not subsampled because lips differ from skin by colour
SILENT = 1e-4  # amplitude below which a sound counts as silent


@dataclass(frozen=True)
class PrepareSettings:
    """config: of the model to train on the clips. fps: of the clips; None keeps each video's own. landmarker: name in
    ``face.providers``."""

    config: PortraitTalkConfig
    rules: CleanRules = field(default_factory=CleanRules)
    fps: float | None = None
    landmarker: str = "own"


@dataclass(frozen=True)
class SourceReport:
    """Result for one source: names of its clips, their total seconds, and the rejected stretches with reasons."""

    source: str
    clips: list[str]
    seconds: float
    dropped: list[Dropped]


def prepare(
    folder: Path,
    out: Path,
    settings: PrepareSettings,
    workers: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> list[SourceReport]:
    """Convert every video and picture under ``folder`` to clip files in ``out``, and write ``report.json``.

    A source is named by its path under the folder, joined with underscores; the speaker is the part of that name before
    the first underscore, so usually the topmost subfolder. Captions come from a text file of the same name beside the
    source, or else describe the expression. Sources finished in an earlier run are kept. Raises FaceError if the
    landmarker is not installed.
    """
    sources = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS + PICTURES and p.is_file())
    if not sources:
        raise MediaError(f"{folder} contains no videos or pictures: give another folder.")
    check_names({path: f"{_name(path, folder)}.safetensors" for path in sources})
    reports_folder = out / "reports"
    make_folder(reports_folder)
    reports = {}
    pending = []
    for path in sources:
        done = reports_folder / f"{_name(path, folder)}.json"
        if done.is_file():
            reports[path] = _read_report(done)
        else:
            pending.append(path)
    progress(Progress("prepare", len(reports), len(sources)))
    if pending:
        provider_named(settings.landmarker)  # raises for missing packages once, not in each worker
    # Spawn rather than fork: the threads of MediaPipe and torch do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (settings.landmarker,)) as pool:
        jobs = {pool.submit(_prepare_source, path, folder, out, settings): path for path in pending}
        try:
            for job in as_completed(jobs):
                reports[jobs[job]] = job.result()
                progress(Progress("prepare", len(reports), len(sources)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    ordered = [reports[path] for path in sources]
    _write_json(out / "report.json", summarised(ordered))
    return ordered


def summarised(reports: list[SourceReport]) -> dict[str, object]:
    """Return totals of clips and seconds, rejected seconds by reason, and the report of each source."""
    reasons: Counter[str] = Counter()
    for report in reports:
        for dropped in report.dropped:
            reasons[dropped.reason] += dropped.seconds  # type: ignore[assignment]  # a Counter of seconds
    return {
        "sources": len(reports),
        "clips": sum(len(report.clips) for report in reports),
        "seconds": round(sum(report.seconds for report in reports), 2),
        "dropped_seconds": {reason: round(seconds, 2) for reason, seconds in reasons.most_common()},
        "unused_sources": [report.source for report in reports if not report.clips],
        "reports": [asdict(report) for report in reports],
    }


def prepare_source(path: Path, name: str, out: Path, provider: FaceProvider, settings: PrepareSettings) -> SourceReport:
    """Write the clips of one source into ``out``. An unreadable source is rejected as a whole, with the reason."""
    from ...media.image import read_image

    caption = path.with_suffix(".txt")
    header = {"source": path.name, "speaker": name.split("_")[0]}
    if caption.is_file():
        header["caption"] = read_text(caption, errors="replace").strip()
    try:
        if path.suffix.lower() in PICTURES:
            clip = prepare_portrait(read_image(path).pixels, provider)
            write_clip(out / f"{name}.safetensors", encoded(clip), _with_caption(header, clip))
            return SourceReport(path.name, [name], 0.0, [])
        return _prepare_video(path, name, out, provider, settings, header)
    except PortraitTalkError as error:
        return SourceReport(path.name, [], 0.0, [Dropped(0.0, 0.0, str(error).rstrip("."))])


def _prepare_video(
    path: Path, name: str, out: Path, provider: FaceProvider, settings: PrepareSettings, header: dict[str, str]
) -> SourceReport:
    from ...media.reader import read_video
    from ...speech.features import encode_speech

    rules, config, basis = settings.rules, settings.config, load_basis()
    video = read_video(path, settings.fps)
    fps = float(video.fps)
    if not video.has_audio:
        return SourceReport(path.name, [], 0.0, [Dropped(0.0, 0.0, "no sound")])
    sound = video.audio()
    if float(sound.waveform.abs().max()) < SILENT:
        return SourceReport(path.name, [], 0.0, [Dropped(0.0, sound.seconds, "silent")])
    speech = encode_speech(sound, fps, config.speech).features
    # Read the video twice, for faces and for crops, so that its frames are never all in memory.
    faces: list[Face | None] = []
    faults, cuts = [], []
    for frame in video:
        found = provider(frame)
        faults.append(fault(found, video.size, basis.mean, rules))
        previous, current = (faces[-1] if faces else None), (found[0] if found else None)
        cuts.append(
            previous is not None and current is not None and is_cut(previous.landmarks, current.landmarks, rules)
        )
        faces.append(current)
        if len(faults) == len(speech) and len(speech) > fps:  # the video is longer than its sound
            break
    clips, dropped = stretches(faults, cuts, fps, rules)
    names = []
    frames = enumerate(video)
    for number, part in enumerate(clips):
        clip_faces = [face for face in faces[part] if face is not None]
        images = [frame for index, frame in _until(frames, part.stop) if index >= part.start]
        clip = crop_clip(images, clip_faces, config.crop_size)
        clip["rotation"] = pose_and_gaze(clip["landmarks"], basis)[0]
        clip["speech"] = _padded(speech[part], len(images)).half()
        clip_name = f"{name}_{number:03d}" if len(clips) > 1 else name
        write_clip(out / f"{clip_name}.safetensors", encoded(clip), {**_with_caption(header, clip), "fps": f"{fps:g}"})
        names.append(clip_name)
    return SourceReport(path.name, names, sum(part.stop - part.start for part in clips) / fps, dropped)


def prepare_portrait(image: Tensor, provider: FaceProvider) -> dict[str, Tensor]:
    """Return the clip tensors of a portrait (3, H, W), with ``PORTRAIT_MARGIN`` around the canonical crop."""
    return crop_clip([image], [largest(provider, image)], PORTRAIT_SIZE, PORTRAIT_MARGIN)


def prepare_pictures(images: Iterable[Path], out: Path, provider: FaceProvider) -> None:
    """Write whole, unaligned pictures of at most ``PICTURE_SIZE`` pixels a side as one-frame clips, to train the face
    detector. Existing files are kept; pictures without a face are skipped with a log message."""
    from ...media.image import read_image

    def one_frame_clip(path: Path) -> dict[str, Tensor]:
        image = read_image(path).pixels
        face = largest(provider, image)
        scale = min(PICTURE_SIZE / max(image.shape[-2:]), 1.0)
        size = [round(n * scale) for n in image.shape[-2:]]
        small = F.interpolate(image[None], size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        shapes = torch.zeros(len(ARKIT_NAMES)) if face.blendshapes is None else face.blendshapes
        frames = (small * 255).round().byte()
        return {"frames": frames, "landmarks": (face.landmarks * scale)[None], "blendshapes": shapes[None]}

    make_folder(out)
    images = list(images)
    check_names({path: f"{path.stem}.safetensors" for path in images})
    for path in images:
        target = out / f"{path.stem}.safetensors"
        if target.exists():
            continue
        try:
            write_clip(target, one_frame_clip(path))
        except PortraitTalkError as error:
            logger.warning("Skipped %s: %s", path.name, error)


def crop_clip(frames: list[Tensor], faces: list[Face], size: int, margin: float = 1.0) -> dict[str, Tensor]:
    """Crop the frames (3, H, W) of a clip by its first face; return frames, landmarks and blendshapes of the crop."""
    crop = with_margin(aligned_crop(faces[0].landmarks, tuple(frames[0].shape[-2:]), size), margin)  # type: ignore[arg-type]  # a pair
    cropped = torch.cat([(extract_crop(frame[None], crop).clamp(0, 1) * 255).round().byte() for frame in frames])
    landmarks = torch.stack([to_crop(face.landmarks, crop) for face in faces])
    blendshapes = torch.stack([face.blendshapes for face in faces if face.blendshapes is not None])
    return {"frames": cropped, "landmarks": landmarks, "blendshapes": blendshapes}


def with_margin(crop: Crop, margin: float) -> Crop:
    """Return a crop of the same output size and centre that covers ``margin`` times the side."""
    matrix = crop.matrix / margin
    matrix[:, 2] += crop.size / 2 * (1 - 1 / margin)
    return Crop(matrix, crop.size, crop.image_size)


def encoded(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace a clip's ``frames`` (F, 3, S, S) uint8 by ``jpeg`` (bytes) and ``offsets`` (F + 1,)."""
    pictures = []
    for frame in clip["frames"]:
        buffer = io.BytesIO()
        pixels = frame.permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        pictures.append(torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8))
    offsets = torch.tensor([0, *(len(picture) for picture in pictures)]).cumsum(0)
    others = {name: tensor for name, tensor in clip.items() if name != "frames"}
    return {**others, "jpeg": torch.cat(pictures), "offsets": offsets}


def largest(provider: FaceProvider, image: Tensor) -> Face:
    faces = provider(image)
    if not faces:
        raise FaceError("no face was found in a frame")
    return faces[0]


def clip_files(folder: Path, left_out: Iterable[str] = ()) -> Iterator[Path]:
    """Iterate over the clip files of a data set in sorted order, except stems that start with one of ``left_out``."""
    names = tuple(left_out)
    return (p for p in sorted(folder.glob("*.safetensors")) if not (names and p.stem.startswith(names)))


def write_clip(target: Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Write a clip file atomically."""
    write_tensors(target, tensors, header)


_worker: dict[str, FaceProvider] = {}


def _start_worker(landmarker: str) -> None:
    signal.signal(signal.SIGTERM, _stop_worker)
    torch.set_num_threads(1)
    _worker["provider"] = provider_named(landmarker)


def _stop_worker(number: int, frame: FrameType | None) -> None:
    """End a worker whose main process is being stopped."""
    remove_unfinished()
    os._exit(128 + number)


def _prepare_source(path: Path, folder: Path, out: Path, settings: PrepareSettings) -> SourceReport:
    """In a worker: process one source, then write its report, which marks it as finished."""
    name = _name(path, folder)
    report = prepare_source(path, name, out, _worker["provider"], settings)
    _write_json(out / "reports" / f"{name}.json", asdict(report))
    return report


def _name(path: Path, folder: Path) -> str:
    """Join the parts of a source's path under the folder, so that names are unique."""
    inside = path.relative_to(folder)
    return "_".join((*inside.parts[:-1], inside.stem)).replace(".", "-")


def _read_report(path: Path) -> SourceReport:
    values = json.loads(path.read_text(encoding="utf-8"))
    return SourceReport(**{**values, "dropped": [Dropped(**entry) for entry in values["dropped"]]})


def _write_json(path: Path, values: object) -> None:
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False))


def _with_caption(header: dict[str, str], clip: dict[str, Tensor]) -> dict[str, str]:
    return {"caption": describe(clip["blendshapes"]), **header}


def _until(frames: Iterator[tuple[int, Tensor]], stop: int) -> Iterator[tuple[int, Tensor]]:
    """Yield numbered frames up to ``stop`` - 1 without consuming the rest."""
    for index, frame in frames:
        yield index, frame
        if index + 1 >= stop:
            return


def _padded(speech: Tensor, count: int) -> Tensor:
    missing = count - len(speech)
    return F.pad(speech, (0, 0, 0, 0, 0, missing), mode="replicate") if missing > 0 else speech[:count]
