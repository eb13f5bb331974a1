"""From structure to frames, window by window: each is sampled, decoded, pasted back and handed on before the next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, interpolate

from ..face.compose import Compositor
from ..face.draw import MAP_CHANNELS, drawn_share
from ..models.animate_net import Conditions
from ..motion.geometry import lip_aperture
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Identity, SamplingSettings, Speech, Structure, Style
from ..weights.model import Model, PromptModel
from .look import Painter
from .sample import sample_window
from .windows import Window, frame_noise, plan_windows

Output = Literal["full", "crop"]
StructureOf = Callable[[slice], Structure]
Paste = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # as ``Compositor`` takes it for some frames

CHUNK = 4  # frames that are encoded, decoded and handed on together


@dataclass(frozen=True)
class Scene:
    """F frames before sampling. base: the warped reference's latents (F, C, h, w)."""

    structure: Structure
    base: Tensor


class Counter:
    """Reports the steps of a whole run as one row of numbers."""

    def __init__(self, progress: ProgressCallback, total: int, stage: str = "animate") -> None:
        self._progress, self._total, self._stage, self._done = progress, total, stage, 0

    def __call__(self, preview: Tensor | None = None) -> None:
        self._done += 1
        self._progress(Progress(self._stage, self._done, self._total, preview))


def render(
    model: Model,
    identity: Identity,
    speech: Speech,
    style: Style,
    structure_of: StructureOf,
    settings: SamplingSettings,
    output: Output,
    progress: ProgressCallback = ignore_progress,
    painter: Painter | None = None,
) -> Iterator[Tensor]:
    """The work behind ``pipeline.animate``, which checks its arguments: chunks of at most ``CHUNK`` frames.

    Everything given is on the model's device. structure_of: the structure of a slice of the speech's frames.
    painter: gives portrait and frames the look that the style asks for.
    """
    compositor = Compositor(identity.portrait if painter is None else painter.portrait, identity.crop)
    paste = compositor if output == "full" else compositor.crops
    windows = plan_windows(len(speech), settings.window, settings.overlap)
    aperture = lip_aperture(identity.landmarks)
    tick = Counter(progress, count_steps(windows, settings.steps))

    def sample(scene: Scene, window: Window, anchor: Tensor | None) -> Tensor:
        features = speech.features[window.start : window.stop]
        return _sample(model, identity, scene, features, style, settings, window, anchor, tick)

    def finish(scene: Scene, latents: Tensor) -> Tensor:
        return _finish(model, scene, latents, aperture, paste, painter)

    yield from in_windows(windows, lambda frames: prepare(model, structure_of(frames), tick), sample, finish, tick)


def in_windows(
    windows: list[Window],
    prepare: Callable[[slice], Scene],
    sample: Callable[[Scene, Window, Tensor | None], Tensor],
    finish: Callable[[Scene, Tensor], Tensor],
    tick: Counter,
) -> Iterator[Tensor]:
    """Window by window: the frames that are new to it are prepared; all are sampled, given the latents of the first,
    which the window before has sampled; those that no later window sees are finished and handed on, a chunk at a time.
    """
    carried: Scene | None = None
    anchor: Tensor | None = None
    for number, window in enumerate(windows):
        fresh = prepare(slice(window.start + window.shared, window.stop))
        scene = fresh if carried is None else _join(carried, fresh)
        latents = sample(scene, window, anchor)
        leaving = len(window) - (windows[number + 1].shared if number + 1 < len(windows) else 0)
        for start in range(0, leaving, CHUNK):
            part = slice(start, min(start + CHUNK, leaving))
            frames = finish(_cut(scene, part), latents[part])
            tick(frames[-1])
            yield frames
        carried, anchor = _cut(scene, slice(leaving, None)), latents[leaving:]


def count_steps(windows: list[Window], steps: int) -> int:
    """How often a run ticks that takes ``steps`` steps in each window."""
    handed_on = [*(window.shared for window in windows[1:]), 0]
    fresh = [len(window) - window.shared for window in windows]
    leaving = [len(window) - shared for window, shared in zip(windows, handed_on, strict=True)]
    return sum(-(-n // CHUNK) for n in fresh + leaving) + steps * len(windows)


@torch.no_grad()
def prepare(model: Model | PromptModel, structure: Structure, tick: Counter) -> Scene:
    """What is sampled from, once for each frame."""
    base = []
    for warped in structure.warped.split(CHUNK):
        base.append(model.autoencoder.encode(warped.to(model.dtype)).to(warped))
        tick()
    return Scene(structure, torch.cat(base))


@torch.no_grad()
def _sample(
    model: Model,
    identity: Identity,
    scene: Scene,
    speech: Tensor,
    style: Style,
    settings: SamplingSettings,
    window: Window,
    anchor: Tensor | None,
    tick: Counter,
) -> Tensor:
    """Clean latents (F, C, h, w) of what is diffused: in a residual model, the difference to the warped reference."""
    structure = scene.structure
    conditions = Conditions(
        warped=as_clip(scene.base),
        mask=as_clip(adaptive_avg_pool2d(structure.mask, model.config.latent_size)),
        map=structure.map[None],
        identity=identity.tokens[None],
        speech=speech[None],
        structure=structure.coefficients[None],
        text=None if style.tokens is None else style.tokens[None],
    )
    noise = frame_noise(settings.seed, window.start, window.stop, tuple(scene.base.shape[1:])).to(scene.base)
    negative = None if style.negative_tokens is None else style.negative_tokens[None]
    before = None if anchor is None else as_clip(anchor)
    sampled = sample_window(model.animate_net, conditions, as_clip(noise), settings, negative, before, tick)
    return sampled[0].transpose(0, 1)


@torch.no_grad()
def _finish(
    model: Model, scene: Scene, latents: Tensor, portrait_aperture: Tensor, paste: Paste, painter: Painter | None
) -> Tensor:
    """Latents (n, C, h, w) -> frames (n, 3, H, W) in 0..1 on the CPU."""
    net = model.config.animate_net
    clean = scene.base + latents / net.residual_scale if net.residual else latents
    stretched = stretched_mouth(scene.structure, portrait_aperture)
    residual, mask = _residual(model, scene, clean, stretched), scene.structure.mask
    if painter is not None:
        residual, mask = painter.difference(scene.structure, residual, stretched)
    return paste(scene.structure.flow, residual, mask, stretched).cpu()


def _residual(model: Model, scene: Scene, clean: Tensor, stretched: Tensor) -> Tensor:
    """What the network adds to the warped reference (n, 3, S, S): decode(clean) - decode(base).

    Where closed lips open, the warp has nothing but stretched lip to offer: there the network's picture replaces it.
    Only the cells under the mask, and a rim around them, are decoded: the autoencoder was trained on windows of a crop,
    and most of the crop does not change. An autoencoder with attention sees the whole crop.
    """
    config, structure = model.config, scene.structure
    rows = columns = slice(0, config.latent_size)
    if not config.autoencoder.mid_attention:
        rows, columns = active_cells(structure.mask, config.latent_size)
    drawn, plain = model.autoencoder.decode(torch.cat((clean, scene.base))[..., rows, columns]).chunk(2)
    factor = config.autoencoder.factor
    tall, wide = (slice(cells.start * factor, cells.stop * factor) for cells in (rows, columns))
    lip = stretched[..., tall, wide] * (plain - structure.warped[..., tall, wide])
    residual = drawn.new_zeros(structure.warped.shape)
    residual[..., tall, wide] = drawn - plain + lip
    if config.animate_net.residual:
        residual *= drawn_share(structure.map, config.crop_size)
    return residual


def stretched_mouth(structure: Structure, portrait_aperture: Tensor) -> Tensor:
    """How far each pixel inside of an open mouth is stretched lip, rather than what the portrait's own mouth shows.

    portrait_aperture: () -> (n, 1, S, S) in 0..1, with a soft edge: 1 where the portrait's lips are closed, 0 where
    they are as far open as the frame's.
    """
    opening = avg_pool2d(structure.map[:, [MAP_CHANNELS.index("open mouth")]], 3, stride=1, padding=1)
    soft = interpolate(opening, structure.warped.shape[-2:], mode="bilinear", align_corners=False)
    wider = 1 - portrait_aperture / lip_aperture(structure.landmarks).clamp_min(1e-6)
    return soft * wider.clamp(0, 1)[:, None, None, None]


def active_cells(mask: Tensor, size: int, rim: int = 1) -> tuple[slice, slice]:
    """The rows and columns of a grid of ``size`` cells a side in which a mask (n, 1, S, S) is not zero, and a rim."""
    used = adaptive_max_pool2d(mask, size).amax((0, 1)) > 0

    def span(line: Tensor) -> slice:
        found = line.nonzero().flatten().tolist() or [0]
        return slice(max(found[0] - rim, 0), min(found[-1] + 1 + rim, size))

    return span(used.any(1)), span(used.any(0))


def as_clip(frames: Tensor) -> Tensor:
    """(F, C, h, w) -> (1, C, F, h, w)."""
    return frames.transpose(0, 1)[None]


def _cut(scene: Scene, part: slice) -> Scene:
    structure = Structure(**{f.name: getattr(scene.structure, f.name)[part] for f in fields(Structure)})
    return Scene(structure, scene.base[part])


def _join(before: Scene, after: Scene) -> Scene:
    pairs = {f.name: (getattr(before.structure, f.name), getattr(after.structure, f.name)) for f in fields(Structure)}
    structure = Structure(**{name: torch.cat(pair) for name, pair in pairs.items()})
    return Scene(structure, torch.cat((before.base, after.base)))
