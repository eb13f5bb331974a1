"""From prepared clips to what AnimateNet is trained on: a reference, a target and the conditions, as latents.

Encoding costs more than a training step of the small model, so it is done once, ahead: each *pair* file holds one clip
seen from one of its frames under one random view and colour. A portrait has only one frame; its reference is made by
warping it to somebody else's motion, and what is learnt is to find back from there to the photograph.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..config import PortraitTalkConfig
from ..face.draw import landmark_map, motion_mask
from ..face.warp import flow_between, warp
from ..models.autoencoder import Autoencoder
from ..motion.arkit import ARKIT_INDEX, ARKIT_NAMES
from ..motion.basis import FaceBasis, rigid_fit
from ..motion.geometry import CAMERA, EYES_OPEN, EYES_SHUT, LIPS, NECK, lip_aperture, rotation_angles, set_gap
from ..motion.structure import structure_coefficients
from ..motion.track import MotionTrack
from .data import Clip, choose, jitter_colour, open_clip, random_affine, uniform

CHUNK = 16
MIRRORED = [ARKIT_INDEX[n.replace("Left", "?").replace("Right", "Left").replace("?", "Right")] for n in ARKIT_NAMES]


@dataclass(frozen=True)
class PairSettings:
    """lips: chance that the conditions' lips are set wrong, and how far (factor of the gap, added eye distances)."""

    rotation: float = 0.1
    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 8.0
    lips: float = 0.5
    lips_factor: tuple[float, float] = (0.5, 1.4)
    lips_offset: tuple[float, float] = (-0.02, 0.02)


@torch.no_grad()
def make_pair(
    clip: Clip,
    driver: Clip,
    autoencoder: Autoencoder,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    settings: PairSettings,
    generator: Generator,
) -> dict[str, Tensor]:
    """The tensors of one pair file: ``target`` and ``warped`` latents (F, C, h, w), ``mask`` (F, 1, h, w), ``map``
    (F, M, m, m) uint8, ``structure`` (F, K), ``reference`` (1, 3, s, s) uint8, and ``speech`` where the clip has it.

    driver: a video clip whose motion a portrait's reference is warped to; unused where ``clip`` is itself a video.
    """
    size = config.crop_size
    reference, references_points, target, points = _views(clip, driver, size, settings, generator)
    shown = _misplace_lips(points, basis, settings, generator)
    flow = flow_between(references_points, shown, size, config.structure.flow_size)
    warped = torch.cat([warp(reference, part) for part in flow.split(CHUNK)])
    mask = motion_mask(references_points, shown, size)
    drawn = landmark_map(shown, size, config.structure.map_size)
    track = _track(references_points, shown, clip.blendshapes, basis)
    colours = jitter_colour(torch.cat((reference[None], target, warped)), generator)
    reference, target, warped = colours[:1], colours[1 : 1 + len(target)], colours[1 + len(target) :]
    aperture, count = lip_aperture(shown), config.structure.coefficients
    coefficients = structure_coefficients(track.expression, track, aperture, count)
    if uniform(0, 1, generator) < 0.5:
        reference, target, warped, mask, drawn = (t.flip(-1) for t in (reference, target, warped, mask, drawn))
        track = _mirror(track)
        coefficients = structure_coefficients(track.expression, track, aperture, count)
    latent = (config.latent_size, config.latent_size)
    small = (config.identity_net.input_size,) * 2
    pair = {
        "target": torch.cat([autoencoder.encode(part) for part in target.split(CHUNK)]).half(),
        "warped": torch.cat([autoencoder.encode(part) for part in warped.split(CHUNK)]).half(),
        "mask": adaptive_avg_pool2d(mask, latent).half(),
        "map": (drawn * 255).round().byte(),
        "structure": coefficients.half(),
        "reference": (interpolate(reference, small, mode="bilinear", antialias=True) * 255)
        .round()
        .clamp(0, 255)
        .byte(),
    }
    if len(clip) > 1:
        pair["speech"] = clip.tensor("speech")
    return pair


def make_pairs(
    clips: list[Path],
    variants: int,
    autoencoder: Autoencoder,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    settings: PairSettings,
    seed: int,
    out: Path,
) -> None:
    """Writes ``<clip>.<variant>.safetensors`` into ``out`` for every clip; what is there already is kept."""
    out.mkdir(parents=True, exist_ok=True)
    drivers = [path for path in clips if len(open_clip(path)) > 1]
    for number, path in enumerate(clips):
        for variant in range(variants):
            target = out / f"{path.stem}.{variant}.safetensors"
            if target.exists():
                continue
            generator = Generator().manual_seed(seed + number * variants + variant)
            driver = open_clip(drivers[choose(len(drivers), generator)])
            save_pair(make_pair(open_clip(path), driver, autoencoder, basis, config, settings, generator), target)


def save_pair(pair: dict[str, Tensor], path: Path) -> None:
    part = path.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in pair.items()}, part)
    part.rename(path)


def _views(
    clip: Clip, driver: Clip, size: int, settings: PairSettings, generator: Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """-> reference (3, S, S), its landmarks (478, 3), targets (F, 3, S, S), their landmarks (F, 478, 3)."""
    images, points = clip.frames(0, len(clip)), clip.landmarks
    if len(clip) > 1:
        images, points = random_affine(
            images, points, size, generator, settings.rotation, settings.zoom, settings.shift
        )
        chosen = choose(len(clip), generator)
        return images[chosen], points[chosen], images, points
    zoom = tuple(1.2 * z * size / images.shape[-1] for z in settings.zoom)  # the portrait's margin, taken off
    images, points = random_affine(images, points, size, generator, settings.rotation, zoom, settings.shift)  # type: ignore[arg-type]
    pose = driver.landmarks[torch.tensor([choose(len(driver), generator), choose(len(driver), generator)])]
    strength = uniform(0.5, 1.5, generator)
    moved = points[0] + strength * (pose[1] - pose[0])
    reference = warp(images[0], flow_between(points[0], moved[None], size))[0]
    return reference, moved, images, points


def _misplace_lips(points: Tensor, basis: FaceBasis, settings: PairSettings, generator: Generator) -> Tensor:
    """Landmarks whose lips are further open or closed than they are, by one factor and offset for the clip.

    The motion of a generated video is never exact; a network that trusts it blindly repeats its errors, one that has
    seen wrong lips also listens to the speech.
    """
    if uniform(0, 1, generator) > settings.lips:
        return points
    facing, scale, offset = rigid_fit(basis.mean.expand(len(points), -1, -1), points)
    face = (points - offset[:, None]) @ facing / scale[:, None, None]
    asked = lip_aperture(points) * uniform(*settings.lips_factor, generator) + uniform(*settings.lips_offset, generator)
    moved = set_gap(face, LIPS, asked.clamp_min(0), basis.mean)
    return scale[:, None, None] * (moved @ facing.mT) + offset[:, None]


def _track(reference: Tensor, points: Tensor, blendshapes: Tensor, basis: FaceBasis) -> MotionTrack:
    """What the landmarks do: expression as read, head pose relative to the reference as the pipeline counts it."""
    facing, scale, offset = rigid_fit(basis.mean, reference)
    frontal = ((torch.cat((reference[None], points)) - offset) @ facing) / scale
    turn, grow, shift = rigid_fit(frontal[:1].expand(len(points), -1, -1), frontal[1:])
    neck = points.new_tensor(NECK)
    translation = shift - (neck - turn @ neck)
    translation[:, 2] = CAMERA * (1 / grow - 1)
    lids = blendshapes[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]].mean(1)
    blink = ((lids - EYES_OPEN) / (EYES_SHUT - EYES_OPEN)).clamp(0, 1)
    still = MotionTrack.of_expression(blendshapes, fps=25.0)
    return replace(still, rotation=rotation_angles(turn), translation=translation, blink=blink)


def _mirror(track: MotionTrack) -> MotionTrack:
    """The track of the mirrored picture."""
    return replace(
        track,
        expression=track.expression[:, MIRRORED],
        rotation=track.rotation * torch.tensor([1.0, -1, -1]),
        translation=track.translation * torch.tensor([-1.0, 1, 1]),
    )
