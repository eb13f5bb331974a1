"""Pipeline of public weights with reference attention.

EchoMimic makes the motion from speech; AniPortrait follows drawn poses. EchoMimic samples a whole clip at once, in
windows that shift at every step: plain (30 steps, guidance 2.5) or accelerated (6 steps without guidance). Upstream's
accelerated code also converts each velocity to clean latents and back, which only changes rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..compositing.compose import crop_data, pasted_crops
from ..compositing.draw_control import draw_pose, face_box_map
from ..media.sound import Sound
from ..memory.estimate import MeasureStages
from ..memory.stage_peaks import reference_stages
from ..models.animate_net import AnimateNet, Conditions
from ..models.audio_modules import FaceProjection
from ..models.autoencoder import FastDecoder
from ..models.clip_net import ClipImageNet
from ..models.face_basis import FaceBasis
from ..models.motion_net import MotionNet
from ..models.reference_net import ReferenceNet, reference_features
from ..models.speech_encoder import SpeechEncoder
from ..motion.geometry import move_landmarks
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..sampling.conditioning import guided_conditions
from ..sampling.denoise import denoise
from ..sampling.steps import strided_velocity_steps
from ..sampling.windows import RingWindows, frame_noise
from ..speech import whisper
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output
from .diffusion import DiffusionPipeline
from .finite import check_finite
from .streaming import Counter


@dataclass(frozen=True)
class ReferencePipeline(DiffusionPipeline):
    """The pipeline of models with reference attention.

    reference_net: features of reference pictures for AnimateNet's self-attention. speech_encoder: Whisper's encoder;
    None for a denoiser that follows poses. fast_decoder: TAESD, for previews and ``fast_decode``, or None. image_net,
    motion_net, basis: for a denoiser that follows poses, CLIP's image encoder, speech to motion, and motion to
    landmarks. face_tokens: face recognition embedding to identity tokens, for models that take one.
    """

    reference_net: ReferenceNet
    speech_encoder: SpeechEncoder | None = None
    fast_decoder: FastDecoder | None = None
    image_net: ClipImageNet | None = None
    motion_net: MotionNet | None = None
    basis: FaceBasis | None = None
    face_tokens: FaceProjection | None = None

    stage_peaks: ClassVar[MeasureStages | None] = staticmethod(reference_stages)

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        """Add the features of the reference network, and the tokens of CLIP's image encoder if there is one."""
        seen = None if self.image_net is None else self.image_net(references)  # (N, 1, D)
        reference = reference_features(self.reference_net, self.autoencoder.encode(references), seen)
        tokens = identity.tokens if seen is None else seen[:, 0].float()
        return replace(identity, tokens=tokens, reference=reference)

    def encode_speech(self, audio: Sound, fps: float, progress: ProgressCallback = ignore_progress) -> Speech:
        """Return Whisper's features, or log-mel patches for a model that follows poses."""
        if self.speech_encoder is None:
            return super().encode_speech(audio, fps, progress)
        self.place("speech")
        return whisper.encode_speech(audio, fps, self.speech_encoder, self.config.speech, progress)

    def animate(
        self,
        identity: Identity,
        speech: Speech,
        style: Style | None = None,
        motion: MotionTrack | None = None,
        settings: SamplingSettings | None = None,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.animate``; a model that makes its motion from speech ignores ``motion`` and ``style``.

        The latents of all frames, some 64 kB a frame, stay in memory until the last frame is decoded.
        """
        settings = self.checked(identity, settings)
        if self.makes_motion:
            self.place("denoise")
            identity = identity.to(self.device)
            face = face_box_map(identity.landmarks, self.config.crop_size)
            conditions = Conditions(map=face[None, None], speech=speech.features[None])
        else:
            track, basis = self.motion_for(speech, style or Style(), motion, settings.scales.text)
            self.place("denoise")
            identity = identity.to(self.device)
            frames = track[: len(speech)].to(self.device)
            landmarks = move_landmarks(identity.landmarks, identity.blendshapes, frames, basis)
            poses = draw_pose(landmarks, self.config.crop_size, self.config.structure.map_size)
            conditions = Conditions(map=poses[None])
        return self._render(identity, len(speech), conditions, settings, output, progress, checkpoint)

    def _render(
        self,
        identity: Identity,
        frames: int,
        conditions: Conditions,
        settings: SamplingSettings,
        output: Output,
        progress: ProgressCallback,
        checkpoint: Checkpoint,
    ) -> Iterator[Tensor]:
        """Sample and decode the clip. conditions: of all frames, without the identity's tokens and reference."""
        starts = range(0, frames, settings.chunk)
        windows = len(RingWindows(settings.window, settings.overlap).starts(frames))
        total = settings.steps * windows + len(starts)
        tick = Counter(progress, total)
        latents = checkpoint.latents  # of all frames, where a run was interrupted after it had sampled them
        if latents is None:
            latents = self._sample(identity, frames, conditions, settings, tick)
            checkpoint.save(0, latents)
        latents = latents.to(self.device)
        tick.skip(1 - len(range(checkpoint.start, frames, settings.chunk)) / total)
        decoder = self.fast_decoder if settings.fast_decode and self.fast_decoder else self.autoencoder
        data = crop_data(identity)
        for start in starts[checkpoint.start // settings.chunk :]:
            with torch.no_grad():
                crops = decoder.decode(latents[start : start + settings.chunk].to(self.dtype)).float()
            crops = check_finite(crops, self.config).clamp(0, 1)
            chunk = (pasted_crops(crops, data) if output == "full" else crops).cpu()
            tick(chunk[-1])
            yield chunk
            if start != starts[-1]:
                checkpoint.save(start + settings.chunk, None)

    def _sample(
        self, identity: Identity, frames: int, conditions: Conditions, settings: SamplingSettings, tick: Counter
    ) -> Tensor:
        """Return the clean latents (F, C, h, w) of all frames."""

        def show_window(clean: Tensor) -> None:
            fast = self.fast_decoder
            tick(None if fast is None else fast.decode(clean[:, :, 0].to(self.dtype))[0].float().cpu())

        tokens = identity.tokens[None] if len(identity.tokens) else None
        conditions = replace(conditions, identity=tokens, reference=identity.reference).to(self.device, self.dtype)
        limit, side = self.config.animate_net.noise_limit, self.config.latent_size
        shape = (self.config.autoencoder.latent_channels, side, side)
        noise = clip_noise(settings.seed, frames, shape, limit).to(self.device)
        latents = sample_clip(self.animate_net, conditions, noise, settings, on_window=show_window)
        return latents[0].transpose(0, 1)


def clip_noise(seed: int, frames: int, shape: tuple[int, ...], limit: float) -> Tensor:
    """Draw initial noise (1, C, F, h, w) for latents of ``shape`` (C, h, w), clamped to -limit..limit."""
    return frame_noise(seed, 0, frames, shape).clamp(-limit, limit).transpose(0, 1)[None]


@torch.no_grad()
def sample_clip(
    net: AnimateNet,
    conditions: Conditions,
    noise: Tensor,
    settings: SamplingSettings,
    on_window: Callable[[Tensor], None] = lambda clean: None,
    on_step: Callable[[Tensor], None] = lambda sample: None,
) -> Tensor:
    """Denoise a whole clip from noise (1, C, F, h, w) to clean latents of the same shape, with EchoMimic's sampler.

    conditions: of F frames, in the network's precision. With a guidance scale other than 1, the unconditional branch
    is that of ``sampling.conditioning.unconditional``. on_window, on_step: see ``sampling.denoise.denoise``.
    """
    cond, uncond = guided_conditions(net, conditions, settings.scales, settings.guidance_scale)
    return denoise(
        net,
        noise,
        noise,
        strided_velocity_steps(settings.steps, net.config.betas),
        cond,
        uncond,
        settings.guidance_scale,
        RingWindows(settings.window, settings.overlap, net.config.shift),
        on_window=on_window,
        on_step=on_step,
    )
