"""ReferenceNet: features of the reference picture for each self-attention block of the denoiser.

An image UNet with the denoiser's architecture runs once over the reference latents, at timestep 0 ("Animate Anyone",
Hu et al. 2024, arXiv 2311.17117, section 3.2). The inputs of its self-attention layers are recorded by block name,
which is the same in diffusers' ``UNet2DConditionModel`` and ``UNetMotionModel``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from ..config import AnimateNetConfig
from .attention import (
    AttentionInputs,
    DecoupledCrossAttention,
    ReferenceSelfAttention,
    set_reference_attention,
    spatial_blocks,
)

BRANCH = "identity"


class ReferenceNet(nn.Module):
    """Reference latents (N, C, h, w) of one person -> features (1, N * P, D) per transformer block.

    With ``reference_token_dim`` 0, as in EchoMimic, the blocks have no cross-attention; otherwise, as in AniPortrait,
    they attend to tokens of that width. The output layers are removed, as the UNet's own output is not used.
    """

    def __init__(self, net: AnimateNetConfig, latent_channels: int) -> None:
        super().__init__()
        levels = len(net.block_out_channels)
        self.unet = UNet2DConditionModel(
            in_channels=latent_channels,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
            block_out_channels=net.block_out_channels,
            layers_per_block=net.layers_per_block,
            norm_num_groups=net.norm_num_groups,
            cross_attention_dim=net.reference_token_dim or net.token_dim,
            attention_head_dim=net.attention_head_dim,
        )
        self.unet.conv_norm_out, self.unet.conv_out = None, nn.Identity()
        for name, block in spatial_blocks(self.unet):
            if net.reference_token_dim:
                cross = DecoupledCrossAttention(name, net.reference_token_dim, block.attn2.inner_dim, (BRANCH,))
                block.attn2.set_processor(cross)
            else:
                block.attn2, block.norm2 = None, None
        set_reference_attention(self.unet, ReferenceSelfAttention)

    def forward(self, latents: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """latents: (N, C, h, w). tokens: (N, L, D) of the pictures, for blocks with cross-attention."""
        cross_tokens = {} if tokens is None else {BRANCH: tokens}
        branches = {
            name: block.attn2.processor.project(block.attn2, cross_tokens)
            for name, block in spatial_blocks(self.unet)
            if block.attn2 is not None
        }
        attention = AttentionInputs(branches, {BRANCH: 1.0})
        timestep = torch.zeros((), dtype=torch.long, device=latents.device)
        with _record_self_attention_inputs(self.unet) as recorded:
            self.unet(latents, timestep, encoder_hidden_states=attention)
        return {name: features.flatten(0, 1)[None] for name, features in recorded.items()}


@torch.no_grad()
def reference_features(net: ReferenceNet, latents: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
    """Return ``Conditions.reference`` for reference latents (N, C, h, w), rounded to half precision.

    EchoMimic's code passes these features on in half precision, whatever precision it computes in; the difference shows
    in the fourth digit.
    """
    return {name: features.half().to(features.dtype) for name, features in net(latents, tokens).items()}


@contextmanager
def _record_self_attention_inputs(unet: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record, while entered, the self-attention input (N, P, C) of every spatial block by the block's name."""
    recorded: dict[str, Tensor] = {}

    def collect(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            recorded[name] = inputs[0]

        return hook

    handles = [block.attn1.register_forward_pre_hook(collect(name)) for name, block in spatial_blocks(unet)]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
