"""Training data of AnimateNet on mouth windows: a person's mouth, warped as in inference, and the real one.

A pair file holds, for P pairs of one mouth clip, ``warped``, ``target`` (P, 3, W, W) and ``reference`` (P, R, 3, W, W)
as bytes, ``landmarks`` (P, 478, 3) in pixels of the window, ``expression`` (P, 52) and, for videos, ``speech``.
Portraits become clips of several frames when a video drives them (``drive_mouths``).
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from ...arkit import ARKIT_NAMES
from ...compositing.light import light_on, skin_colour
from ...compositing.mouth import MIN_BORROW_APERTURE, PARTED
from ...compositing.mouth_window import close_up_of, cut_window, mouth_window, moving_mouth
from ...compositing.teeth import Dentition
from ...config import SMALL, PortraitTalkConfig
from ...errors import MediaError, PortraitTalkError
from ...face.align import aligned_crop, extract_crop, to_crop
from ...face.detect import FaceProvider
from ...models.face_basis import FaceBasis, load_basis
from ...motion.geometry import lip_aperture
from ...output_files import make_folder
from ...types import CloseUp, MouthWindow, image_size
from ..data.clips import choose, one_of, random_shape, uniform
from ..data.mouths import CROP, PICTURE, WINDOW, MouthClip, light_in, picture_corner, read_mouths
from ..data.prepare import largest, write_clip
from ..data.tracks import Track, read_track
from .driven_portraits import drive_portrait
from .skin import darken_skin
from .teeth import random_mouth

logger = logging.getLogger(__name__)

DRIVER_STEP = 3  # frames of the driver between those of a driven portrait


@dataclass(frozen=True)
class WindowPairSettings:
    """closed: probability that the warped picture has nearly closed lips, as most portraits do. borrowed: probability
    that a further reference with an open mouth fills the warped one, where the clip has one. wide: probability that the
    target is among the widest third of the clip's mouths. shift: of the window, in its pixels. shape: largest
    displacement of the random deformation. darker: probability that a video's skin is darkened."""

    closed: float = 0.7
    borrowed: float = 0.25
    wide: float = 0.5
    shift: float = 4.0
    shape: float = 5.0
    darker: float = 0.25
    flow_size: int = 64


@torch.no_grad()
def make_window_pairs(
    clip: MouthClip, count: int, settings: WindowPairSettings, generator: Generator
) -> dict[str, Tensor]:
    """Return the tensors of a pair file with ``count`` pairs of a clip, all under one random deformation."""
    pictures, points = clip.pictures.float() / 255, clip.landmarks.clone()
    points[..., :2] -= clip.covers.corner * CROP
    pictures, points = random_shape(pictures, points, settings.shape, generator)
    if clip.speech is not None and uniform(0, 1, generator) < settings.darker:
        pictures = darken_skin(pictures, points, generator)
    points[..., :2] += clip.covers.corner * CROP
    clip = replace(clip, pictures=pictures, landmarks=points)
    basis = load_basis()
    made = [_pair(clip, settings, basis, generator) for _ in range(count)]
    return {name: torch.stack([pair[name] for pair in made]) for name in made[0]}


def _pair(clip: MouthClip, settings: WindowPairSettings, basis: FaceBasis, generator: Generator) -> dict[str, Tensor]:
    aperture = lip_aperture(clip.landmarks)
    order = aperture.argsort()
    third = max(len(order) // 3, 1)

    def drawn(among: Tensor) -> int:
        return int(among[choose(len(among), generator)])

    source = drawn(order[: max(len(order) // 6, 1)] if uniform(0, 1, generator) < settings.closed else order)
    target = drawn(order[-third:] if uniform(0, 1, generator) < settings.wide else order)
    further = (aperture > torch.clamp_min(aperture[source] + PARTED, MIN_BORROW_APERTURE)).nonzero().flatten()
    further = further[further != target]
    other = drawn(further) if len(further) and uniform(0, 1, generator) < settings.borrowed else None
    window = mouth_window(clip.landmarks[source], CROP)
    shift = uniform(-settings.shift, settings.shift, generator, 2) / CROP
    window = MouthWindow((window.corner + shift).clamp(0, 1 - window.side), window.side)
    landmarks = clip.landmarks[target][None]
    warped = warped_window(clip, source, other, landmarks, window, settings.flow_size, basis)
    shown = [source, source if other is None else other]
    real = cut_window(clip.pictures[target][None], window.within(clip.covers), WINDOW)
    if clip.speech is None:  # a driven portrait: nobody knows its mouth, so what is painted should stay as it is
        real = warped
    cut = {
        "warped": warped[0],
        "target": real[0],
        "reference": cut_window(clip.pictures[shown], window.within(clip.covers), WINDOW),
    }
    pair = {name: (picture.clamp(0, 1) * 255).round().byte() for name, picture in cut.items()}
    pair["landmarks"] = window.to_pixels(clip.landmarks[target], CROP, WINDOW)
    pair["expression"] = clip.blendshapes[target]
    if clip.speech is not None:
        pair["speech"] = clip.speech[target].half()
    return pair


def warped_window(
    clip: MouthClip,
    source: int,
    other: int | None,
    landmarks: Tensor,
    window: MouthWindow,
    cells: int,
    basis: FaceBasis,
) -> Tensor:
    """Return windows (F, 3, W, W) of picture ``source`` moved to landmarks (F, 478, 3) in crop pixels, as AnimateNet is
    given them in inference. The mouth may be borrowed from picture ``other``."""
    close_ups = tuple(_close_up(clip, number) for number in ((source,) if other is None else (source, other)))
    return moving_mouth(close_ups, landmarks, None, window, WINDOW, CROP, cells, basis.mean)[0]


def _close_up(clip: MouthClip, number: int) -> CloseUp:
    """Return a picture of a clip as inference would see it, with the light on its face."""
    picture, landmarks = clip.pictures[number], clip.landmarks[number]
    points = clip.covers.to_pixels(landmarks, CROP, PICTURE)
    light = light_on(skin_colour(picture[None], points[None])[0], clip.eye_white, clip.black)
    return close_up_of(picture, landmarks, clip.covers, CROP, clip.density, light)


def write_window_pairs(clips: dict[Path, int], settings: WindowPairSettings, seed: int, out: Path) -> None:
    """Write a pair file with the given number of pairs for each mouth clip of several pictures. Existing files are
    kept."""
    make_folder(out)
    for number, (path, count) in enumerate(clips.items()):
        target = out / path.name
        if target.exists():
            continue
        clip = read_mouths(path)
        if len(clip) > 1:
            generator = Generator().manual_seed(seed + number)
            write_clip(target, make_window_pairs(clip, count, settings, generator))


@dataclass(frozen=True)
class _Driver:
    landmarks: Tensor
    blendshapes: Tensor

    def __len__(self) -> int:
        return len(self.landmarks)


@torch.no_grad()
def drive_mouths(
    crop: Tensor,
    landmarks: Tensor,
    blendshapes: Tensor,
    track: Track,
    frames: int,
    dentition: Dentition,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    generator: Generator,
) -> dict[str, Tensor]:
    """Return the tensors of a mouth clip of a portrait driven by a video: the portrait, then ``frames`` frames.

    crop: (3, S, S) of the portrait at the density of mouth windows, S at least ``CROP``, with its landmarks (478, 3)
    and blendshapes (52,). config: with that crop size. track: of the video. Where the portrait's lips are closed, its
    mouth is rendered teeth.
    """
    driver = _Driver(*(tensor[::DRIVER_STEP] for tensor in track))
    widest = int(lip_aperture(driver.landmarks).argmax())
    start = min(max(widest - choose(frames, generator), 0), len(driver) - frames)
    look = random_mouth(generator)
    driven = drive_portrait(
        crop, landmarks, blendshapes, driver, dentition, frames, basis, config, generator, start, look, (0.0, 0.0)
    )
    points = torch.cat((driven.reference_landmarks[None], driven.landmarks))
    pictures = torch.cat((driven.reference[None], driven.target))
    corner = picture_corner(points[0])
    left, top = corner.long().tolist()
    points[..., :2] -= corner
    return {
        "pictures": (pictures[..., top : top + PICTURE, left : left + PICTURE] * 255).round().clamp(0, 255).byte(),
        "landmarks": points,
        "blendshapes": torch.cat((blendshapes[None], driven.expression)),
        "corner": corner,
        **light_in(crop[None], landmarks[None]),
    }


def write_driven_mouths(
    portraits: list[Path],
    tracks: list[Path],
    frames: int,
    dentition: Dentition,
    basis: FaceBasis,
    provider: FaceProvider,
    seed: int,
    out: Path,
) -> None:
    """Write a mouth clip for each portrait, driven by a random one of the track files. Existing files are kept;
    portraits that cannot be read are skipped with a log message."""
    from ...media.image import read_image

    make_folder(out)
    config = replace(SMALL, crop_size=round(CROP))
    drivers = [track for track in map(read_track, tracks) if len(track[0]) >= frames * DRIVER_STEP]
    if not drivers:
        raise MediaError(f"None of the {len(tracks)} track files has {frames * DRIVER_STEP} frames: give longer ones.")
    for number, path in enumerate(portraits):
        target = out / f"{path.stem}.safetensors"
        if target.exists():
            continue
        generator = Generator().manual_seed(seed + number)
        try:
            image = read_image(path).pixels
            face = largest(provider, image)
        except PortraitTalkError as error:
            logger.warning("Skipped %s: %s", path.name, error)
            continue
        crop = aligned_crop(face.landmarks, image_size(image), config.crop_size)
        shapes = torch.zeros(len(ARKIT_NAMES)) if face.blendshapes is None else face.blendshapes
        points, track = to_crop(face.landmarks, crop), one_of(drivers, generator)
        picture = extract_crop(image, crop)
        driven = drive_mouths(picture, points, shapes, track, frames, dentition, basis, config, generator)
        write_clip(target, driven)
