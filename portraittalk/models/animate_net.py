"""AnimateNet: the denoising video UNet, with decoupled cross-attention to text, identity, speech and structure.

The backbone is diffusers' ``UNetMotionModel``: spatial blocks of Stable Diffusion with temporal attention in every one.
In ``mini`` geometry comes in twice: pixel by pixel beside the noisy latents (the warped reference's latents, the mask
of what may change, features of the drawn landmarks), and as tokens. In models of Stable Diffusion 1.5 size that are
filled from public weights it comes in once, as features of a drawn map: added after the first convolution, where the
person comes in by reference attention, or by a ControlNet, where the backbone is an unmodified Stable Diffusion with
text and identity tokens. Without motion modules it is Stable Diffusion's image UNet, which IdentityNet edits pictures
with. All of that is told by the configuration: the forward pass is one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from diffusers import ControlNetModel, UNetMotionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..types import Movable, Scales
from .attention import (
    AttentionInputs,
    DecoupledCrossAttention,
    KeysValues,
    ReferenceSelfAttention,
    set_reference_attention,
    spatial_blocks,
)
from .audio_modules import AudioModule, SpeechProjection, add_audio_modules
from .pose_guider import PoseGuider
from .structure_encoder import SpeechTokens, StructureEncoder, StructureTokens


@dataclass(frozen=True)
class Conditions(Movable):
    """What one window of F frames is generated from, for a batch of B. A model reads what its configuration names.

    warped: (B, C, F, h, w) latents of the warped reference. mask: (B, 1, F, h, w) in 0..1, what may change.
    map: (B, F, M, m, n) drawn landmarks, or (B, 1, M, m, n) the same for all frames, in 0..1 or as bytes; None gives
    features of zero.
    identity: (B, L, D) identity tokens. speech: (B, F, W, M) speech features, or (B, 1, W, M) the same for all frames.
    structure: (B, F, K) coefficients.
    text: (B, L, Dt) text tokens. reference: per transformer block (B, P, C), from ``ReferenceNet``. regions: (B * F or
    1, 3, m, n) in 0..1, where surroundings, face and lips are. What is None, or empty, adds nothing.
    """

    warped: Tensor | None = None
    mask: Tensor | None = None
    map: Tensor | None = None
    identity: Tensor | None = None
    speech: Tensor | None = None
    structure: Tensor | None = None
    text: Tensor | None = None
    reference: dict[str, Tensor] = field(default_factory=dict)
    regions: Tensor | None = None


@dataclass(frozen=True)
class PreparedConditions:
    """``Conditions`` as the denoiser looks at them, the same at every step: what ``AnimateNet.prepare`` makes of them.

    beside: (B, C, F, h, w) what stands beside the noisy latents. guides: features (B, G, F or 1, h, w) of the drawn
    maps, one or several; none without a map. branches, reference, scales, audio, regions: as in ``AttentionInputs``.
    maps (B, F or 1, M, m, n) and text (B, L, D) are what a ControlNet reads at every step.
    """

    beside: tuple[Tensor, ...]
    guides: tuple[Tensor, ...]
    branches: dict[str, dict[str, KeysValues]]
    reference: dict[str, KeysValues]
    scales: dict[str, float]
    maps: Tensor | None = None
    text: Tensor | None = None
    audio: dict[str, tuple[KeysValues, ...]] = field(default_factory=dict)
    regions: Tensor | None = None

    def at(self, frames: Tensor) -> "PreparedConditions":
        """That of some frames of one clip (B = 1), by number; what is the same for all of them stays as it is."""

        def rows(pair: KeysValues) -> KeysValues:
            return pair if len(pair[0]) == 1 else (pair[0][frames], pair[1][frames])

        def columns(clips: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(clip if clip.shape[2] == 1 else clip[:, :, frames] for clip in clips)

        branches = {name: {key: rows(pair) for key, pair in found.items()} for name, found in self.branches.items()}
        audio = {name: tuple(rows(pair) for pair in heard) for name, heard in self.audio.items()}
        return replace(self, beside=columns(self.beside), guides=columns(self.guides), audio=audio, branches=branches)

    def joined(self, other: "PreparedConditions") -> "PreparedConditions":
        """With what another one, of the same frames, has besides."""
        branches = {name: found | other.branches[name] for name, found in self.branches.items()}
        return replace(
            self,
            beside=self.beside + other.beside,
            guides=self.guides or other.guides,
            branches=branches,
            reference=self.reference | other.reference,
            audio=self.audio | other.audio,
        )


class PerFrameGroupNorm(nn.GroupNorm):
    """GroupNorm over clips (B, C, F, h, w) that takes the statistics of each frame alone."""

    def forward(self, clip: Tensor) -> Tensor:
        batch = len(clip)
        return super().forward(clip.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)


class GuidedConv(nn.Conv2d):
    """A convolution over the first channels of (N, C + G, h, w); the G others are features added to its result."""

    def forward(self, stacked: Tensor) -> Tensor:
        return super().forward(stacked[:, : self.in_channels]) + stacked[:, self.in_channels :]


class Still(nn.Module):
    """In the place of a motion module: frames stay as they are."""

    def forward(self, frames: Tensor, *others: object, **named: object) -> Tensor:
        return frames


class AnimateNet(nn.Module):
    """Predicts the velocity of noisy latents, or their noise where ``config.animate_net.prediction`` says so.

    With ``config.animate_net.residual`` the latents are the difference between the target's and the warped reference's,
    times ``residual_scale``; without, the target's own.
    """

    def __init__(self, config: PortraitTalkConfig) -> None:
        super().__init__()
        net, latent, guider = config.animate_net, config.autoencoder.latent_channels, config.structure.guider
        self.config = net
        first = net.block_out_channels[0]
        self.guider = guider
        self.guide_channels = {"beside": first // 2, "none": 0, "control": 0}.get(guider, first)
        levels = len(net.block_out_channels)
        self.unet = UNetMotionModel(
            sample_size=config.latent_size,
            in_channels=2 * latent + 1 + self.guide_channels if guider == "beside" else latent,
            out_channels=latent,
            down_block_types=("CrossAttnDownBlockMotion",) * (levels - 1) + ("DownBlockMotion",),
            up_block_types=("UpBlockMotion",) + ("CrossAttnUpBlockMotion",) * (levels - 1),
            block_out_channels=net.block_out_channels,
            layers_per_block=net.layers_per_block,
            norm_num_groups=net.norm_num_groups,
            cross_attention_dim=net.token_dim,
            num_attention_heads=net.attention_head_dim,
            motion_max_seq_length=net.motion_max_seq_length,
            motion_num_attention_heads=net.motion_num_attention_heads,
            use_motion_mid_block=net.motion_mid_block,
        )
        for name, block in spatial_blocks(self.unet):
            width, gain = block.attn2.inner_dim, net.cross_attention_gain
            block.attn2.set_processor(DecoupledCrossAttention(name, net.token_dim, width, net.branches, gain))
        for module in self.unet.modules():
            if isinstance(module, AnimateDiffTransformer3D) and net.norm_per_frame:
                module.norm = PerFrameGroupNorm(net.norm_num_groups, module.in_channels, eps=module.norm.eps)
            if hasattr(module, "motion_modules") and not net.motion_modules:
                module.motion_modules = nn.ModuleList(Still() for _ in module.motion_modules)
        if net.reference_attention:
            set_reference_attention(self.unet, ReferenceSelfAttention)
        if guider in ("locator", "pose"):
            self.unet.conv_in = GuidedConv(latent, self.guide_channels, 3, padding=1)
        if guider == "pose":
            add_guides(self.unet)
        self.structure_encoder = structure_encoder(config, self.guide_channels)
        if "structure" in net.branches:
            self.structure_tokens = StructureTokens(config.structure, net.token_dim)
        if net.audio_modules:
            heard = config.speech
            add_audio_modules(self.unet, net.token_dim, net.attention_head_dim, net.norm_num_groups)
            self.speech_tokens: nn.Module = SpeechProjection(heard.steps * heard.dim, heard.tokens, net.token_dim)
        elif "speech" in net.branches:
            listens = config.speech.encoder == "mel"
            self.speech_tokens = SpeechTokens(config.speech, net.token_dim) if listens else nn.Identity()
        if "text" in net.branches:
            reads = net.text_dim != net.token_dim
            self.text_tokens = nn.Linear(net.text_dim, net.token_dim) if reads else nn.Identity()

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions | PreparedConditions,
        scales: Scales | None = None,
    ) -> Tensor:
        """sample: (B, C, F, h, w) noisy latents; timestep: () or (B,) -> velocity, or noise, (B, C, F, h, w).

        Where several steps have the same conditions, ``prepare`` them once: scales are then those given there.
        """
        seen = conditions if isinstance(conditions, PreparedConditions) else self.prepare(conditions, scales)
        added = self.control(sample, timestep, seen) if self.guider == "control" else {}
        frames = sample.shape[2]
        guide, *guides = [clip.expand(-1, -1, frames, -1, -1) for clip in seen.guides] or [self.no_guide(sample)]
        inside = tuple(clip.transpose(1, 2).flatten(0, 1) for clip in guides)
        attended = AttentionInputs(
            seen.branches, seen.scales, seen.reference, inside, audio=seen.audio, regions=seen.regions
        )
        stacked = torch.cat((sample, *seen.beside, guide), 1)
        return self.unet(stacked, timestep, encoder_hidden_states=attended, **added).sample

    def prepare(self, conditions: Conditions, scales: Scales | None = None) -> PreparedConditions:
        """What of the denoiser's work is the same at every step: keys and values of all tokens, features of maps.

        A branch of scale 0 is not computed.
        """
        factors = asdict(scales or Scales())
        tokens = {}
        if conditions.identity is not None:
            tokens["identity"] = conditions.identity
        if conditions.speech is not None:
            tokens["speech"] = self.speech_tokens(conditions.speech.flatten(0, 1))
        if conditions.structure is not None:
            tokens["structure"] = self.structure_tokens(conditions.structure.flatten(0, 1))
        if conditions.text is not None:
            tokens["text"] = self.text_tokens(conditions.text)
        text, maps = tokens.get("text"), conditions.map
        tokens = {branch: given for branch, given in tokens.items() if factors[branch] != 0}
        audio, branches, reference = {}, {}, {}
        if self.config.audio_modules and "speech" in tokens:
            heard, modules = tokens.pop("speech"), self.unet.modules()
            audio = {one.layer: one.keys_values(heard) for one in modules if isinstance(one, AudioModule)}
        for name, block in spatial_blocks(self.unet):
            branches[name] = block.attn2.processor.project(block.attn2, tokens)
            if name in conditions.reference:
                reference[name] = block.attn1.processor.project(block.attn1, conditions.reference[name])
        beside = tuple(part for part in (conditions.warped, conditions.mask) if part is not None)
        if self.guider == "control":
            return PreparedConditions(beside, (), branches, reference, factors, maps, text)
        guides = () if maps is None or self.guider == "none" else tuple(self.guides(maps))
        return PreparedConditions(beside, guides, branches, reference, factors, audio=audio, regions=conditions.regions)

    def control(self, sample: Tensor, timestep: Tensor, seen: PreparedConditions) -> dict[str, Tensor | list[Tensor]]:
        """What a ControlNet adds to the denoiser's skip connections and middle; nothing without maps, or where the
        scale of the structure is 0."""
        scale = seen.scales["structure"]
        if seen.maps is None or seen.text is None or scale == 0:
            return {}
        count = sample.shape[2]
        frames, drawn = sample.transpose(1, 2).flatten(0, 1), seen.maps.expand(-1, count, -1, -1, -1).flatten(0, 1)
        timesteps = timestep.expand(len(sample)).repeat_interleave(count)
        text = seen.text.repeat_interleave(count, 0)
        down, middle = self.structure_encoder(frames, timesteps, text, drawn, scale, return_dict=False)
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def guides(self, maps: Tensor) -> list[Tensor]:
        """Features (B, G, F or 1, h, w) of the drawn maps (B, F or 1, M, m, n), one or several."""
        given = maps.to(self.unet.dtype) / 255 if maps.dtype == torch.uint8 else maps
        found = self.structure_encoder(given.flatten(0, 1))
        return [
            features.unflatten(0, maps.shape[:2]).transpose(1, 2)
            for features in (found if isinstance(found, list) else [found])
        ]

    def no_guide(self, sample: Tensor) -> Tensor:
        batch, _, frames, height, width = sample.shape
        return sample.new_zeros(batch, self.guide_channels, frames, height, width)


def structure_encoder(config: PortraitTalkConfig, channels: int) -> nn.Module:
    """What reads the drawn maps (N, M, m, n): -> features (N, channels, h, w), or of a pose guider a list of five.
    A ControlNet reads the noisy latents and the text as well."""
    structure, net = config.structure, config.animate_net
    if structure.guider == "none":
        return nn.Identity()
    if structure.guider == "control":
        levels = len(net.block_out_channels)
        return ControlNetModel(
            in_channels=config.autoencoder.latent_channels,
            conditioning_channels=structure.map_channels,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            block_out_channels=net.block_out_channels,
            layers_per_block=net.layers_per_block,
            norm_num_groups=net.norm_num_groups,
            cross_attention_dim=net.text_dim,
            attention_head_dim=net.attention_head_dim,
            conditioning_embedding_out_channels=structure.locator_widths,
        )
    if structure.guider == "pose":
        return PoseGuider(channels)
    if structure.guider == "locator":
        return ControlNetConditioningEmbedding(channels, structure.map_channels, structure.locator_widths)
    return StructureEncoder(structure, config.latent_size, channels)


def add_guides(unet: UNetMotionModel) -> None:
    """Has ``AttentionInputs.guides`` added to what leaves the down blocks of a denoiser with four, skips left alone.

    The last down block has no attention and is told nothing of them: its features join before the middle block.
    """

    def add_to(place: int) -> Callable[..., Any]:
        def hook(block, inputs, named, outputs) -> Any:  # type: ignore[no-untyped-def]  # torch's hooks
            guides = named["encoder_hidden_states"].guides
            return (outputs[0] + guides[place], *outputs[1:]) if guides else outputs

        return hook

    def before_middle(block, inputs, named):  # type: ignore[no-untyped-def]  # torch's hooks
        guides = named["encoder_hidden_states"].guides
        return ((inputs[0] + guides[-1], *inputs[1:]), named) if guides else None

    for place, block in enumerate(unet.down_blocks[:-1]):
        block.register_forward_hook(add_to(place), with_kwargs=True)
    unet.mid_block.register_forward_pre_hook(before_middle, with_kwargs=True)
