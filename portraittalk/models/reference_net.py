"""ReferenceNet: what the denoiser's self-attention sees of the reference picture, block by block.

An image UNet of the denoiser's own shape runs once over the reference latents, at timestep 0 ("Animate Anyone", Hu et
al. 2024, arXiv 2311.17117, section 3.2). What stands before each self-attention is kept, by the block's name, which is
the same in diffusers' ``UNet2DConditionModel`` and ``UNetMotionModel``.
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
    """Reference latents (N, C, h, w) of one person -> per transformer block features (1, N * P, D).

    With ``reference_token_dim`` 0, as in EchoMimic, the blocks have no cross-attention; otherwise, as in AniPortrait,
    they attend to tokens of that width. Nothing follows the last block: the result of the UNet itself is not used.
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
        """latents: (N, C, h, w). tokens: (N, L, D), of the pictures, where the blocks have a cross-attention."""
        given = {} if tokens is None else {BRANCH: tokens}
        branches = {
            name: block.attn2.processor.project(block.attn2, given)
            for name, block in spatial_blocks(self.unet)
            if block.attn2 is not None
        }
        seen = AttentionInputs(branches, {BRANCH: 1.0})
        timestep = torch.zeros((), dtype=torch.long, device=latents.device)
        with _inputs_of_self_attention(self.unet) as found:
            self.unet(latents, timestep, encoder_hidden_states=seen)
        return {name: features.flatten(0, 1)[None] for name, features in found.items()}


@torch.no_grad()
def reference_features(net: ReferenceNet, latents: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
    """``Conditions.reference`` of reference latents (N, C, h, w), rounded to half precision.

    EchoMimic's code hands the features on in half precision whatever it computes in; it shows in the fourth digit.
    """
    return {name: features.half().to(features.dtype) for name, features in net(latents, tokens).items()}


@contextmanager
def _inputs_of_self_attention(unet: nn.Module) -> Iterator[dict[str, Tensor]]:
    """While entered, collects what enters the self-attention of every spatial block, (N, P, C), by the block's name."""
    found: dict[str, Tensor] = {}

    def collect(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[name] = inputs[0]

        return hook

    handles = [block.attn1.register_forward_pre_hook(collect(name)) for name, block in spatial_blocks(unet)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
