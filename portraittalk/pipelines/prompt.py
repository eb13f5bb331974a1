"""Pipeline of models with an unmodified Stable Diffusion 1.5, whose denoiser is conditioned on prompt and person.

With motion modules (AnimateDiff), each frame starts from the portrait warped by the motion and is redrawn as far as
``strength`` says, under a ControlNet that keeps the face on the motion's landmarks. Without them, the model edits the
portrait.
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
from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..face.align import extract_crop
from ..memory.estimate import MeasureStages
from ..memory.stage_peaks import prompt_stages
from ..models.animate_net import AnimateNet, Conditions
from ..models.autoencoder import FastDecoder
from ..models.clip_net import ClipIdentityNet, TextEncoder
from ..models.face_basis import FaceBasis
from ..models.motion_net import MotionNet
from ..progress import ProgressCallback, ignore_progress
from ..sampling.denoise import denoise
from ..sampling.steps import epsilon_steps
from ..sampling.windows import Window, frame_noise, plan_windows
from ..tensor_files import fill
from ..text.clip_tokens import encode_prompt
from ..text.style import read_performance
from ..text.timeline import read_timeline
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output, StructureOf
from .diffusion import DiffusionPipeline
from .finite import check_finite
from .streaming import Counter, Scene, as_clip, count_ticks, encode_base, stream_windows

VOCABULARY = "clip-tokenizer"  # folder of CLIP's tokenizer, beside the weights file
CELL = 64  # pixels; Stable Diffusion's UNet takes pictures whose sides are multiples of this
LONGEST = 1.5  # longest side at which a whole picture is edited, in crop sizes


@dataclass(frozen=True)
class PromptPipeline(DiffusionPipeline):
    """The pipeline of models based on Stable Diffusion 1.5.

    identity_net: CLIP's image encoder and IP-Adapter's resampler. text_encoder: CLIP's. motion_net, basis: None where
    the denoiser has no motion modules. fast_decoder: TAESD, or None. vocabulary: the folder of the tokenizer.
    """

    identity_net: ClipIdentityNet
    text_encoder: TextEncoder
    motion_net: MotionNet | None = None
    basis: FaceBasis | None = None
    fast_decoder: FastDecoder | None = None
    vocabulary: Path = Path(VOCABULARY)

    edits_pictures: ClassVar[bool] = True
    follows_structure: ClassVar[bool] = True
    stage_peaks: ClassVar[MeasureStages | None] = staticmethod(prompt_stages)

    @classmethod
    def build(cls, config: PortraitTalkConfig, networks: Mapping[str, nn.Module], folder: Path) -> Self:
        """Build the pipeline from networks by name, with the tokenizer in ``folder``."""
        return cls(config=config, **networks, vocabulary=folder / VOCABULARY)  # type: ignore[arg-type]  # as in the base

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        """Add the identity tokens of IP-Adapter, and those of no person for guidance."""
        return replace(
            identity,
            tokens=self.identity_net(references).float(),
            uncond_tokens=self.identity_net.uncond_tokens().float(),
        )

    def encode_style(self, prompt: str = "", negative_prompt: str = "") -> Style:
        """Encode the prompts to text tokens; for a model that animates, also to the expression they ask for."""
        self.place("prompt")
        assert self.config.clip is not None
        if read_timeline(prompt) or read_timeline(negative_prompt):
            raise SettingsError(
                f"The model '{self.config.name}' reads one prompt for the whole video: remove the times in brackets."
            )
        tokens, negative_tokens = (
            encode_prompt(self.text_encoder, text, self.config.clip, self.vocabulary)
            for text in (prompt, negative_prompt)
        )
        style = Style(prompt.strip(), negative_prompt.strip())
        if (style.prompt or style.negative_prompt) and self.config.animate_net.motion_modules:
            style = read_performance(prompt, negative_prompt)
        return replace(style, tokens=tokens, negative_tokens=negative_tokens)

    def _complete_style(self, style: Style | None) -> Style:
        """Encode empty prompts if there are no text tokens: the denoiser redraws the whole crop from the prompt."""
        return self.encode_style() if style is None or style.tokens is None else style

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

        return stream_windows(windows, prepare, sample, finish, tick, settings.chunk, checkpoint)

    def edit_portrait(
        self,
        identity: Identity,
        style: Style,
        settings: SamplingSettings | None = None,
        whole: bool = False,
        progress: ProgressCallback = ignore_progress,
    ) -> Tensor:
        """Edit the portrait by the prompt, keeping the person: (3, H, W) in 0..1 on the CPU.

        Only the face crop is redrawn, or with ``whole`` the whole picture (large pictures lose detail). A strength of 0
        returns the portrait unchanged; 1 keeps only the identity. To animate the result, encode its identity again.
        Raises SettingsError.
        """
        settings = self.checked(identity, settings)
        self.place("denoise")
        identity = identity.to(self.device)
        net = self._image_net()
        steps = len(epsilon_steps(net.config, settings.steps, settings.strength)) if settings.strength else 0
        show = self._previews(Counter(progress, steps, "edit"))
        cond, uncond = self._conditions(identity, style.to(self.device))
        return edit_picture(net, _Coder(self, settings), crop_data(identity), cond, uncond, settings, whole, show)

    def _image_net(self) -> AnimateNet:
        """Return the denoiser without motion modules and ControlNet, sharing its weights."""
        net, config = self.animate_net, self.config
        if not config.animate_net.motion_modules:
            return net
        image_config = replace(config.animate_net, motion_modules=False, motion_mid_block=False)
        structure = replace(config.structure, guider="none")
        with torch.device("meta"):
            image_net = AnimateNet(replace(config, structure=structure, animate_net=image_config))
        weights = net.state_dict()
        fill(image_net, {key: weights[key] for key in image_net.state_dict()}, config.name)
        return image_net.eval().requires_grad_(False)

    def _conditions(self, identity: Identity, style: Style) -> tuple[Conditions, Conditions]:
        """Return positive and negative conditions for classifier-free guidance."""
        assert style.tokens is not None and style.negative_tokens is not None and identity.uncond_tokens is not None
        cond = Conditions(text=style.tokens[None], identity=identity.tokens[None])
        uncond = Conditions(text=style.negative_tokens[None], identity=identity.uncond_tokens[None])
        return cond.to(self.device, self.dtype), uncond.to(self.device, self.dtype)

    def _previews(self, tick: Counter) -> Callable[[Tensor], None]:
        """Return a callback that counts a step, with a preview of its first frame if there is a fast decoder."""

        @torch.no_grad()
        def show(clean: Tensor) -> None:
            fast = self.fast_decoder
            tick(None if fast is None else fast.decode(clean[:, :, 0].to(self.dtype))[0].float().cpu())

        return show


class Coder(Protocol):
    """Encoder and decoder between pictures (N, 3, S, S) in 0..1 and latents, both in single precision."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Coder:
    """The model's autoencoder, with the fast decoder if the settings ask for it."""

    model: PromptPipeline
    settings: SamplingSettings

    def encode(self, images: Tensor) -> Tensor:
        return self.model.autoencoder.encode(images.to(self.model.dtype)).float()

    def decode(self, latents: Tensor) -> Tensor:
        fast = self.model.fast_decoder if self.settings.fast_decode else None
        decoded = (fast or self.model.autoencoder).decode(latents.to(self.model.dtype)).float()
        return check_finite(decoded, self.model.config)


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
    """Noise the latents ``start`` (1, C, F, h, w) as far as ``settings.strength`` says, and denoise them.

    uncond: used where the guidance scale is not 1. noise: index of the draw -> (1, C, F, h, w); draw 0 is the initial
    noise. anchor, on_window: see ``sampling.denoise.denoise``.
    """
    steps = epsilon_steps(net.config, settings.steps, settings.strength)
    with torch.no_grad():
        prepared = net.prepare(cond, settings.scales)
        unconditional = net.prepare(uncond, settings.scales) if settings.guidance_scale != 1 else None
    initial_noise = noise(0)
    return denoise(
        net,
        steps[0].add_noise(start, initial_noise),
        initial_noise,
        steps,
        lambda frames: prepared,
        None if unconditional is None else lambda frames: unconditional,
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
    """Redraw the portrait inside the crop, or with ``whole`` everywhere: (3, H, W) in 0..1 on the CPU.

    Its latents are partly noised, then denoised under the conditions of prompt and person. net: has no motion modules.
    A strength of 0 returns the portrait unchanged.
    """
    if not settings.strength:
        return data.portrait.cpu()
    picture = (
        resized_for_editing(data.portrait, data.crop.size) if whole else extract_crop(data.portrait, data.crop)[None]
    )
    start = coder.encode(picture)[:, :, None]  # (1, C, 1, h, w)
    shape = (start.shape[1], *start.shape[3:])

    def noise(draw: int) -> Tensor:
        return frame_noise(settings.seed, 0, 1, shape, draw).transpose(0, 1)[None].to(start)

    clean = sample_prompt(net, start, cond, uncond, settings, noise, None, on_step)
    edited = coder.decode(clean[:, :, 0]).clamp(0, 1)
    if not whole:
        return pasted_crops(edited, data)[0].cpu()
    return interpolate(edited, data.portrait.shape[-2:], mode="bicubic", antialias=True).clamp(0, 1)[0].cpu()


def resized_for_editing(portrait: Tensor, crop_size: int) -> Tensor:
    """Resize the portrait to (1, 3, h, w), at most ``LONGEST`` crop sizes long, with multiples of ``CELL`` as sides."""
    height, width = portrait.shape[-2:]
    scale = min(LONGEST * crop_size / max(height, width), 1.0)
    size = [max(round(side * scale / CELL), 1) * CELL for side in (height, width)]
    return interpolate(portrait[None], size, mode="bicubic", antialias=True).clamp(0, 1)
