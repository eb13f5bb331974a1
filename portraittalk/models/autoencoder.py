"""Pictures to latents and back: diffusers' ``AutoencoderKL`` on folded patches.

Folding 4x4 pixels into channels before the first convolution leaves no layer at full resolution, which is what
makes decoding affordable on a CPU. With a patch of one pixel this is Stable Diffusion's autoencoder, key by key.
"""

import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from ..config import AutoencoderConfig


class Autoencoder(nn.Module):
    """Images (N, 3, S, S) in 0..1 <-> latents (N, C, S / factor, S / factor) of about unit variance."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        blocks = len(config.block_out_channels)
        channels = 3 * config.patch_size**2
        self.kl = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_num_groups,
            mid_block_add_attention=config.mid_attention,
        )

    def encode(self, images: Tensor) -> Tensor:
        """The mean of the posterior, scaled: images (N, 3, S, S) in 0..1 -> latents (N, C, h, w)."""
        return self.posterior(images).mode() * self.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, C, h, w) -> images (N, 3, S, S), about 0..1 but not clamped."""
        patches = self.kl.decode(latents / self.config.scaling_factor).sample
        return F.pixel_shuffle(patches, self.config.patch_size) / 2 + 0.5

    def posterior(self, images: Tensor):  # type: ignore[no-untyped-def]  # of diffusers, whose types are skipped
        """The unscaled posterior distribution, for training."""
        patches = F.pixel_unshuffle(images * 2 - 1, self.config.patch_size)
        return self.kl.encode(patches).latent_dist


class FastDecoder(nn.Module):
    """Latents of Stable Diffusion 1.5 (N, 4, h, w) to images (N, 3, 8 h, 8 w) in 0..1, at a small part of the cost.

    TAESD (madebyollin/taesd), which takes latents in the scale that diffusion has them in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tiny = AutoencoderTiny()

    def decode(self, latents: Tensor) -> Tensor:
        return (self.tiny.decode(latents, return_dict=False)[0] / 2 + 0.5).clamp(0, 1)
