"""Conversion of prepared clips to AnimateNet's training data: reference, target and conditions, encoded as latents.

Encoding costs more than a training step of the small model, so it is done once in advance: each *pair* file holds one
clip relative to one of its frames, under one random view, colour change and deformation of the face. The identity
reference is the same frame or another. A portrait has only one frame: it is driven by a video (``driven_portraits``),
or, as a still, its reference is warped by another person's motion and the network learns to restore the photograph.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ...arkit import ARKIT_INDEX, ARKIT_NAMES
from ...compositing.draw import landmark_map, motion_mask
from ...compositing.structure import structure_coefficients
from ...compositing.teeth import Dentition
from ...compositing.warp import flow_between, warp
from ...config import PortraitTalkConfig
from ...face.rigid import rigid_fit, undo_rigid
from ...models.autoencoder import Autoencoder
from ...models.face_basis import FaceBasis
from ...motion.geometry import CAMERA, EYES_OPEN, EYES_SHUT, NECK, lip_aperture, rotation_angles
from ...motion.track import MotionTrack
from ...output_files import make_folder
from ..data.clips import (
    Clip,
    choose,
    jitter_colour,
    one_of,
    open_clip,
    random_affine,
    random_shape,
    split_speakers,
    uniform,
)
from ..data.prepare import PORTRAIT_MARGIN, write_clip
from .driven_portraits import change_mouth, drive_portrait, set_lips
from .skin import darken_skin

CHUNK = 16
MIRRORED = [ARKIT_INDEX[n.replace("Left", "?").replace("Right", "Left").replace("?", "Right")] for n in ARKIT_NAMES]


Kind = Literal["video", "driven", "still"]


@dataclass(frozen=True)
class PairSettings:
    """lips: probability that the lips are misplaced in the conditions, by a random factor and offset (eye distances).

    shape: maximum displacement of the random deformation, in pixels. other: probability that the identity reference of
    a video is another frame than the warped one. closed: probability that the warped frame of a video has closed lips,
    as most portraits do. frames: length of a driven portrait. window: length of a video pair, 0 for the whole clip.
    opened: probability that these frames contain an open mouth. filmed: probability that a driven portrait is reduced
    to the resolution of video (filmed_pixels per side): photographs are sharper, and otherwise the network could infer
    from sharpness which mouth to draw. darker, mouths: probabilities that a video's skin is darkened and its mouth
    interior changed.
    """

    rotation: float = 0.1
    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 8.0
    shape: float = 7.0
    lips: float = 0.1
    lips_factor: tuple[float, float] = (0.5, 1.4)
    lips_offset: tuple[float, float] = (-0.02, 0.02)
    other: float = 0.6
    closed: float = 0.5
    frames: int = 24
    window: int = 0
    opened: float = 0.7
    filmed: float = 0.25
    filmed_pixels: tuple[float, float] = (130, 220)
    darker: float = 0.3
    mouths: float = 0.7


@dataclass(frozen=True)
class _View:
    """A pair before encoding.

    reference: (3, S, S), to be warped, with reference_landmarks (478, 3). shown: (R, 3, S, S), the identity references.
    target: (F, 3, S, S), with landmarks (F, 478, 3).
    """

    reference: Tensor
    reference_landmarks: Tensor
    shown: Tensor
    target: Tensor
    landmarks: Tensor
    expression: Tensor
    track: MotionTrack
    speech: Tensor | None


@torch.no_grad()
def make_pair(
    clip: Clip,
    driver: Clip,
    dentition: Dentition,
    kind: Kind,
    autoencoder: Autoencoder,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    settings: PairSettings,
    generator: Generator,
) -> dict[str, Tensor]:
    """Return the tensors of one pair file.

    They are ``target`` and ``warped`` latents (F, C, h, w), ``mask`` (F, 1, h, w), ``map`` (F, M, m, m) uint8,
    ``structure`` (F, K), ``reference`` (R, 3, s, s) uint8, and ``speech`` if there is sound.

    The references are the warped frame or another one, then the frame with the widest open mouth and a random frame, as
    further pictures of a person might be.

    kind: "video" for video clips; "driven" or "still" for portraits. driver: video clip that drives a portrait; unused
    for videos.
    """
    size = config.crop_size
    if kind == "video":
        view = _video_view(clip, basis, config, settings, generator)
    elif kind == "driven":
        view = _driven_view(clip, driver, dentition, basis, config, settings, generator)
    else:
        view = _still_view(clip, driver, basis, config, settings, generator)
    landmarks = _misplace_lips(view.landmarks, basis, settings, generator)
    flow = flow_between(view.reference_landmarks, landmarks, size, config.structure.flow_size)
    warped = torch.cat([warp(view.reference, part) for part in flow.split(CHUNK)])
    mask = motion_mask(view.reference_landmarks, landmarks, size)
    maps = landmark_map(landmarks, size, config.structure.map_size)
    colours = jitter_colour(torch.cat((view.shown, view.target, warped)), generator)
    references, target, warped = colours.split((len(view.shown), len(view.target), len(warped)))
    expression, track = view.expression, view.track
    if uniform(0, 1, generator) < 0.5:
        references, target, warped, mask, maps = (t.flip(-1) for t in (references, target, warped, mask, maps))
        expression, track = expression[:, MIRRORED], _mirror(track)
    latent = (config.latent_size, config.latent_size)
    reference_size = (config.identity_net.input_size,) * 2
    references = interpolate(references, reference_size, mode="bilinear", antialias=True)
    count = config.structure.coefficients
    pair = {
        "target": torch.cat([autoencoder.encode(part) for part in target.split(CHUNK)]).half(),
        "warped": torch.cat([autoencoder.encode(part) for part in warped.split(CHUNK)]).half(),
        "mask": adaptive_avg_pool2d(mask, latent).half(),
        "map": (maps * 255).round().byte(),
        "structure": structure_coefficients(expression, track, lip_aperture(landmarks), count).half(),
        "reference": (references * 255).round().clamp(0, 255).byte(),
    }
    return pair if view.speech is None else {**pair, "speech": view.speech}


def make_pairs(
    clips: list[Path],
    dentition: Dentition,
    variants: int,
    autoencoder: Autoencoder,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    settings: PairSettings,
    seed: int,
    out: Path,
) -> None:
    """Write ``<clip>.<kind>.<variant>.safetensors`` into ``out`` for every clip. Existing files are kept.

    A portrait gives as many driven pairs as stills. Half of the drivers are of the speaker with most clips, half of
    rare speakers, who move their lips and jaws differently.
    """
    make_folder(out)
    rare, many = split_speakers([path for path in clips if len(open_clip(path)) >= settings.frames])
    for number, path in enumerate(clips):
        kinds: tuple[Kind, ...] = ("video",) if len(open_clip(path)) > 1 else ("driven", "still")
        for variant in range(variants):
            for kind in kinds:
                target = out / f"{path.stem}.{kind}.{variant}.safetensors"
                if target.exists():
                    continue
                generator = Generator().manual_seed(seed + number * variants + variant)
                drivers = rare if rare and (not many or uniform(0, 1, generator) < 0.5) else many
                driver = open_clip(one_of(drivers, generator))
                clip = open_clip(path)
                pair = make_pair(clip, driver, dentition, kind, autoencoder, basis, config, settings, generator)
                write_clip(target, pair)


def _video_view(
    clip: Clip, basis: FaceBasis, config: PortraitTalkConfig, settings: PairSettings, generator: Generator
) -> _View:
    """Use successive frames of a video as the target and one of its frames as the reference."""
    aperture = lip_aperture(clip.landmarks)
    warped_frame = choose(len(clip), generator)
    if uniform(0, 1, generator) < settings.closed:
        most_closed = aperture.argsort()[: max(1, len(clip) // 10)]
        warped_frame = int(most_closed[choose(len(most_closed), generator)])
    identity_frame = choose(len(clip), generator) if uniform(0, 1, generator) < settings.other else warped_frame
    references = [warped_frame, identity_frame, int(aperture.argmax()), choose(len(clip), generator)]
    frames = settings.window or len(clip)
    start = _start(aperture, frames, settings, generator)
    images = torch.cat([clip.frames(k, k + 1) for k in references] + [clip.frames(start, start + frames)])
    points = torch.cat((clip.landmarks[references], clip.landmarks[start : start + frames]))
    view = (settings.rotation, settings.zoom, settings.shift)
    images, points = random_affine(images, points, config.crop_size, generator, *view)
    images, points = random_shape(images, points, settings.shape, generator)
    if uniform(0, 1, generator) < settings.darker:
        images = darken_skin(images, points, generator)
    if uniform(0, 1, generator) < settings.mouths:
        images = change_mouth(images, points, generator)
    count = len(references)
    expression = clip.blendshapes[start : start + frames]
    track = _track(points[0], points[count:], expression, basis)
    speech = clip.tensor("speech")[start : start + frames]
    return _View(images[0], points[0], images[1:count], images[count:], points[count:], expression, track, speech)


def _start(aperture: Tensor, frames: int, settings: PairSettings, generator: Generator) -> int:
    """Return a random start for ``frames`` successive frames of a video with lip apertures (n,).

    With probability ``settings.opened`` the frames include one of the widest third of the apertures.
    """
    last = len(aperture) - frames
    start = choose(last + 1, generator)
    if uniform(0, 1, generator) < settings.opened:
        widest = aperture.argsort(descending=True)[: max(1, len(aperture) // 3)]
        start = int(widest[choose(len(widest), generator)]) - choose(frames, generator)
    return min(max(start, 0), last)


def _driven_view(
    clip: Clip,
    driver: Clip,
    dentition: Dentition,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    settings: PairSettings,
    generator: Generator,
) -> _View:
    """Drive a portrait by successive frames of a video."""
    image, points = _portrait(clip, config, settings, generator)
    start = _start(lip_aperture(driver.landmarks), settings.frames, settings, generator)
    driven = drive_portrait(
        image, points, clip.blendshapes[0], driver, dentition, settings.frames, basis, config, generator, start
    )
    speech = driver.tensor("speech")[driven.start : driven.start + settings.frames]
    reference, photograph, target = driven.reference, driven.photograph, driven.target
    if uniform(0, 1, generator) < settings.filmed:
        pixels = round(float(uniform(*settings.filmed_pixels, generator)))
        filmed = _filmed(torch.cat((reference[None], photograph[None], target)), pixels)
        reference, photograph, target = filmed[0], filmed[1], filmed[2:]
    further_references = torch.tensor([int(lip_aperture(driven.landmarks).argmax()), choose(len(target), generator)])
    return _View(
        reference,
        driven.reference_landmarks,
        torch.cat((photograph[None], target[further_references])),
        target,
        driven.landmarks,
        driven.expression,
        driven.track,
        speech,
    )


def _filmed(images: Tensor, pixels: int) -> Tensor:
    """Reduce images (n, 3, S, S) to the detail of ``pixels`` per side."""
    small = interpolate(images, (pixels, pixels), mode="bilinear", antialias=True, align_corners=False)
    return interpolate(small, images.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def _still_view(
    clip: Clip, driver: Clip, basis: FaceBasis, config: PortraitTalkConfig, settings: PairSettings, generator: Generator
) -> _View:
    """Use a portrait as the target and, as the reference, the portrait warped by a motion of the driver."""
    image, points = _portrait(clip, config, settings, generator)
    pose = driver.landmarks[torch.tensor([choose(len(driver), generator), choose(len(driver), generator)])]
    moved = points + uniform(0.5, 1.5, generator) * (pose[1] - pose[0])
    cells = config.structure.flow_size
    reference = warp(image, flow_between(points, moved[None], config.crop_size, cells))[0]
    track = _track(moved, points[None], clip.blendshapes, basis)
    shown = torch.stack((reference, image, image))
    return _View(reference, moved, shown, image[None], points[None], clip.blendshapes, track, None)


def _portrait(
    clip: Clip, config: PortraitTalkConfig, settings: PairSettings, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return a random view (3, S, S) of a portrait without its margin, and its landmarks (478, 3)."""
    images = clip.frames(0, 1)
    low, high = (PORTRAIT_MARGIN * z * config.crop_size / images.shape[-1] for z in settings.zoom)
    view = (settings.rotation, (low, high), settings.shift)
    images, points = random_affine(images, clip.landmarks, config.crop_size, generator, *view)
    images, points = random_shape(images, points, settings.shape, generator)
    return images[0], points[0]


def _misplace_lips(points: Tensor, basis: FaceBasis, settings: PairSettings, generator: Generator) -> Tensor:
    """Scale and offset the lip aperture of all landmarks by one random draw, with probability ``settings.lips``.

    The motion of a generated video is never exact; a network trained with wrong lips does not rely on it alone but also
    uses the speech.
    """
    if uniform(0, 1, generator) > settings.lips:
        return points
    factor, offset = uniform(*settings.lips_factor, generator), uniform(*settings.lips_offset, generator)
    return set_lips(points, (lip_aperture(points) * factor + offset).clamp_min(0), basis)


def _track(reference: Tensor, points: Tensor, blendshapes: Tensor, basis: FaceBasis) -> MotionTrack:
    """Return the motion of landmarks: the given blendshapes, and head pose relative to the reference as in the
    pipeline."""
    facing, scale, offset = rigid_fit(basis.mean, reference)
    frontal = undo_rigid(torch.cat((reference[None], points)), facing, scale, offset)
    turn, grow, shift = rigid_fit(frontal[:1].expand(len(points), -1, -1), frontal[1:])
    neck = points.new_tensor(NECK)
    translation = shift - (neck - turn @ neck)
    translation[:, 2] = CAMERA * (1 / grow - 1)
    lids = blendshapes[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]].mean(1)
    blink = ((lids - EYES_OPEN) / (EYES_SHUT - EYES_OPEN)).clamp(0, 1)
    still = MotionTrack.of_expression(blendshapes, fps=25.0)
    return replace(still, rotation=rotation_angles(turn), translation=translation, blink=blink)


def _mirror(track: MotionTrack) -> MotionTrack:
    """Return the motion track of the mirrored picture."""
    return replace(
        track,
        expression=track.expression[:, MIRRORED],
        rotation=track.rotation * torch.tensor([1.0, -1, -1]),
        translation=track.translation * torch.tensor([-1.0, 1, 1]),
    )
