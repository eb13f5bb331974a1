"""Decoupled cross-attention: each modality has its own keys and values; the scaled results are summed.

PortraitTalk (arXiv 2412.07754) conditions on text, identity, audio and motion structure in this way. The exact form is
our reading: one query and one output projection per layer, shared by all branches, as IP-Adapter does for two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

BRANCHES = ("text", "identity", "speech", "structure")
FEW_KEYS = 32  # tokens up to which attention is computed by plain products on a CPU


KeysValues = tuple[Tensor, Tensor]  # each (N, heads, L, C)


@dataclass(frozen=True)
class AttentionInputs:
    """Inputs of the attention layers in one forward pass. A layer is keyed by the name of its transformer block.

    branches: keys and values per layer and branch; N is batch times frames, or the batch alone where all frames share
    them. An absent branch adds nothing. scales: factor of each branch's result.
    reference: extra keys and values per layer for its self-attention (N is the batch).
    guides: features (N, C, h, w) from a pose guider, added to the output of each down block.
    audio: per audio module, the keys and values of each region. regions: (N or 1, 3, m, n) in 0..1, their masks.
    """

    branches: dict[str, dict[str, KeysValues]]
    scales: dict[str, float]
    reference: dict[str, KeysValues] = field(default_factory=dict)
    guides: tuple[Tensor, ...] = ()
    audio: dict[str, tuple[KeysValues, ...]] = field(default_factory=dict)
    regions: Tensor | None = None


class DecoupledCrossAttention(nn.Module):
    """Attention processor of the cross-attention layers; takes ``AttentionInputs`` instead of a token tensor.

    block: the layer's name. branches: those it supports; the first uses the layer's own key and value projections.
    gain: factor of the result, including the bias of the output projection.
    """

    def __init__(
        self, block: str, token_dim: int, inner_dim: int, branches: tuple[str, ...] = BRANCHES, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.block, self.gain = block, gain
        added = branches[1:]
        self.to_k = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in added})
        self.to_v = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in added})

    def project(self, attn: Attention, tokens: dict[str, Tensor]) -> dict[str, KeysValues]:
        """Return keys and values of each branch's tokens (N, L, D).

        The projections are this processor's, or those of the layer ``attn`` for the first branch.
        """
        projected = {}
        for branch, embedded in tokens.items():
            to_k, to_v = (self.to_k[branch], self.to_v[branch]) if branch in self.to_k else (attn.to_k, attn.to_v)
            projected[branch] = (_heads(to_k(embedded), attn.heads), _heads(to_v(embedded), attn.heads))
        return projected

    def forward(  # type: ignore[no-untyped-def]  # diffusers calls it
        self, attn, hidden_states: Tensor, encoder_hidden_states: AttentionInputs, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (N, P, C) latent pixels -> (N, P, C)."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        total: Tensor | None = None
        for branch, (key, value) in encoder_hidden_states.branches[self.block].items():
            result = _attended(query, _for_frames(key, query), _for_frames(value, query))
            scale = encoder_hidden_states.scales[branch]
            scaled = result if scale == 1 else scale * result
            total = scaled if total is None else total + scaled
        merged = hidden_states.new_zeros(hidden_states.shape) if total is None else total.transpose(1, 2).flatten(2)
        return attn.to_out[0](merged) if self.gain == 1 else self.gain * attn.to_out[0](merged)


class ReferenceSelfAttention:
    """Processor of a denoiser's self-attention: keys and values are the pixels of the frame and of the reference.

    After "Animate Anyone" (Hu et al. 2024, arXiv 2311.17117, section 3.2): ``AttentionInputs.reference`` holds keys and
    values of the features recorded in the reference network's block of the same name. Without them, a frame attends
    only to itself.
    """

    def __init__(self, block: str) -> None:
        self.block = block

    def project(self, attn: Attention, features: Tensor) -> KeysValues:
        """Return keys and values of reference features (B, P, C), with the projections of the layer ``attn``."""
        return _heads(attn.to_k(features), attn.heads), _heads(attn.to_v(features), attn.heads)

    def __call__(  # type: ignore[no-untyped-def]  # diffusers calls it
        self, attn, hidden_states: Tensor, encoder_hidden_states: AttentionInputs, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (B * F, P, C) -> the same shape; all F frames share the reference."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        key, value = self.project(attn, hidden_states)
        if self.block in encoder_hidden_states.reference:
            reference = [_for_frames(one, query) for one in encoder_hidden_states.reference[self.block]]
            key, value = torch.cat((key, reference[0]), 2), torch.cat((value, reference[1]), 2)
        result = F.scaled_dot_product_attention(query, key, value)
        return attn.to_out[0](result.transpose(1, 2).flatten(2))


def project(attn: Attention, tokens: Tensor) -> KeysValues:
    """Return keys and values of tokens (N, L, D), with the projections of the layer ``attn``."""
    return _heads(attn.to_k(tokens), attn.heads), _heads(attn.to_v(tokens), attn.heads)


def attend(attn: Attention, hidden: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the output of the layer ``attn`` for pixels (N, P, C) attending to keys and values."""
    query = _heads(attn.to_q(hidden), attn.heads)
    result = F.scaled_dot_product_attention(query, _for_frames(key, query), _for_frames(value, query))
    return attn.to_out[0](result.transpose(1, 2).flatten(2))


def set_reference_attention(unet: nn.Module, processor: type[ReferenceSelfAttention]) -> None:
    """Set the processor on the self-attention of every spatial transformer block of a diffusers UNet.

    diffusers passes ``encoder_hidden_states``, here the ``AttentionInputs``, to a block's first attention only if
    ``only_cross_attention`` is set.
    """
    for name, block in spatial_blocks(unet):
        block.only_cross_attention = True
        block.attn1.set_processor(processor(name))


def spatial_blocks(unet: nn.Module) -> Iterator[tuple[str, BasicTransformerBlock]]:
    """Yield names and modules of the spatial transformer blocks, not of the temporal ones."""
    for name, block in unet.named_modules():
        if isinstance(block, BasicTransformerBlock) and "motion_modules" not in name:
            yield name, block


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the attention of queries (N, heads, P, C) to keys and values (N, heads, L, C): (N, heads, P, C).

    On a CPU, torch's own takes two to four times as long for a few keys.
    """
    if key.shape[2] > FEW_KEYS or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = (key.to(wide) * key.shape[-1] ** -0.5) @ query.to(wide).mT  # (N, heads, L, P): fast along the pixels
    return (value.to(wide).mT @ scores.softmax(-2)).mT.to(query.dtype)


def _heads(values: Tensor, heads: int) -> Tensor:
    """(N, L, heads * C) -> (N, heads, L, C)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def _for_frames(projected: Tensor, query: Tensor) -> Tensor:
    """Repeat keys or values (N or B, heads, L, C) to the batch of the query, N = B * F frames."""
    frames = len(query) // len(projected)
    return projected if frames == 1 else projected[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
