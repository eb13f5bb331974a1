"""Decoupled cross-attention: each modality has keys and values of its own; their results are added, each with a scale.

PortraitTalk (arXiv 2412.07754) brings text, identity, audio and motion structure in this way; the exact form is our
reading: one query and one output projection a layer, shared by all branches, as IP-Adapter does for two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

BRANCHES = ("text", "identity", "speech", "structure")


KeysValues = tuple[Tensor, Tensor]  # each (N, heads, L, C)


@dataclass(frozen=True)
class AttentionInputs:
    """What the attention layers of one forward pass look at. Layers go by the name of their transformer block.

    branches: per layer and branch, keys and values, where N is batch times frames, or the batch alone where all frames
    see the same; a branch that is absent adds nothing. scales: per branch, the factor of its result.
    reference: per layer, keys and values (N the batch) that its self-attention sees as well.
    guides: features (N, C, h, w) that are added to what leaves each down block, where a pose guider makes them.
    audio, regions: for audio modules, by their names, the keys and values of each region; and where these are, (N or 1,
    3, m, n) in 0..1.
    """

    branches: dict[str, dict[str, KeysValues]]
    scales: dict[str, float]
    reference: dict[str, KeysValues] = field(default_factory=dict)
    guides: tuple[Tensor, ...] = ()
    audio: dict[str, tuple[KeysValues, ...]] = field(default_factory=dict)
    regions: Tensor | None = None


class DecoupledCrossAttention(nn.Module):
    """The processor of every cross-attention layer, which takes ``AttentionInputs`` in the place of one token tensor.

    block: the layer's name. branches: those it knows; the first uses the layer's own key and value projections. gain:
    the factor of the result, the bias of the output projection included.
    """

    def __init__(
        self, block: str, token_dim: int, inner_dim: int, branches: tuple[str, ...] = BRANCHES, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.block, self.gain = block, gain
        own = branches[1:]
        self.to_k = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in own})
        self.to_v = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in own})

    def project(self, attn: Attention, tokens: dict[str, Tensor]) -> dict[str, KeysValues]:
        """Keys and values of each branch's tokens (N, L, D), with the projections of the layer ``attn`` or its own."""
        found = {}
        for branch, given in tokens.items():
            to_k, to_v = (self.to_k[branch], self.to_v[branch]) if branch in self.to_k else (attn.to_k, attn.to_v)
            found[branch] = (_heads(to_k(given), attn.heads), _heads(to_v(given), attn.heads))
        return found

    def forward(  # type: ignore[no-untyped-def]  # diffusers calls it
        self, attn, hidden_states: Tensor, encoder_hidden_states: AttentionInputs, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (N, P, C) latent pixels -> (N, P, C)."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        total: Tensor | None = None
        for branch, (key, value) in encoder_hidden_states.branches[self.block].items():
            found = F.scaled_dot_product_attention(query, _for_frames(key, query), _for_frames(value, query))
            scale = encoder_hidden_states.scales[branch]
            scaled = found if scale == 1 else scale * found
            total = scaled if total is None else total + scaled
        merged = hidden_states.new_zeros(hidden_states.shape) if total is None else total.transpose(1, 2).flatten(2)
        return attn.to_out[0](merged) if self.gain == 1 else self.gain * attn.to_out[0](merged)


class ReferenceSelfAttention:
    """The processor of a denoiser's self-attention: keys and values are the frame's own pixels and the reference's.

    After "Animate Anyone" (Hu et al. 2024, arXiv 2311.17117, section 3.2): what the reference network's block of the
    same name has recorded comes as keys and values in ``AttentionInputs.reference``. Without, only own pixels.
    """

    def __init__(self, block: str) -> None:
        self.block = block

    def project(self, attn: Attention, features: Tensor) -> KeysValues:
        """Keys and values of a reference's features (B, P, C), with the projections of the layer ``attn``."""
        return _heads(attn.to_k(features), attn.heads), _heads(attn.to_v(features), attn.heads)

    def __call__(  # type: ignore[no-untyped-def]  # diffusers calls it
        self, attn, hidden_states: Tensor, encoder_hidden_states: AttentionInputs, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (B * F, P, C) -> the same; the reference is the same for all F frames."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        key, value = self.project(attn, hidden_states)
        if self.block in encoder_hidden_states.reference:
            other = [_for_frames(one, query) for one in encoder_hidden_states.reference[self.block]]
            key, value = torch.cat((key, other[0]), 2), torch.cat((value, other[1]), 2)
        found = F.scaled_dot_product_attention(query, key, value)
        return attn.to_out[0](found.transpose(1, 2).flatten(2))


def project(attn: Attention, tokens: Tensor) -> KeysValues:
    """Keys and values of tokens (N, L, D), with the projections of the layer ``attn``."""
    return _heads(attn.to_k(tokens), attn.heads), _heads(attn.to_v(tokens), attn.heads)


def attend(attn: Attention, hidden: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What the layer ``attn`` makes of pixels (N, P, C) that look at keys and values."""
    query = _heads(attn.to_q(hidden), attn.heads)
    found = F.scaled_dot_product_attention(query, _for_frames(key, query), _for_frames(value, query))
    return attn.to_out[0](found.transpose(1, 2).flatten(2))


def set_reference_attention(unet: nn.Module, processor: type[ReferenceSelfAttention]) -> None:
    """Gives the self-attention of every spatial transformer block of a diffusers UNet a processor of its own name.

    diffusers hands ``encoder_hidden_states`` to a block's first attention only where the block is told that this, too,
    attends across: that is how the processor comes by ``AttentionInputs``.
    """
    for name, block in spatial_blocks(unet):
        block.only_cross_attention = True
        block.attn1.set_processor(processor(name))


def spatial_blocks(unet: nn.Module) -> Iterator[tuple[str, BasicTransformerBlock]]:
    """The transformer blocks over the pixels of one frame, and their names; not those over time."""
    for name, block in unet.named_modules():
        if isinstance(block, BasicTransformerBlock) and "motion_modules" not in name:
            yield name, block


def _heads(values: Tensor, heads: int) -> Tensor:
    """(N, L, heads * C) -> (N, heads, L, C)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def _for_frames(given: Tensor, query: Tensor) -> Tensor:
    """Keys or values (N or B, heads, L, C) in as many rows as the query: one for each of N = B * F frames."""
    frames = len(query) // len(given)
    return given if frames == 1 else given[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
