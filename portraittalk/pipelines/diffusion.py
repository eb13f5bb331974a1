"""What the pipelines of latent diffusion models share: an autoencoder, and AnimateNet as the denoiser."""

from dataclasses import dataclass

from torch import Tensor, nn

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

    def _encode_crops(self, cropped: Tensor) -> tuple[Tensor, Tensor]:
        device = next(self.autoencoder.parameters()).device  # offloaded networks may be on another one
        references = cropped.to(device)
        return references, self.autoencoder.encode(references.to(self.dtype)).float()
