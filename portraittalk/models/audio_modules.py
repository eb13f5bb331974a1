"""Audio modules: speech conditioning as in Hallo (Xu et al. 2024, arXiv 2406.08801), with its state dict keys.

Each spatial transformer is followed by another one with three cross-attentions to the speech: for the surroundings, the
face and the lips. Each result is masked to its region and passes its own convolution.
"""

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from diffusers import Transformer2DModel, UNetMotionModel
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from .attention import KeysValues, attend, project

REGIONS = ("full", "face", "lip")
FACE_TOKENS = 4


class AudioBlock(nn.Module):
    """A transformer block: self-attention, three masked cross-attentions, and a feed-forward network."""

    def __init__(self, width: int, heads: int, token_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1 = Attention(width, heads=heads, dim_head=width // heads)
        for number, region in enumerate(REGIONS):
            cross = Attention(width, cross_attention_dim=token_dim, heads=heads, dim_head=width // heads)
            self.add_module(f"attn2_{number}", cross)
            self.add_module(f"zero_conv_{region}", nn.Conv2d(width, width, 1))
        self.ff = FeedForward(width, activation_fn="geglu")

    def cross_attentions(self) -> list[tuple[Attention, nn.Conv2d]]:
        """Return the attention and the convolution of each region."""
        attentions = (self.attn2_0, self.attn2_1, self.attn2_2)
        convs = (self.zero_conv_full, self.zero_conv_face, self.zero_conv_lip)
        return list(zip(attentions, convs, strict=True))  # type: ignore[arg-type]  # modules of a list have no type

    def keys_values(self, tokens: Tensor) -> tuple[KeysValues, ...]:
        """Return keys and values of speech tokens (N, L, D) for each region."""
        return tuple(project(attention, tokens) for attention, _ in self.cross_attentions())

    def forward(
        self, hidden: Tensor, speech: tuple[KeysValues, ...], regions: Tensor, strengths: tuple[float, float, float]
    ) -> Tensor:
        """hidden: (N, P, C) pixels -> (N, P, C).

        speech: from ``keys_values``, or empty for silence (zero tokens), which leaves only the biases. regions:
        (N or 1, 3, P) masks in 0..1. strengths: factor of each region.
        """
        hidden = hidden + self.attn1(self.norm1(hidden))
        normed, total = self.norm2(hidden), hidden
        for number, (attention, conv) in enumerate(self.cross_attentions()):
            silence = attention.to_out[0].bias.expand_as(normed)
            result = attend(attention, normed, *speech[number]) if speech else silence
            masked = result * regions[:, number, :, None]
            total = total + strengths[number] * F.linear(masked, conv.weight.flatten(1), conv.bias)
        return total + self.ff(self.norm3(total))


class AudioModule(nn.Module):
    """Features (N, C, h, w) of frames -> the same shape, conditioned on the speech.

    layer: its key in ``AttentionInputs.audio``. width: channels between its projections.
    """

    def __init__(
        self, layer: str, channels: int, width: int, heads: int, token_dim: int, norm_num_groups: int = 32
    ) -> None:
        super().__init__()
        self.layer = layer
        self.norm = nn.GroupNorm(norm_num_groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, width, 1)
        self.transformer_blocks = nn.ModuleList([AudioBlock(width, heads, token_dim)])
        self.proj_out = nn.Conv2d(width, channels, 1)

    def keys_values(self, tokens: Tensor) -> tuple[KeysValues, ...]:
        return self.transformer_blocks[0].keys_values(tokens)  # type: ignore[operator]  # modules of a list have no type

    def forward(
        self,
        features: Tensor,
        speech: tuple[KeysValues, ...],
        regions: Tensor | None = None,
        strengths: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Tensor:
        """regions: (N or 1, 3, m, n) masks in 0..1 of any resolution; None stands for masks of one."""
        height, width = size = features.shape[-2:]
        masks = features.new_ones(1, 3, *size) if regions is None else F.adaptive_avg_pool2d(regions, (height, width))
        hidden = self.proj_in(self.norm(features)).flatten(2).transpose(1, 2)
        hidden = self.transformer_blocks[0](hidden, speech, masks.flatten(2), strengths)
        return features + self.proj_out(hidden.transpose(1, 2).unflatten(2, size))


def add_audio_modules(unet: UNetMotionModel, token_dim: int, heads: int, norm_num_groups: int) -> None:
    """Add an audio module, ``audio``, to every spatial transformer of a denoiser; a hook applies it to the output."""
    for name, attention, width in _spatial_transformers(unet):
        attention.audio = AudioModule(name, attention.in_channels, width, heads, token_dim, norm_num_groups)
        attention.register_forward_hook(_apply_audio_module, with_kwargs=True)


def _spatial_transformers(unet: UNetMotionModel) -> Iterator[tuple[str, Transformer2DModel, int]]:
    """Yield names, spatial transformers and the widths that their audio modules have in Hallo's code.

    In down blocks the width is the number of input channels of the layer, in up blocks that of the block's last skip
    connection: half the width of the transformer where the width changes.
    """
    for name, block in unet.named_modules():
        if not hasattr(block, "motion_modules") or not hasattr(block, "attentions"):
            continue
        for number, attention in enumerate(block.attentions):
            width = attention.in_channels
            if name.startswith("down"):
                width = block.resnets[number].in_channels
            elif name.startswith("up"):
                width = block.resnets[-1].in_channels - attention.in_channels
            yield f"{name}.attentions.{number}", attention, width


def _apply_audio_module(attention, inputs, kwargs, outputs) -> Any:  # type: ignore[no-untyped-def]  # torch's hooks
    module, given = attention.audio, kwargs["encoder_hidden_states"]
    scale = given.scales["speech"]
    features = module(outputs[0], given.audio.get(module.layer, ()), given.regions, (scale, scale, scale))
    return (features, *outputs[1:])


class SpeechProjection(nn.Module):
    """Features of all wav2vec 2.0 layers for a frame and its neighbours (N, W, M) -> tokens (N, T, D)."""

    def __init__(self, features: int, tokens: int, token_dim: int, hidden: int = 512) -> None:
        super().__init__()
        self.proj1, self.proj2 = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        self.proj3, self.norm = nn.Linear(hidden, tokens * token_dim), nn.LayerNorm(token_dim)
        self.tokens = tokens

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.proj2(F.relu(self.proj1(features.flatten(1)))))
        return self.norm(self.proj3(hidden).unflatten(-1, (self.tokens, -1)))


class FaceProjection(nn.Module):
    """Face embedding (N, E) -> tokens (N, T, D), as in IP-Adapter (Ye et al. 2023, arXiv 2308.06721)."""

    def __init__(self, embedding: int, token_dim: int) -> None:
        super().__init__()
        self.proj, self.norm = nn.Linear(embedding, FACE_TOKENS * token_dim), nn.LayerNorm(token_dim)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.norm(self.proj(embedding).unflatten(-1, (FACE_TOKENS, -1)))
