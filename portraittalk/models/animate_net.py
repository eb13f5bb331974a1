"""AnimateNet: the denoising video UNet, with decoupled cross-attention to text, identity, speech and structure.

The backbone is diffusers' ``UNetMotionModel``: spatial blocks of Stable Diffusion with temporal attention in every one.
Geometry comes in twice: pixel by pixel beside the noisy latents (the warped reference's latents, the mask of what may
change, features of the drawn landmarks), and as tokens.
"""

from dataclasses import dataclass, fields

import torch
from diffusers import UNetMotionModel
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..types import Movable, Scales
from .attention import BranchTokens, DecoupledCrossAttention
from .structure import SpeechTokens, StructureEncoder, StructureTokens


@dataclass(frozen=True)
class Conditions(Movable):
    """What one window of F frames is generated from, for a batch of B.

    warped: (B, C, F, h, w) latents of the warped reference. mask: (B, 1, F, h, w) in 0..1, what may change.
    map: (B, F, M, m, m) drawn landmarks. identity: (B, L, D) identity tokens. speech: (B, F, W, M) speech features.
    structure: (B, F, K) coefficients. text: (B, L, Dt) text tokens, or None where there is no prompt.
    """

    warped: Tensor
    mask: Tensor
    map: Tensor
    identity: Tensor
    speech: Tensor
    structure: Tensor
    text: Tensor | None = None


class AnimateNet(nn.Module):
    """Predicts the velocity of noisy latents.

    With ``config.animate_net.residual`` the latents are the difference between the target's and the warped reference's,
    times ``residual_scale``; without, the target's own.
    """

    def __init__(self, config: PortraitTalkConfig) -> None:
        super().__init__()
        net, latent = config.animate_net, config.autoencoder.latent_channels
        guide = net.block_out_channels[0] // 2
        levels = len(net.block_out_channels)
        self.unet = UNetMotionModel(
            sample_size=config.latent_size,
            in_channels=2 * latent + 1 + guide,
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
        for name, module in self.unet.named_modules():
            if name.endswith("attn2") and "motion_modules" not in name:
                module.set_processor(DecoupledCrossAttention(net.token_dim, module.inner_dim))
        self.structure_encoder = StructureEncoder(config.structure, config.latent_size, guide)
        self.structure_tokens = StructureTokens(config.structure, net.token_dim)
        self.speech_tokens = SpeechTokens(config.speech, net.token_dim)
        self.text_tokens = nn.Linear(net.text_dim, net.token_dim) if net.text_dim != net.token_dim else nn.Identity()

    def forward(self, sample: Tensor, timestep: Tensor, conditions: Conditions, scales: Scales | None = None) -> Tensor:
        """sample: (B, C, F, h, w) noisy latents; timestep: () or (B,) -> velocity (B, C, F, h, w)."""
        batch, frames = sample.shape[0], sample.shape[2]
        guide = self.structure_encoder(conditions.map.flatten(0, 1)).unflatten(0, (batch, frames)).transpose(1, 2)
        tokens = {
            "identity": conditions.identity.repeat_interleave(frames, 0),
            "speech": self.speech_tokens(conditions.speech.flatten(0, 1)),
            "structure": self.structure_tokens(conditions.structure.flatten(0, 1)),
        }
        if conditions.text is not None:
            tokens["text"] = self.text_tokens(conditions.text).repeat_interleave(frames, 0)
        scales = scales or Scales()
        branches = BranchTokens(tokens, {field.name: getattr(scales, field.name) for field in fields(scales)})
        stacked = torch.cat((sample, conditions.warped, conditions.mask, guide), 1)
        return self.unet(stacked, timestep, encoder_hidden_states=branches).sample
