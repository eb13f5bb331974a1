"""AnimateNet: the denoising video UNet, with decoupled cross-attention to text, identity, speech and structure.

The backbone is diffusers' ``UNetMotionModel``: the spatial blocks of Stable Diffusion, each with temporal attention.
``mini`` takes the geometry twice: as channels concatenated to the noisy latents (latents of the warped reference, the
mask of what may change, features of the drawn landmarks), and as tokens. Models of Stable Diffusion 1.5 size that are
filled from public weights take it once, as features of a drawn map. These are added after the first convolution in
models with reference attention, and enter through a ControlNet in models whose backbone is an unmodified Stable
Diffusion with text and identity tokens. Without motion modules the network is Stable Diffusion's image UNet, with which
IdentityNet edits pictures. The configuration selects the variant; all share one forward pass.
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
    """Conditioning of a batch of B windows of F frames. A model uses the inputs that its configuration names.

    warped: (B, C, F, h, w) latents of the warped reference. mask: (B, 1, F, h, w) in 0..1, what may change.
    map: (B, F, M, m, n) drawn landmarks, or (B, 1, M, m, n) shared by all frames, in 0..1 or as bytes; None gives zero
    features.
    identity: (B, L, D) identity tokens. speech: (B, F, W, M) speech features, or (B, 1, W, M) shared by all frames.
    structure: (B, F, K) coefficients.
    text: (B, L, Dt) text tokens. reference: (B, P, C) features per transformer block, from ``ReferenceNet``. regions:
    (B * F or 1, 3, m, n) masks in 0..1 of the surroundings, the face and the lips. None or empty inputs add nothing.
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
    """``Conditions`` projected to keys, values and features by ``AnimateNet.prepare``; they hold for all timesteps.

    beside: (B, C, F, h, w) inputs concatenated to the noisy latents. guides: one or several features (B, G, F or 1, h,
    w) of the drawn maps; empty without a map. branches, reference, scales, audio, regions: as in ``AttentionInputs``.
    maps (B, F or 1, M, m, n) and text (B, L, D): inputs of a ControlNet, which runs at every step.
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
        """Select frames of a clip (B = 1) by index; inputs shared by all frames are kept."""

        def rows(pair: KeysValues) -> KeysValues:
            return pair if len(pair[0]) == 1 else (pair[0][frames], pair[1][frames])

        def columns(clips: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(clip if clip.shape[2] == 1 else clip[:, :, frames] for clip in clips)

        branches = {name: {key: rows(pair) for key, pair in layer.items()} for name, layer in self.branches.items()}
        audio = {name: tuple(rows(pair) for pair in pairs) for name, pairs in self.audio.items()}
        return replace(self, beside=columns(self.beside), guides=columns(self.guides), audio=audio, branches=branches)

    def joined(self, other: "PreparedConditions") -> "PreparedConditions":
        """Merge with other prepared conditions of the same frames."""
        branches = {name: layer | other.branches[name] for name, layer in self.branches.items()}
        return replace(
            self,
            beside=self.beside + other.beside,
            guides=self.guides or other.guides,
            branches=branches,
            reference=self.reference | other.reference,
            audio=self.audio | other.audio,
        )


class PerFrameGroupNorm(nn.GroupNorm):
    """GroupNorm over clips (B, C, F, h, w) with separate statistics for each frame."""

    def forward(self, clip: Tensor) -> Tensor:
        batch = len(clip)
        return super().forward(clip.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)


class GuidedConv(nn.Conv2d):
    """A convolution of the first C channels of (N, C + G, h, w); the G others are features added to its output."""

    def forward(self, stacked: Tensor) -> Tensor:
        return super().forward(stacked[:, : self.in_channels]) + stacked[:, self.in_channels :]


class NoMotionModule(nn.Module):
    """Identity in place of a motion module."""

    def forward(self, frames: Tensor, *args: object, **kwargs: object) -> Tensor:
        return frames


class AnimateNet(nn.Module):
    """The denoiser: predicts velocity or noise, as ``config.animate_net.prediction`` says.

    With ``config.animate_net.residual`` the latents are the difference between those of the target and of the warped
    reference, times ``residual_scale``; otherwise they are those of the target.
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
                module.motion_modules = nn.ModuleList(NoMotionModule() for _ in module.motion_modules)
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
            speech = config.speech
            add_audio_modules(self.unet, net.token_dim, net.attention_head_dim, net.norm_num_groups)
            self.speech_tokens: nn.Module = SpeechProjection(speech.steps * speech.dim, speech.tokens, net.token_dim)
        elif "speech" in net.branches:
            from_mel = config.speech.encoder == "mel"
            self.speech_tokens = SpeechTokens(config.speech, net.token_dim) if from_mel else nn.Identity()
        if "text" in net.branches:
            project = net.text_dim != net.token_dim
            self.text_tokens = nn.Linear(net.text_dim, net.token_dim) if project else nn.Identity()

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions | PreparedConditions,
        scales: Scales | None = None,
    ) -> Tensor:
        """Return the predicted velocity or noise (B, C, F, h, w).

        sample: (B, C, F, h, w) noisy latents. timestep: () or (B,). Conditions that several steps share should be
        prepared once with ``prepare``; the scales given there then apply, and ``scales`` is ignored.
        """
        prepared = conditions if isinstance(conditions, PreparedConditions) else self.prepare(conditions, scales)
        residuals = self.control(sample, timestep, prepared) if self.guider == "control" else {}
        frames = sample.shape[2]
        guide, *guides = [clip.expand(-1, -1, frames, -1, -1) for clip in prepared.guides] or [self.no_guide(sample)]
        block_guides = tuple(clip.transpose(1, 2).flatten(0, 1) for clip in guides)
        attention = AttentionInputs(
            prepared.branches,
            prepared.scales,
            prepared.reference,
            block_guides,
            audio=prepared.audio,
            regions=prepared.regions,
        )
        stacked = torch.cat((sample, *prepared.beside, guide), 1)
        return self.unet(stacked, timestep, encoder_hidden_states=attention, **residuals).sample

    def prepare(self, conditions: Conditions, scales: Scales | None = None) -> PreparedConditions:
        """Precompute everything that does not depend on the timestep: keys and values of all tokens, map features.

        Branches with scale 0 are skipped.
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
        tokens = {branch: embedded for branch, embedded in tokens.items() if factors[branch] != 0}
        audio, branches, reference = {}, {}, {}
        if self.config.audio_modules and "speech" in tokens:
            speech, modules = tokens.pop("speech"), self.unet.modules()
            audio = {one.layer: one.keys_values(speech) for one in modules if isinstance(one, AudioModule)}
        for name, block in spatial_blocks(self.unet):
            branches[name] = block.attn2.processor.project(block.attn2, tokens)
            if name in conditions.reference:
                reference[name] = block.attn1.processor.project(block.attn1, conditions.reference[name])
        beside = tuple(part for part in (conditions.warped, conditions.mask) if part is not None)
        if self.guider == "control":
            return PreparedConditions(beside, (), branches, reference, factors, maps, text)
        guides = () if maps is None or self.guider == "none" else tuple(self.guides(maps))
        return PreparedConditions(beside, guides, branches, reference, factors, audio=audio, regions=conditions.regions)

    def control(
        self, sample: Tensor, timestep: Tensor, prepared: PreparedConditions
    ) -> dict[str, Tensor | list[Tensor]]:
        """Return the ControlNet's residuals for the denoiser's skip connections and middle block.

        They are empty without maps or text, or where the structure scale is 0.
        """
        scale = prepared.scales["structure"]
        if prepared.maps is None or prepared.text is None or scale == 0:
            return {}
        count = sample.shape[2]
        frames, maps = sample.transpose(1, 2).flatten(0, 1), prepared.maps.expand(-1, count, -1, -1, -1).flatten(0, 1)
        timesteps = timestep.expand(len(sample)).repeat_interleave(count)
        text = prepared.text.repeat_interleave(count, 0)
        down, middle = self.structure_encoder(frames, timesteps, text, maps, scale, return_dict=False)
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def guides(self, maps: Tensor) -> list[Tensor]:
        """Return one or several features (B, G, F or 1, h, w) of the drawn maps (B, F or 1, M, m, n)."""
        unit_maps = maps.to(self.unet.dtype) / 255 if maps.dtype == torch.uint8 else maps
        encoded = self.structure_encoder(unit_maps.flatten(0, 1))
        return [
            features.unflatten(0, maps.shape[:2]).transpose(1, 2)
            for features in (encoded if isinstance(encoded, list) else [encoded])
        ]

    def no_guide(self, sample: Tensor) -> Tensor:
        batch, _, frames, height, width = sample.shape
        return sample.new_zeros(batch, self.guide_channels, frames, height, width)


def structure_encoder(config: PortraitTalkConfig, channels: int) -> nn.Module:
    """Build the encoder of the drawn maps: (N, M, m, n) -> features (N, channels, h, w).

    A pose guider gives a list of five features. A ControlNet takes the noisy latents and the text as well.
    """
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
    """Register hooks that add ``AttentionInputs.guides`` to the outputs of the four down blocks, not to their skips.

    The last down block has no attention, so it does not receive ``AttentionInputs``: its guide is added to the input of
    the middle block.
    """

    def add_to(place: int) -> Callable[..., Any]:
        def hook(block, inputs, kwargs, outputs) -> Any:  # type: ignore[no-untyped-def]  # torch's hooks
            guides = kwargs["encoder_hidden_states"].guides
            return (outputs[0] + guides[place], *outputs[1:]) if guides else outputs

        return hook

    def before_middle(block, inputs, kwargs):  # type: ignore[no-untyped-def]  # torch's hooks
        guides = kwargs["encoder_hidden_states"].guides
        return ((inputs[0] + guides[-1], *inputs[1:]), kwargs) if guides else None

    for place, block in enumerate(unet.down_blocks[:-1]):
        block.register_forward_hook(add_to(place), with_kwargs=True)
    unet.mid_block.register_forward_pre_hook(before_middle, with_kwargs=True)
