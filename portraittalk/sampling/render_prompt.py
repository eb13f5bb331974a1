"""Frames from an unmodified Stable Diffusion with motion modules, and edits of the portrait.

Each frame begins as the reference, warped to where the motion has everything, and is changed from there as far as the
strength says, under a ControlNet that holds the face to the motion's landmarks, to the text and to the person. Windows
follow each other as in ``render``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..compositing.compose import crop_data
from ..models.animate_net import AnimateNet, Conditions
from ..progress import ProgressCallback, ignore_progress
from ..tensor_files import fill
from ..types import Identity, SamplingSettings, Speech, Style
from ..weights.model import PromptModel
from .edit import edit_picture
from .epsilon import epsilon_steps
from .guided import sample_guided
from .render import Counter, Output, Scene, StructureOf, as_clip, count_steps, in_windows, prepare
from .render_clip import pasted
from .windows import Window, frame_noise, plan_windows


def render_prompt(
    model: PromptModel,
    identity: Identity,
    speech: Speech,
    style: Style,
    structure_of: StructureOf,
    settings: SamplingSettings,
    output: Output,
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Tensor]:
    """The work behind ``pipeline.animate`` with such a model, as ``render`` is with ours."""
    windows = plan_windows(len(speech), settings.window, settings.overlap)
    steps = len(epsilon_steps(model.config.animate_net, settings.steps, settings.strength)) if settings.strength else 0
    tick = Counter(progress, count_steps(windows, steps, settings.chunk))
    told, without = _told(model, identity, style)
    data, coder = crop_data(identity), _Coder(model, settings)

    def sample(scene: Scene, window: Window, anchor: Tensor | None) -> Tensor:
        if not settings.strength:
            return scene.base
        drawn = scene.structure.map[None].to(model.dtype)

        def noise(draw: int) -> Tensor:
            shape = tuple(scene.base.shape[1:])
            return as_clip(frame_noise(settings.seed, window.start, window.stop, shape, draw).to(scene.base))

        before = None if anchor is None else as_clip(anchor)
        latents = sample_guided(
            model.animate_net,
            as_clip(scene.base),
            replace(told, map=drawn),
            replace(without, map=drawn),
            settings,
            noise,
            before,
            _previews(model, tick),
        )
        return latents[0].transpose(0, 1)

    def finish(scene: Scene, latents: Tensor) -> Tensor:
        with torch.no_grad():
            crops = coder.decode(latents).clamp(0, 1)
        return (pasted(crops, data) if output == "full" else crops).cpu()

    def begin(frames: slice) -> Scene:
        return prepare(model, structure_of(frames), tick, settings.chunk)

    yield from in_windows(windows, begin, sample, finish, tick, settings.chunk)


def edit_portrait(
    model: PromptModel,
    identity: Identity,
    style: Style,
    settings: SamplingSettings,
    whole: bool,
    progress: ProgressCallback = ignore_progress,
) -> Tensor:
    """The work behind ``pipeline.edit_portrait``: the portrait (3, H, W) in 0..1 on the CPU, changed."""
    net = picture_net(model)
    steps = len(epsilon_steps(net.config, settings.steps, settings.strength)) if settings.strength else 0
    on_step = _previews(model, Counter(progress, steps, "edit"))
    told, without = _told(model, identity, style)
    return edit_picture(net, _Coder(model, settings), crop_data(identity), told, without, settings, whole, on_step)


@dataclass(frozen=True)
class _Coder:
    """The model's own autoencoder, or its fast decoder where the settings ask for it."""

    model: PromptModel
    settings: SamplingSettings

    def encode(self, images: Tensor) -> Tensor:
        return self.model.autoencoder.encode(images.to(self.model.dtype)).float()

    def decode(self, latents: Tensor) -> Tensor:
        fast = self.model.fast_decoder if self.settings.fast_decode else None
        return (fast or self.model.autoencoder).decode(latents.to(self.model.dtype)).float()


def picture_net(model: PromptModel) -> AnimateNet:
    """The model's denoiser without motion modules and ControlNet, on the same weights."""
    net, config = model.animate_net, model.config
    if not config.animate_net.motion_modules:
        return net
    still = replace(config.animate_net, motion_modules=False, motion_mid_block=False)
    with torch.device("meta"):
        alone = AnimateNet(replace(config, structure=replace(config.structure, guider="none"), animate_net=still))
    weights = net.state_dict()
    fill(alone, {key: weights[key] for key in alone.state_dict()}, config.name)
    return alone.eval().requires_grad_(False)


@torch.no_grad()
def _told(model: PromptModel, identity: Identity, style: Style) -> tuple[Conditions, Conditions]:
    """What the denoiser is told, and what it is told in order to be guided away from it."""
    assert style.tokens is not None and style.negative_tokens is not None
    told = Conditions(text=style.tokens[None], identity=identity.tokens[None])
    without = Conditions(text=style.negative_tokens[None], identity=model.identity_net.nobody()[None])
    return told.to(model.device, model.dtype), without.to(model.device, model.dtype)


def _previews(model: PromptModel, tick: Counter) -> Callable[[Tensor], None]:
    def on_step(clean: Tensor) -> None:
        if model.fast_decoder is None:
            tick()
        else:
            with torch.no_grad():
                tick(model.fast_decoder.decode(clean[:, :, 0].to(model.dtype))[0].float().cpu())

    return on_step
