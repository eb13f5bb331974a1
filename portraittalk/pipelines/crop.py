"""Pipeline of models whose AnimateNet, with four branches, draws the whole aligned crop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..compositing.compose import Compositor
from ..compositing.head import Head
from ..compositing.layers import layers_of, network_picture
from ..models.animate_net import AnimateNet, Conditions
from ..motion.geometry import lip_aperture
from ..progress import ProgressCallback, ignore_progress
from ..sampling.denoise import denoise
from ..sampling.steps import velocity_steps
from ..sampling.windows import Window, frame_noise, plan_windows
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output, StructureOf
from .finite import check_finite
from .own import OwnPipeline
from .streaming import Counter, Scene, as_clip, count_ticks, encode_base, stream_windows


@dataclass(frozen=True)
class CropPipeline(OwnPipeline):
    """The pipeline of models that draw the whole crop."""

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        return replace(identity, tokens=self.identity_net(references.to(next(self.identity_net.parameters()))).float())

    def render(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.render``. Nothing is computed before the first frames are asked for."""
        painter = self._painter(identity, style, settings.scales.text)
        speech, style = speech.to(self.device), style.to(self.device)
        portrait = identity.portrait if painter is None else painter.portrait
        windows = plan_windows(len(speech), settings.window, settings.overlap)
        tick = Counter(progress, count_ticks(windows, settings.steps, settings.chunk))
        tick.again()
        compositor = Compositor(portrait, identity.crop, Head(identity, self.basis), identity.landmarks, tick.again)
        paste = compositor if output == "full" else compositor.crops
        layers = layers_of(identity, self.basis, self.config, painter)
        aperture = lip_aperture(identity.landmarks)

        def prepare(frames: slice) -> Scene:
            return encode_base(self.autoencoder, self.dtype, structure_of(frames), tick, settings.chunk)

        def sample(scene: Scene, window: Window, anchor: Tensor | None) -> Tensor:
            features = speech.features[window.start : window.stop]
            return self._sample(identity, scene, features, style, settings, window, anchor, tick)

        @torch.no_grad()
        def finish(scene: Scene, latents: Tensor) -> Tensor:
            net, structure = self.config.animate_net, scene.structure
            clean = scene.base + latents / net.residual_scale if net.residual else latents
            frames = network_picture(self.autoencoder, self.config, structure, scene.base, clean, aperture)
            for made in (frames.residual, frames.picture):
                check_finite(made, self.config)
            for _, layer in layers:
                frames = layer(frames)
            picture = (frames.picture, frames.picture_weight)
            return paste(structure.flow, frames.residual, frames.mask, picture, structure.pose, structure.closure).cpu()

        yield from stream_windows(windows, prepare, sample, finish, tick, settings.chunk, checkpoint)

    @torch.no_grad()
    def _sample(
        self,
        identity: Identity,
        scene: Scene,
        speech: Tensor,
        style: Style,
        settings: SamplingSettings,
        window: Window,
        anchor: Tensor | None,
        tick: Counter,
    ) -> Tensor:
        """Sample the clean latents (F, C, h, w) of a window; with ``residual``, relative to the warped portrait's."""
        structure = scene.structure
        conditions = Conditions(
            warped=as_clip(scene.base),
            mask=as_clip(adaptive_avg_pool2d(structure.mask, self.config.latent_size)),
            map=structure.map[None],
            identity=identity.tokens[None],
            speech=speech[None],
            structure=structure.coefficients[None],
            text=None if style.tokens is None else style.tokens[None],
        )
        noise = frame_noise(settings.seed, window.start, window.stop, tuple(scene.base.shape[1:])).to(scene.base)
        negative = None if style.negative_tokens is None else style.negative_tokens[None]
        anchor_clip = None if anchor is None else as_clip(anchor)
        sampled = sample_window(self.animate_net, conditions, as_clip(noise), settings, negative, anchor_clip, tick)
        return sampled[0].transpose(0, 1)


def sample_window(
    net: AnimateNet,
    conditions: Conditions,
    noise: Tensor,
    settings: SamplingSettings,
    negative_text: Tensor | None = None,
    anchor: Tensor | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Denoise one window from noise (1, C, F, h, w) to clean latents of the same shape.

    negative_text: (1, L, D), the negative prompt for guidance. anchor: see ``sampling.denoise.denoise``.
    """
    cond, uncond = net.prepare(conditions, settings.scales), None
    if conditions.text is not None and settings.guidance_scale != 1:
        uncond = net.prepare(replace(conditions, text=negative_text), settings.scales)
    return denoise(
        net,
        noise,
        noise,
        velocity_steps(settings.steps),
        lambda frames: cond,
        None if uncond is None else lambda frames: uncond,
        settings.guidance_scale,
        anchor=anchor,
        on_step=lambda sample: on_step(),
    )
