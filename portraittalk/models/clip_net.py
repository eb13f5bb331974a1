"""CLIP encoders for Stable Diffusion 1.5: prompts become text tokens, reference pictures become identity tokens.

The identity tokens are those of IP-Adapter "plus" (Ye et al. 2023, arXiv 2308.06721): a resampler over all patches of
CLIP's image encoder. It is the IdentityNet of models whose backbone is an unmodified Stable Diffusion.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor, nn

from ..config import ClipConfig
from ..errors import WeightsError

MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's image normalisation: mean and standard deviation
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
RESAMPLER_LAYERS, RESAMPLER_HEAD_DIM = 4, 64  # in every "plus" adapter for Stable Diffusion 1.5


def _clip() -> Any:
    try:
        from transformers.models import clip
    except ImportError as error:
        raise WeightsError(
            "Models based on Stable Diffusion 1.5 need transformers: pip install transformers."
        ) from error
    return clip


class TextEncoder(nn.Module):
    """CLIP's text encoder with its final layer norm: token ids (B, L) -> text tokens (B, L, D)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        built = _clip().CLIPTextModel(
            _clip().CLIPTextConfig(
                vocab_size=config.words,
                hidden_size=config.text_width,
                intermediate_size=4 * config.text_width,
                num_hidden_layers=config.text_layers,
                num_attention_heads=config.text_heads,
                max_position_embeddings=config.longest,
                hidden_act="quick_gelu",
                bos_token_id=config.words - 2,
                eos_token_id=config.words - 1,
            )
        )
        self.clip = getattr(built, "text_model", built)  # transformers before version 5 has a wrapper around it
        _set_position_ids(self.clip, config.longest)

    def forward(self, pieces: Tensor) -> Tensor:
        return self.clip(input_ids=pieces).last_hidden_state


class ClipImageNet(nn.Module):
    """CLIP's image encoder with its projection: references (N, 3, S, S) in 0..1 -> one token each (N, 1, D)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        built = _clip().CLIPVisionModelWithProjection(
            _clip().CLIPVisionConfig(
                image_size=config.image_size,
                patch_size=config.image_patch,
                hidden_size=config.image_width,
                intermediate_size=4 * config.image_width,
                num_hidden_layers=config.image_layers,
                num_attention_heads=config.image_heads,
                projection_dim=config.projection,
                hidden_act="quick_gelu",
            )
        )
        self.encoder, self.projection = built.vision_model, built.visual_projection
        _set_position_ids(self.encoder, (config.image_size // config.image_patch) ** 2 + 1)
        self.image_size = config.image_size

    def forward(self, references: Tensor) -> Tensor:
        pooled = self.encoder(pixel_values=clip_pixels(references, self.image_size)).pooler_output
        return self.projection(pooled)[:, None]


class ClipIdentityNet(nn.Module):
    """References (N, 3, S, S) in 0..1 of one person -> concatenated identity tokens (N * T, D)."""

    def __init__(self, config: ClipConfig, token_dim: int) -> None:
        super().__init__()
        built = _clip().CLIPVisionModel(
            _clip().CLIPVisionConfig(
                image_size=config.image_size,
                patch_size=config.image_patch,
                hidden_size=config.image_width,
                intermediate_size=4 * config.image_width,
                num_hidden_layers=config.image_layers,
                num_attention_heads=config.image_heads,
                hidden_act="gelu",
            )
        )
        self.encoder = getattr(built, "vision_model", built)
        _set_position_ids(self.encoder, (config.image_size // config.image_patch) ** 2 + 1)
        self.resampler = IPAdapterPlusImageProjection(
            config.image_width,
            token_dim,
            config.resampler_width,
            RESAMPLER_LAYERS,
            RESAMPLER_HEAD_DIM,
            config.resampler_heads,
            config.tokens,
        )
        self.image_size = config.image_size

    def forward(self, references: Tensor) -> Tensor:
        return self.tokens(self.features(self.pixels(references))).flatten(0, 1)

    def pixels(self, references: Tensor) -> Tensor:
        return clip_pixels(references, self.image_size)

    def features(self, pixels: Tensor) -> Tensor:
        """Return the input (N, P, C) of the last layer of CLIP's image encoder, for pixels (N, 3, s, s)."""
        return self.encoder(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]

    def tokens(self, features: Tensor) -> Tensor:
        """Features (N, P, C) -> tokens (N, T, D)."""
        return self.resampler(features)

    def uncond_tokens(self) -> Tensor:
        """Return the unconditional tokens (T, D) for guidance: those of all-zero pixels, as in IP-Adapter."""
        example = self.resampler.proj_in.weight
        return self.tokens(self.features(example.new_zeros(1, 3, self.image_size, self.image_size)))[0]


def clip_pixels(pictures: Tensor, size: int) -> Tensor:
    """Resize pictures (N, 3, S, S) in 0..1 to CLIP's input size and normalise them."""
    small = F.interpolate(pictures, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, deviation = (small.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (small - mean) / deviation


def _set_position_ids(clip: Any, count: int) -> None:
    """Materialise the position ids: no checkpoint holds them, and networks are built on the meta device."""
    clip.embeddings.position_ids = torch.arange(count, device="cpu")[None]
