"""Training videos synthesised from portraits: a portrait driven by another person's motion, with a mouth interior.

The training videos show few people, the portraits many. A portrait is warped to a driver's motion exactly as in
inference. If its lips are open, the mouth interior stays fixed to the skull while the lips slide over it. If they are
closed, the warp has no interior to show, and rendered teeth (``teeth``) are inserted, placed anatomically and lit like
the portrait. This way the network learns to draw mouths into faces of all kinds.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from ...compositing.draw import fill
from ...compositing.light import face_light
from ...compositing.teeth import AVERAGE_MOUTH, Dentition, MouthLook, mouth_interior
from ...compositing.warp import flow_between, warp
from ...config import PortraitTalkConfig
from ...face.rigid import apply_rigid, rigid_fit, undo_rigid
from ...face.topology import LIPS_INNER
from ...models.face_basis import FaceBasis
from ...motion.geometry import LIPS, SHOWS_TEETH, lip_aperture, move_landmarks, set_gap, shown_expression
from ...motion.read import motion_of_faces
from ...motion.track import MotionTrack
from ...output_files import make_folder
from ...types import Face
from ..data.clips import choose, one_of, open_clip, random_affine, split_speakers, uniform
from ..data.prepare import PORTRAIT_SIZE, write_clip
from .teeth import random_mouth

CLOSED = 0.25  # probability that a mouth showing teeth is closed in the reference
FURTHER = 1.1  # maximum aperture of such a mouth, relative to the portrait's
LIGHT, TINT, SHIFT = 0.7, 0.05, 0.02  # mouth augmentation: octaves of brightness and of each channel, shift in sides
DRIVEN_FRAMES, DRIVEN_STEP = 8, 4  # frames of a driven clip, and their spacing in driver frames
CROP_ZOOM = (256 / PORTRAIT_SIZE, 300 / PORTRAIT_SIZE)  # from the whole margin of a portrait to none


TURNS = (0.5, 1.5)  # factors of the driver's head motion


class Driver(Protocol):
    """What drives a portrait: landmarks (F, 478, 3) and blendshapes (F, 52) of a video, such as a ``Clip``."""

    @property
    def landmarks(self) -> Tensor: ...

    @property
    def blendshapes(self) -> Tensor: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class DrivenPortrait:
    """A portrait driven by a video.

    reference: (3, S, S), the picture to warp, with reference_landmarks (478, 3). photograph: (3, S, S), the portrait.
    target: (F, 3, S, S), with landmarks (F, 478, 3) and expression (F, 52). track: the motion of F frames. start: the
    driver's first frame.
    """

    reference: Tensor
    reference_landmarks: Tensor
    photograph: Tensor
    target: Tensor
    landmarks: Tensor
    expression: Tensor
    track: MotionTrack
    start: int


def drive_portrait(
    image: Tensor,
    landmarks: Tensor,
    blendshapes: Tensor,
    driver: Driver,
    dentition: Dentition,
    frames: int,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    generator: Generator,
    start: int | None = None,
    look: MouthLook = AVERAGE_MOUTH,
    turns: tuple[float, float] = TURNS,
) -> DrivenPortrait:
    """Drive a portrait by ``frames`` successive frames of a video clip.

    image: (3, S, S) of ``config.crop_size`` with its landmarks (478, 3) and blendshapes (52,). start: the driver's
    first frame, random by default. dentition, look: the mouth interior behind closed lips. turns: range of the factor
    of the driver's head motion.
    """
    size, cells = config.crop_size, config.structure.flow_size
    start = choose(len(driver) - frames + 1, generator) if start is None else start
    driver_points, driver_shapes = (t[start : start + frames] for t in (driver.landmarks, driver.blendshapes))
    track = motion_of_faces([Face(p, s) for p, s in zip(driver_points, driver_shapes, strict=True)], 25.0, basis)
    strength = uniform(*turns, generator)
    track = replace(track, rotation=track.rotation * strength, translation=track.translation * strength)
    own_aperture, apertures = lip_aperture(landmarks), lip_aperture(driver_points) * uniform(0.85, 1.15, generator)
    has_teeth = bool(own_aperture > SHOWS_TEETH)
    reference, reference_landmarks = image, landmarks
    if has_teeth:
        apertures = apertures.clamp_max(FURTHER * own_aperture)
        if uniform(0, 1, generator) < CLOSED:
            reference_landmarks = set_lips(landmarks[None], uniform(0, 0.01, generator, 1), basis)[0]
            reference = warp(image, flow_between(landmarks, reference_landmarks[None], size, cells))[0]
    moved = set_lips(move_landmarks(landmarks, blendshapes, track, basis), apertures, basis)
    target = warp(image, flow_between(landmarks, moved, size, cells))
    if not has_teeth:
        light = face_light(image, landmarks)
        interior = mouth_interior(dentition, landmarks, moved, light, size, basis.mean, look)
        opening = avg_pool2d(fill(moved[:, LIPS_INNER, :2], size)[:, None], 3, stride=1, padding=1)
        target = target.lerp(interior, opening)
    expression = shown_expression(track, blendshapes)
    return DrivenPortrait(reference, reference_landmarks, image, target, moved, expression, track, start)


@torch.no_grad()
def drive_portraits(
    clips: list[Path],
    dentition: Dentition,
    variants: int,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    seed: int,
    out: Path,
) -> None:
    """Write clip files ``<portrait>.<variant>.safetensors`` with a few frames of every portrait driven by a video:
    talking faces with exact landmarks, to train the face mesh. Existing files are kept."""
    make_folder(out)
    videos = [path for path in clips if len(open_clip(path)) >= DRIVEN_FRAMES * DRIVEN_STEP]
    rare, many = split_speakers(videos)
    for number, path in enumerate(path for path in clips if len(open_clip(path)) == 1):
        clip = open_clip(path)
        for variant in range(variants):
            target = out / f"{path.stem}.{variant}.safetensors"
            if target.exists():
                continue
            generator = Generator().manual_seed(seed + number * variants + variant)
            drivers = rare if rare and (not many or uniform(0, 1, generator) < 0.5) else many
            driver = open_clip(one_of(drivers, generator))
            view = random_affine(clip.frames(0, 1), clip.landmarks, config.crop_size, generator, 0.1, CROP_ZOOM, 4)
            (image,), (points,) = view
            frames = DRIVEN_FRAMES * DRIVEN_STEP
            look, shapes = random_mouth(generator), clip.blendshapes[0]
            driven = drive_portrait(
                image, points, shapes, driver, dentition, frames, basis, config, generator, look=look
            )
            chosen = slice(0, None, DRIVEN_STEP)
            write_clip(
                target,
                {
                    "frames": (driven.target[chosen] * 255).round().byte(),
                    "landmarks": driven.landmarks[chosen],
                    "blendshapes": driven.expression[chosen],
                },
            )


def change_mouth(images: Tensor, landmarks: Tensor, generator: Generator, map_size: int = 64) -> Tensor:
    """Brighten or darken the mouth interior and shift it vertically, to imitate another person's teeth and tongue.

    Few people speak in the training videos; a network trained on their mouths alone gives everyone their teeth.
    images: (F, 3, S, S) in 0..1. landmarks: (F, 478, 3) in pixels. All images get the same random change.
    """
    size = images.shape[-1]
    opening = fill(landmarks[:, LIPS_INNER, :2] * (map_size / size), map_size)[:, None]
    opening = interpolate(avg_pool2d(opening, 3, 1, 1), (size, size), mode="bilinear", align_corners=False)
    light = 2 ** (uniform(-LIGHT, LIGHT, generator) + TINT * torch.randn(3, 1, 1, generator=generator))
    shift = uniform(-SHIFT, SHIFT, generator)
    grid = affine_grid(torch.eye(2, 3)[None], [1, 3, size, size], align_corners=False)
    grid = grid + torch.stack((torch.zeros_like(opening[:, 0]), 2 * shift * opening[:, 0]), -1)
    changed = light * grid_sample(images, grid, padding_mode="border", align_corners=False)
    return images.lerp(changed.clamp(0, 1), opening)


def set_lips(points: Tensor, asked: Tensor, basis: FaceBasis) -> Tensor:
    """Open or close the lips of landmarks (F, 478, 3) in pixels to an aperture of ``asked`` (F,) eye distances."""
    facing, scale, offset = rigid_fit(basis.mean.expand(len(points), -1, -1), points)
    moved = set_gap(undo_rigid(points, facing, scale, offset), LIPS, asked, basis.mean)
    return apply_rigid(moved, facing, scale, offset)
