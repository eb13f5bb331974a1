"""What the pipelines of latent diffusion models share: an autoencoder, and AnimateNet as the denoiser."""

from dataclasses import dataclass

from torch import nn

from ..models.animate_net import AnimateNet
from ..models.autoencoder import Autoencoder
from .shared import PipelineBase


@dataclass(frozen=True)
class DiffusionPipeline(PipelineBase):
    """A pipeline that denoises the latents of an autoencoder."""

    autoencoder: Autoencoder
    animate_net: AnimateNet

    @property
    def drawing_net(self) -> nn.Module:
        return self.animate_net

    @property
    def encoding_net(self) -> nn.Module:
        return self.autoencoder
