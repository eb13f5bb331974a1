"""The picture editor for weights loaded by another program: a Stable Diffusion 1.5 denoiser and an IP-Adapter."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor

from ..config import PortraitTalkConfig
from ..errors import WeightsError
from ..models.animate_net import AnimateNet
from ..tensor_files import fill
from .layout import Layout
from .layouts import LAYOUTS
from .networks import build_networks
from .public import gathered

PARTS = ("checkpoint", "ip_adapter")


@dataclass(frozen=True)
class Editor:
    """A denoiser and identity encoder for editing portraits.

    net: Stable Diffusion 1.5's denoiser with an IP-Adapter's cross-attention. resampler: features (N, P, C) of an image
    encoder -> identity tokens (N, T, D).
    """

    config: PortraitTalkConfig
    net: AnimateNet
    resampler: IPAdapterPlusImageProjection

    def tokens(self, features: Tensor) -> Tensor:
        """Identity tokens (N * T, D) from an image encoder's features (N, P, C), concatenated over the references.
        Raises WeightsError if the features have the wrong width, as those of another encoder."""
        expected = self.resampler.proj_in.in_features
        if features.shape[-1] != expected:
            raise WeightsError(
                f"The IP-Adapter was trained with an image encoder of {expected} features, but this one has "
                f"{features.shape[-1]}: load the CLIP vision model that belongs to it (for SD 1.5, CLIP-ViT-H-14)."
            )
        return self.resampler(features.to(self.resampler.proj_in.weight.dtype)).flatten(0, 1)


def assemble_editor(unet: Mapping[str, Tensor], adapter: Mapping[str, Tensor], dtype: torch.dtype) -> Editor:
    """Build an ``Editor`` from the tensors of a denoiser and an IP-Adapter.

    unet: keys as in a single-file checkpoint. adapter: tensors of an IP-Adapter "plus".
    Raises WeightsError, with the names of the keys, if they do not fit, and if the denoiser predicts velocity.
    """
    identity = LAYOUTS["identity"]
    sources = tuple(
        s for s in identity.sources if s.files[0] in PARTS and s.ours.startswith(("animate_net", "identity"))
    )
    layout = Layout(identity.config, sources)
    with torch.device("meta"):
        networks = build_networks(layout.config)
    states = gathered(layout, {"checkpoint": unet, "ip_adapter": adapter}, networks)
    net, resampler = networks["animate_net"], networks["identity_net"].get_submodule("resampler")
    assert isinstance(net, AnimateNet) and isinstance(resampler, IPAdapterPlusImageProjection)
    fill(net, states["animate_net"], "MODEL")
    resampler_state = {key.removeprefix("resampler."): value for key, value in states["identity_net"].items()}
    fill(resampler, resampler_state, "ip_adapter")
    for module in (net, resampler):
        module.to(dtype=dtype).eval().requires_grad_(False)
    return Editor(layout.config, net, resampler)
