"""Decoupled cross-attention: each modality has keys and values of its own; their results are added, each with a scale.

PortraitTalk (arXiv 2412.07754) brings text, identity, audio and motion structure in this way; the exact form is our
reading: one query and one output projection a layer, shared by all branches, as IP-Adapter does for two.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

BRANCHES = ("text", "identity", "speech", "structure")
BASE_BRANCH = "text"  # uses the layer's own key and value projections, those of an unmodified Stable Diffusion


@dataclass(frozen=True)
class BranchTokens:
    """What the cross-attention of one forward pass looks at.

    tokens: per branch (N, L, D), where N is batch times frames; a branch that is absent adds nothing.
    scales: per branch, the factor of its result; a branch of scale 0 is not computed.
    """

    tokens: dict[str, Tensor]
    scales: dict[str, float]


class DecoupledCrossAttention(nn.Module):
    """The processor of every cross-attention layer, which takes ``BranchTokens`` in the place of one token tensor."""

    def __init__(self, token_dim: int, inner_dim: int) -> None:
        super().__init__()
        own = [branch for branch in BRANCHES if branch != BASE_BRANCH]
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
            to_k, to_v = (attn.to_k, attn.to_v) if branch == BASE_BRANCH else (self.to_k[branch], self.to_v[branch])
            key, value = _heads(to_k(tokens), attn.heads), _heads(to_v(tokens), attn.heads)
            found = F.scaled_dot_product_attention(query, key, value)
            total = total + scale * found.transpose(1, 2).flatten(2)
        return attn.to_out[0](total)


def _heads(values: Tensor, heads: int) -> Tensor:
    """(N, L, heads * C) -> (N, heads, L, C)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)
