"""Decoupled cross-attention: each modality has keys and values of its own; their results are added, each with a scale.

PortraitTalk (arXiv 2412.07754) brings text, identity, audio and motion structure in this way; the exact form is our
reading: one query and one output projection a layer, shared by all branches, as IP-Adapter does for two.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

BRANCHES = ("text", "identity", "speech", "structure")


@dataclass(frozen=True)
class BranchTokens:
    """What the attention layers of one forward pass look at.

    tokens: per branch (N, L, D), where N is batch times frames; a branch that is absent adds nothing.
    scales: per branch, the factor of its result; a branch of scale 0 is not computed.
    reference: per transformer block, by its name, the features (B, P, C) that its self-attention sees as well.
    guides: features (N, C, h, w) that are added to what leaves each down block, where a pose guider makes them.
    """

    tokens: dict[str, Tensor]
    scales: dict[str, float]
    reference: dict[str, Tensor] = field(default_factory=dict)
    guides: tuple[Tensor, ...] = ()


class DecoupledCrossAttention(nn.Module):
    """The processor of every cross-attention layer, which takes ``BranchTokens`` in the place of one token tensor.

    branches: those it knows; the first uses the layer's own key and value projections. gain: the factor of the result,
    the bias of the output projection included.
    """

    def __init__(self, token_dim: int, inner_dim: int, branches: tuple[str, ...] = BRANCHES, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        own = branches[1:]
        self.to_k = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in own})
        self.to_v = nn.ModuleDict({branch: nn.Linear(token_dim, inner_dim, bias=False) for branch in own})

    def forward(  # type: ignore[no-untyped-def]
        self, attn, hidden_states: Tensor, encoder_hidden_states: BranchTokens, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (N, P, C) latent pixels -> (N, P, C)."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        total = hidden_states.new_zeros(hidden_states.shape)
        for branch, tokens in encoder_hidden_states.tokens.items():
            scale = encoder_hidden_states.scales[branch]
            if scale == 0:
                continue
            to_k, to_v = (self.to_k[branch], self.to_v[branch]) if branch in self.to_k else (attn.to_k, attn.to_v)
            key, value = _heads(to_k(tokens), attn.heads), _heads(to_v(tokens), attn.heads)
            found = F.scaled_dot_product_attention(query, key, value)
            total = total + scale * found.transpose(1, 2).flatten(2)
        return attn.to_out[0](total) if self.gain == 1 else self.gain * attn.to_out[0](total)


class ReferenceSelfAttention:
    """The processor of a denoiser's self-attention: keys and values are the frame's own pixels and the reference's.

    After "Animate Anyone" (Hu et al. 2024, arXiv 2311.17117, section 3.2): the reference network's block of the same
    name has left what stands before its own self-attention in ``BranchTokens.reference``. Without, only own pixels.
    """

    def __init__(self, block: str) -> None:
        self.block = block

    def __call__(  # type: ignore[no-untyped-def]
        self, attn, hidden_states: Tensor, encoder_hidden_states: BranchTokens, attention_mask=None, temb=None
    ) -> Tensor:
        """hidden_states: (B * F, P, C) -> the same; the reference (B, P', C) is the same for all F frames."""
        seen = hidden_states
        if self.block in encoder_hidden_states.reference:
            reference = encoder_hidden_states.reference[self.block]
            frames = len(hidden_states) // len(reference)
            seen = torch.cat((hidden_states, reference.repeat_interleave(frames, 0)), 1)
        query = _heads(attn.to_q(hidden_states), attn.heads)
        key, value = _heads(attn.to_k(seen), attn.heads), _heads(attn.to_v(seen), attn.heads)
        found = F.scaled_dot_product_attention(query, key, value)
        return attn.to_out[0](found.transpose(1, 2).flatten(2))


class RecordingSelfAttention(ReferenceSelfAttention):
    """The processor of a reference network's self-attention: leaves what it is given in ``BranchTokens.reference``."""

    def __call__(  # type: ignore[no-untyped-def]
        self, attn, hidden_states: Tensor, encoder_hidden_states: BranchTokens, attention_mask=None, temb=None
    ) -> Tensor:
        attended = super().__call__(attn, hidden_states, encoder_hidden_states)
        encoder_hidden_states.reference[self.block] = hidden_states
        return attended


def set_reference_attention(unet: nn.Module, processor: type[ReferenceSelfAttention]) -> None:
    """Gives the self-attention of every spatial transformer block of a diffusers UNet a processor of its own name.

    diffusers hands ``encoder_hidden_states`` to a block's first attention only where the block is told that this, too,
    attends across: that is how the processor comes by ``BranchTokens``.
    """
    for name, block in unet.named_modules():
        if isinstance(block, BasicTransformerBlock) and "motion_modules" not in name:
            block.only_cross_attention = True
            block.attn1.set_processor(processor(name))


def _heads(values: Tensor, heads: int) -> Tensor:
    """(N, L, heads * C) -> (N, heads, L, C)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)
