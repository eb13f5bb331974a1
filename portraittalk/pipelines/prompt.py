"""Models around an unmodified Stable Diffusion 1.5: the prompt and the person act inside its denoiser.

With motion modules (AnimateDiff), each frame starts from the portrait, warped to where the motion wants everything, and
is changed as far as ``strength`` says, under a ControlNet that holds the face to the motion's landmarks. Without them,
the model edits the portrait.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from typing_extensions import Self

from ..compositing.compose import CropData, crop_data, pasted_crops
from ..compositing.structure import build_structure
from ..config import PortraitTalkConfig
from ..face.align import extract_crop
from ..face.detect import FaceProvider
from ..face.select import LARGEST, FaceChoice
from ..memory.estimate import Estimate, estimate
from ..memory.stages import prompt_stages
from ..models.animate_net import AnimateNet, Conditions
from ..models.autoencoder import FastDecoder
from ..models.clip_net import ClipIdentityNet, TextEncoder
from ..models.face_basis import FaceBasis
from ..models.motion_net import MotionNet
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..sampling.denoise import denoise
from ..sampling.steps import epsilon_steps
from ..sampling.windows import Window, frame_noise, plan_windows
from ..tensor_files import fill
from ..text.clip_tokens import encode_prompt
from ..text.style import read_expression
from ..types import Face, Identity, SamplingSettings, Speech, Structure, Style
from .base import Output, PipelineBase, StructureOf
from .streaming import Counter, Scene, as_clip, count_ticks, encode_base, stream_windows

VOCABULARY = "clip-tokenizer"  # folder of CLIP's tokenizer, beside the weights file
CELL = 64  # pixels: the UNet of Stable Diffusion takes pictures whose sides are multiples of it
LONGEST = 1.5  # longer side of a whole picture that is edited, in crops


@dataclass(frozen=True)
class PromptPipeline(PipelineBase):
    """identity_net: CLIP's image encoder and IP-Adapter's resampler. text_encoder: CLIP's. motion_net, basis: None
    where the denoiser has no motion modules. fast_decoder: TAESD, or None. vocabulary: the folder of the tokenizer."""

    identity_net: ClipIdentityNet
    text_encoder: TextEncoder
    motion_net: MotionNet | None = None
    basis: FaceBasis | None = None
    fast_decoder: FastDecoder | None = None
    vocabulary: Path = Path(VOCABULARY)

    edits_pictures: ClassVar[bool] = True
    follows_structure: ClassVar[bool] = True

    @classmethod
    def build(cls, config: PortraitTalkConfig, networks: Mapping[str, nn.Module], folder: Path) -> Self:
        """The pipeline of networks by name; the tokenizer is looked for in ``folder``."""
        return cls(config=config, **networks, vocabulary=folder / VOCABULARY)  # type: ignore[arg-type]  # as in the base

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
        """What a run over ``frames`` frames will hold, see ``memory.estimate``."""
        return estimate(prompt_stages, config, frames, settings, dtype, device, picture, references, offload)

    @torch.no_grad()
    def encode_identity(
        self,
        images: list[Tensor],
        choice: FaceChoice = LARGEST,
        provider: FaceProvider | None = None,
        faces: list[list[Face]] | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Identity:
        """As ``MiniPipeline.encode_identity``; the person enters by IP-Adapter's tokens."""
        identity, references = self._references(images, choice, provider, faces, progress)
        return replace(
            identity,
            tokens=self.identity_net(references).float(),
            uncond_tokens=self.identity_net.uncond_tokens().float(),
        )

    def encode_style(self, prompt: str = "", negative_prompt: str = "") -> Style:
        """Text tokens of the prompts for the denoiser; if it animates, also the expression that they ask for."""
        self.place("prompt")
        assert self.config.clip is not None
        tokens, negative_tokens = (
            encode_prompt(self.text_encoder, text, self.config.clip, self.vocabulary)
            for text in (prompt, negative_prompt)
        )
        style = Style(prompt.strip(), negative_prompt.strip(), tokens, negative_tokens)
        if not (style.prompt or style.negative_prompt) or not self.config.animate_net.motion_modules:
            return style
        return replace(style, expression=read_expression(prompt, negative_prompt))

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
        """As ``MiniPipeline.animate``; the whole crop is drawn by the prompt, so looks are too."""
        style = self.encode_style() if style is None or style.tokens is None else style
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
        windows = plan_windows(len(speech), settings.window, settings.overlap)
        net = self.animate_net
        steps = epsilon_steps(net.config, settings.steps, settings.strength) if settings.strength else []
        tick = Counter(progress, count_ticks(windows, len(steps), settings.chunk))
        cond, uncond = self._conditions(identity, style.to(self.device))
        data, coder = crop_data(identity), _Coder(self, settings)
        show = self._previews(tick)

        def prepare(frames: slice) -> Scene:
            return encode_base(self.autoencoder, self.dtype, structure_of(frames), tick, settings.chunk)

        def sample(scene: Scene, window: Window, anchor: Tensor | None) -> Tensor:
            if not settings.strength:
                return scene.base
            poses = scene.structure.map[None].to(self.dtype)

            def noise(draw: int) -> Tensor:
                shape = tuple(scene.base.shape[1:])
                return as_clip(frame_noise(settings.seed, window.start, window.stop, shape, draw).to(scene.base))

            latents = sample_prompt(
                net,
                as_clip(scene.base),
                replace(cond, map=poses),
                replace(uncond, map=poses),
                settings,
                noise,
                None if anchor is None else as_clip(anchor),
                show,
            )
            return latents[0].transpose(0, 1)

        def finish(scene: Scene, latents: Tensor) -> Tensor:
            with torch.no_grad():
                crops = coder.decode(latents).clamp(0, 1)
            return (pasted_crops(crops, data) if output == "full" else crops).cpu()

        return stream_windows(windows, prepare, sample, finish, tick, settings.chunk)

    def edit_portrait(
        self,
        identity: Identity,
        style: Style,
        settings: SamplingSettings | None = None,
        whole: bool = False,
        progress: ProgressCallback = ignore_progress,
    ) -> Tensor:
        """The portrait as the prompt asks for it, still the same person: (3, H, W) in 0..1 on the CPU.

        Only the face's surroundings are redrawn; with ``whole`` all of the picture, of which a large one loses detail.
        A strength of 0 gives the portrait itself, 1 keeps nothing of it but the person. To animate the result, encode
        its identity anew. Raises SettingsError.
        """
        settings = self.checked(identity, settings)
        self.place("denoise")
        identity = identity.to(self.device)
        net = self._picture_net()
        steps = len(epsilon_steps(net.config, settings.steps, settings.strength)) if settings.strength else 0
        show = self._previews(Counter(progress, steps, "edit"))
        cond, uncond = self._conditions(identity, style.to(self.device))
        return edit_picture(net, _Coder(self, settings), crop_data(identity), cond, uncond, settings, whole, show)

    def _picture_net(self) -> AnimateNet:
        """The denoiser without motion modules and ControlNet, on the same weights."""
        net, config = self.animate_net, self.config
        if not config.animate_net.motion_modules:
            return net
        still = replace(config.animate_net, motion_modules=False, motion_mid_block=False)
        with torch.device("meta"):
            alone = AnimateNet(replace(config, structure=replace(config.structure, guider="none"), animate_net=still))
        weights = net.state_dict()
        fill(alone, {key: weights[key] for key in alone.state_dict()}, config.name)
        return alone.eval().requires_grad_(False)

    def _conditions(self, identity: Identity, style: Style) -> tuple[Conditions, Conditions]:
        """Positive and negative conditions for classifier-free guidance."""
        assert style.tokens is not None and style.negative_tokens is not None and identity.uncond_tokens is not None
        cond = Conditions(text=style.tokens[None], identity=identity.tokens[None])
        uncond = Conditions(text=style.negative_tokens[None], identity=identity.uncond_tokens[None])
        return cond.to(self.device, self.dtype), uncond.to(self.device, self.dtype)

    def _previews(self, tick: Counter) -> Callable[[Tensor], None]:
        """Counts a step, and shows its first frame where the model has a fast decoder."""

        @torch.no_grad()
        def show(clean: Tensor) -> None:
            fast = self.fast_decoder
            tick(None if fast is None else fast.decode(clean[:, :, 0].to(self.dtype))[0].float().cpu())

        return show


class Coder(Protocol):
    """Pictures (N, 3, S, S) in 0..1 <-> the denoiser's latents, both in single precision."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Coder:
    """The model's autoencoder, or its fast decoder where the settings ask for it."""

    model: PromptPipeline
    settings: SamplingSettings

    def encode(self, images: Tensor) -> Tensor:
        return self.model.autoencoder.encode(images.to(self.model.dtype)).float()

    def decode(self, latents: Tensor) -> Tensor:
        fast = self.model.fast_decoder if self.settings.fast_decode else None
        return (fast or self.model.autoencoder).decode(latents.to(self.model.dtype)).float()


def sample_prompt(
    net: AnimateNet,
    start: Tensor,
    cond: Conditions,
    uncond: Conditions,
    settings: SamplingSettings,
    noise: Callable[[int], Tensor],
    anchor: Tensor | None = None,
    on_window: Callable[[Tensor], None] = lambda clean: None,
) -> Tensor:
    """Latents (1, C, F, h, w) that are changed as far as ``settings.strength`` says -> clean latents.

    uncond: used where the guidance scale is not 1. noise: number of the draw -> (1, C, F, h, w); draw 0 is the initial
    noise. anchor, on_window: see ``sampling.denoise.denoise``.
    """
    steps = epsilon_steps(net.config, settings.steps, settings.strength)
    with torch.no_grad():
        seen = net.prepare(cond, settings.scales)
        unseen = net.prepare(uncond, settings.scales) if settings.guidance_scale != 1 else None
    first = noise(0)
    return denoise(
        net,
        steps[0].add_noise(start, first),
        first,
        steps,
        lambda frames: seen,
        None if unseen is None else lambda frames: unseen,
        settings.guidance_scale,
        new_noise=noise,
        anchor=anchor,
        on_window=on_window,
    )


@torch.no_grad()
def edit_picture(
    net: AnimateNet,
    coder: Coder,
    data: CropData,
    cond: Conditions,
    uncond: Conditions,
    settings: SamplingSettings,
    whole: bool,
    on_step: Callable[[Tensor], None] = lambda clean: None,
) -> Tensor:
    """The portrait (3, H, W) in 0..1 on the CPU, redrawn within the crop, or with ``whole`` everywhere.

    Its latents are noised part of the way and denoised under the prompt and the person. net: without motion modules. A
    strength of 0 leaves the portrait as it is.
    """
    if not settings.strength:
        return data.portrait.cpu()
    picture = fitted(data.portrait, data.crop.size) if whole else extract_crop(data.portrait, data.crop)[None]
    start = coder.encode(picture)[:, :, None]  # (1, C, 1, h, w)
    shape = (start.shape[1], *start.shape[3:])

    def noise(draw: int) -> Tensor:
        return frame_noise(settings.seed, 0, 1, shape, draw).transpose(0, 1)[None].to(start)

    clean = sample_prompt(net, start, cond, uncond, settings, noise, None, on_step)
    edited = coder.decode(clean[:, :, 0]).clamp(0, 1)
    if not whole:
        return pasted_crops(edited, data)[0].cpu()
    return interpolate(edited, data.portrait.shape[-2:], mode="bicubic", antialias=True).clamp(0, 1)[0].cpu()


def fitted(portrait: Tensor, crop_size: int) -> Tensor:
    """The whole portrait (1, 3, h, w), no longer than ``LONGEST`` crops, its sides multiples of ``CELL``."""
    height, width = portrait.shape[-2:]
    scale = min(LONGEST * crop_size / max(height, width), 1.0)
    size = [max(round(side * scale / CELL), 1) * CELL for side in (height, width)]
    return interpolate(portrait[None], size, mode="bicubic", antialias=True).clamp(0, 1)
