"""From structure to frames, window by window: each is sampled, decoded, pasted back and handed on before the next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d

from ..compositing.compose import Compositor, Instead
from ..compositing.draw import drawn_share, mouth_opening
from ..compositing.mouth import shows_mouth, stretched_mouth
from ..compositing.painter import Painter
from ..compositing.teeth import painted_mouth
from ..compositing.tone import tone_of
from ..models.animate_net import Conditions
from ..motion.geometry import lip_aperture
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Identity, SamplingSettings, Speech, Structure, Style
from ..weights.model import Model, PromptModel
from .sample import sample_window
from .windows import Window, frame_noise, plan_windows

Output = Literal["full", "crop"]
StructureOf = Callable[[slice], Structure]
Paste = Callable[[Tensor, Tensor, Tensor, Instead], Tensor]  # as ``Compositor`` takes it for some frames


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
    """The work behind ``pipeline.animate``, which checks its arguments: chunks of at most ``settings.chunk`` frames.

    Everything given is on the model's device. structure_of: the structure of a slice of the speech's frames.
    painter: gives portrait and frames the look that the style asks for.
    """
    compositor = Compositor(identity.portrait if painter is None else painter.portrait, identity.crop)
    paste = compositor if output == "full" else compositor.crops
    windows = plan_windows(len(speech), settings.window, settings.overlap)
    tick = Counter(progress, count_steps(windows, settings.steps, settings.chunk))

    def sample(scene: Scene, window: Window, anchor: Tensor | None) -> Tensor:
        features = speech.features[window.start : window.stop]
        return _sample(model, identity, scene, features, style, settings, window, anchor, tick)

    def finish(scene: Scene, latents: Tensor) -> Tensor:
        return _finish(model, identity, scene, latents, paste, painter)

    def begin(frames: slice) -> Scene:
        return prepare(model, structure_of(frames), tick, settings.chunk)

    yield from in_windows(windows, begin, sample, finish, tick, settings.chunk)


def in_windows(
    windows: list[Window],
    prepare: Callable[[slice], Scene],
    sample: Callable[[Scene, Window, Tensor | None], Tensor],
    finish: Callable[[Scene, Tensor], Tensor],
    tick: Counter,
    chunk: int,
) -> Iterator[Tensor]:
    """Window by window: the frames that are new to it are prepared; all are sampled, given the latents of the first,
    which the window before has sampled; those that no later window sees are finished and handed on, ``chunk`` at a
    time."""
    carried: Scene | None = None
    anchor: Tensor | None = None
    for number, window in enumerate(windows):
        fresh = prepare(slice(window.start + window.shared, window.stop))
        scene = fresh if carried is None else _join(carried, fresh)
        carried = None
        del fresh  # what was joined is not held twice
        latents = sample(scene, window, anchor)
        leaving = len(window) - (windows[number + 1].shared if number + 1 < len(windows) else 0)
        for start in range(0, leaving, chunk):
            part = slice(start, min(start + chunk, leaving))
            frames = finish(_cut(scene, part), latents[part])
            tick(frames[-1])
            yield frames
        carried, anchor = _copy(_cut(scene, slice(leaving, None))), latents[leaving:].clone()
        del scene, latents  # before those of the next window are made


def count_steps(windows: list[Window], steps: int, chunk: int) -> int:
    """How often a run ticks that takes ``steps`` steps in each window."""
    handed_on = [*(window.shared for window in windows[1:]), 0]
    fresh = [len(window) - window.shared for window in windows]
    leaving = [len(window) - shared for window, shared in zip(windows, handed_on, strict=True)]
    return sum(-(-n // chunk) for n in fresh + leaving) + steps * len(windows)


@torch.no_grad()
def prepare(model: Model | PromptModel, structure: Structure, tick: Counter, chunk: int) -> Scene:
    """What is sampled from, once for each frame."""
    base = []
    for warped in structure.warped.split(chunk):
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
    model: Model, identity: Identity, scene: Scene, latents: Tensor, paste: Paste, painter: Painter | None
) -> Tensor:
    """Latents (n, C, h, w) -> frames (n, 3, H, W) in 0..1 on the CPU."""
    net = model.config.animate_net
    clean = scene.base + latents / net.residual_scale if net.residual else latents
    structure = scene.structure
    opening = mouth_opening(structure.landmarks, model.config.crop_size)
    aperture = lip_aperture(identity.landmarks)
    stretched = stretched_mouth(opening, structure.landmarks, aperture)
    residual, drawn = _drawn(model, scene, clean, opening)
    if model.config.painted_mouth:
        painted = painted_mouth(identity, structure.landmarks, model.basis)
        share = model.config.painted_mouth + (1 - model.config.painted_mouth) * shows_mouth(aperture)
        drawn = drawn.lerp(painted, share * opening)
    drawn, mask = drawn.lerp(structure.warped + residual, structure.lent), structure.mask
    tone = tone_of(identity.references[0])
    if tone.share:
        drawn, residual = tone(drawn), tone(structure.warped + residual) - structure.warped
    stretched = torch.maximum(stretched, structure.lent)
    if painter is not None:
        residual, mask, drawn = painter.difference(structure, residual, drawn, stretched)
    return paste(structure.flow, residual, mask, (drawn, stretched)).cpu()


def _drawn(model: Model, scene: Scene, clean: Tensor, opening: Tensor) -> tuple[Tensor, Tensor]:
    """What the network adds to the warped reference, decode(clean) - decode(base), and its picture itself, to be shown
    where closed lips open and the warp has nothing but stretched lip to offer: (n, 3, S, S) each.

    Only the cells under the mask, and a rim around them, are decoded: the autoencoder was trained on windows of a crop,
    and most of the crop does not change. An autoencoder with attention sees the whole crop. opening: (n, 1, S, S).
    """
    config, structure = model.config, scene.structure
    rows = columns = slice(0, config.latent_size)
    if not config.autoencoder.mid_attention:
        rows, columns = active_cells(structure.mask, config.latent_size)
    drawn, plain = model.autoencoder.decode(torch.cat((clean, scene.base))[..., rows, columns]).chunk(2)
    factor = config.autoencoder.factor
    tall, wide = (slice(cells.start * factor, cells.stop * factor) for cells in (rows, columns))
    residual, picture = torch.zeros_like(structure.warped), structure.warped.clone()
    residual[..., tall, wide], picture[..., tall, wide] = drawn - plain, drawn
    if config.animate_net.residual:
        residual *= drawn_share(opening * (1 - structure.lent))
    return residual, picture


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


def _copy(scene: Scene) -> Scene:
    """The same, but no view of something larger."""
    structure = Structure(**{f.name: getattr(scene.structure, f.name).clone() for f in fields(Structure)})
    return Scene(structure, scene.base.clone())


def _join(before: Scene, after: Scene) -> Scene:
    pairs = {f.name: (getattr(before.structure, f.name), getattr(after.structure, f.name)) for f in fields(Structure)}
    structure = Structure(**{name: torch.cat(pair) for name, pair in pairs.items()})
    return Scene(structure, torch.cat((before.base, after.base)))
