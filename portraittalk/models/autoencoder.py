"""The autoencoder between pictures and latents: diffusers' ``AutoencoderKL`` on pixel-unshuffled patches.

Folding 4x4 pixels into channels before the first convolution leaves no layer at full resolution, which makes decoding
affordable on a CPU. With a patch size of 1 this is Stable Diffusion's autoencoder, with the same state dict keys.
"""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from ..config import AutoencoderConfig
from .pixel_shuffle import pixel_shuffle, pixel_unshuffle


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
        """Return the scaled posterior mean (N, C, h, w) of images (N, 3, S, S) in 0..1."""
        return self.posterior(images).mode() * self.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents (N, C, h, w) to images (N, 3, S, S), about 0..1 but not clamped."""
        patches = self.kl.decode(latents / self.config.scaling_factor).sample
        return pixel_shuffle(patches, self.config.patch_size) / 2 + 0.5

    def posterior(self, images: Tensor):  # type: ignore[no-untyped-def]  # diffusers is untyped
        """Return the unscaled posterior distribution, for training."""
        patches = pixel_unshuffle(images * 2 - 1, self.config.patch_size)
        return self.kl.encode(patches).latent_dist


def decoded_difference(autoencoder: Autoencoder, latents: Tensor, base: Tensor) -> Tensor:
    """Return ``decode(latents) - decode(base)`` in single precision, (N, 3, S, S), of latents (N, C, h, w)."""
    made, plain = autoencoder.decode(torch.cat((latents, base))).float().chunk(2)
    return made - plain


class FastDecoder(nn.Module):
    """TAESD (madebyollin/taesd): Stable Diffusion 1.5 latents (N, 4, h, w) -> images (N, 3, 8 h, 8 w) in 0..1.

    It costs a small part of the full decoder, and takes latents as scaled for diffusion.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tiny = AutoencoderTiny()

    def decode(self, latents: Tensor) -> Tensor:
        return (self.tiny.decode(latents, return_dict=False)[0] / 2 + 0.5).clamp(0, 1)
