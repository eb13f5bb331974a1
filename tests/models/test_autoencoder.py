from dataclasses import replace

import torch
from diffusers import AutoencoderKL

from portraittalk.config import SD15, SMALL
from portraittalk.models.autoencoder import Autoencoder

TINY = replace(SMALL.autoencoder, block_out_channels=(16, 16, 16), latent_channels=6)


@torch.no_grad()
def test_shapes_and_scaling():
    torch.manual_seed(0)
    plain = Autoencoder(replace(TINY, scaling_factor=1.0)).eval()
    scaled = Autoencoder(replace(TINY, scaling_factor=0.5)).eval()
    scaled.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    latents = plain.encode(images)
    assert latents.shape == (2, 6, 64 // TINY.factor, 64 // TINY.factor)
    assert torch.allclose(scaled.encode(images), latents * 0.5)
    assert torch.allclose(scaled.decode(latents * 0.5), plain.decode(latents), atol=1e-5)
    assert plain.decode(latents).shape == images.shape


def test_with_patches_of_one_pixel_it_is_stable_diffusions_autoencoder():
    with torch.device("meta"):
        ours = Autoencoder(SD15.autoencoder).kl.state_dict()
        theirs = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        ).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
