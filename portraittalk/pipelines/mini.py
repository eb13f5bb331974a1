"""``mini`` and models like it: AnimateNet with all four branches, diffusing the difference to the warped portrait."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..compositing.compose import Compositor
from ..compositing.layers import layers_of, network_picture
from ..compositing.painter import Painter, painter_for
from ..compositing.structure import build_structure
from ..config import PortraitTalkConfig
from ..face.detect import FaceProvider
from ..face.select import LARGEST, FaceChoice
from ..memory.estimate import Estimate
from ..models.animate_net import AnimateNet, Conditions
from ..models.face_basis import FaceBasis
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from ..motion.geometry import lip_aperture
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..sampling.denoise import denoise
from ..sampling.steps import velocity_steps
from ..sampling.windows import Window, frame_noise, plan_windows
from ..types import Face, Identity, SamplingSettings, Speech, Structure, Style
from .base import Output, PipelineBase, StructureOf
from .streaming import Counter, Scene, as_clip, count_ticks, encode_base, stream_windows


@dataclass(frozen=True)
class MiniPipeline(PipelineBase):
    """identity_net: identity tokens of reference crops. motion_net, basis: motion of speech, landmarks of motion."""

    identity_net: IdentityNet
    motion_net: MotionNet
    basis: FaceBasis

    follows_structure: ClassVar[bool] = True
    own_precision: ClassVar[bool] = True

    @classmethod
    def memory(
        cls,
        config: PortraitTalkConfig,
        frames: int,
        settings: SamplingSettings,
        dtype: torch.dtype = torch.float16,
        device: str = "cuda",
        picture: tuple[int, int] = (0, 0),
        references: int = 1,
        offload: bool = False,
    ) -> Estimate | None:
        """None: these models are small, and are not estimated."""
        return None

    @torch.no_grad()
    def encode_identity(
        self,
        images: list[Tensor],
        choice: FaceChoice = LARGEST,
        provider: FaceProvider | None = None,
        faces: list[list[Face]] | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Identity:
        """One person from 1..N pictures (3, H, W) in 0..1; the first is the portrait that is animated.

        A further picture with an open mouth shows what is behind closed lips, one that is turned the other way shows
        the far cheek. choice: which face of the portrait; of further references it is the largest. faces: the faces of
        each picture where they are known (given by hand, or by another landmarker); otherwise ``provider`` finds them,
        by default our own networks. Raises FaceError where there is no such face, SettingsError for a model that cannot
        be run.
        """
        identity, references = self._references(images, choice, provider, faces, progress)
        return replace(identity, tokens=self.identity_net(references).float())

    def animate(
        self,
        identity: Identity,
        speech: Speech,
        style: Style | None = None,
        motion: MotionTrack | None = None,
        settings: SamplingSettings | None = None,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
    ) -> Iterator[Tensor]:
        """The frames of a talking portrait in 0..1 on the CPU, as an iterator of chunks (n, 3, H, W) of a few frames.

        There are ``len(speech)`` frames. output: "full" pastes each back into the portrait's whole picture; "crop"
        gives the aligned crops (n, 3, S, S), to be pasted back later into the portrait, which ``shown_portrait`` gives
        the look. What the style asks of the face is added to the motion, times the text scale; its look is given to the
        whole picture. Without settings, those that the model is best run with.

        Settings are checked at once; the work is done as chunks are asked for. Closing the iterator, or raising in
        ``progress``, ends it. Raises SettingsError, MotionError.
        """
        style = style or Style()
        settings = self.checked(identity, settings)
        track, basis = self.motion_for(speech, style, motion, settings.scales.text)
        self.place("denoise")
        device = self.device
        identity = identity.to(device)

        @torch.no_grad()
        def structure_of(frames: slice) -> Structure:
            return build_structure(identity, track[frames].to(device), basis, self.config)

        return self.render(identity, speech, style, structure_of, settings, output, progress)

    def render(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.render``."""
        painter = self._painter(identity, style, settings.scales.text)
        speech, style = speech.to(self.device), style.to(self.device)
        compositor = Compositor(identity.portrait if painter is None else painter.portrait, identity.crop)
        paste = compositor if output == "full" else compositor.crops
        layers = layers_of(identity, self.basis, self.config, painter)
        aperture = lip_aperture(identity.landmarks)
        windows = plan_windows(len(speech), settings.window, settings.overlap)
        tick = Counter(progress, count_ticks(windows, settings.steps, settings.chunk))

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
            for _, layer in layers:
                frames = layer(frames)
            shown = (frames.picture, frames.picture_weight)
            return paste(structure.flow, frames.residual, frames.mask, shown).cpu()

        return stream_windows(windows, prepare, sample, finish, tick, settings.chunk)

    def shown_portrait(self, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
        """The identity whose portrait has the look that a style asks for: crops of ``animate`` belong into it."""
        painter = self._painter(identity, style, text_scale)
        return identity if painter is None else replace(identity, portrait=painter.portrait.to(identity.portrait))

    def _painter(self, identity: Identity, style: Style, text_scale: float) -> Painter | None:
        return painter_for(identity.portrait, identity.crop, style.look, text_scale, self.device)

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
        """Clean latents (F, C, h, w) of a window; with ``residual``, the difference to those of the warped portrait."""
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
        before = None if anchor is None else as_clip(anchor)
        sampled = sample_window(self.animate_net, conditions, as_clip(noise), settings, negative, before, tick)
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
    """Noise (1, C, F, h, w) of one window -> clean latents of the same shape.

    negative_text: (1, L, D), the text that guidance moves away from. anchor: see ``sampling.denoise.denoise``.
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
