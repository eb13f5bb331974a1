"""What edits pictures, made of networks that another program has loaded: its denoiser, and an IP-Adapter's file."""

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
    """net: Stable Diffusion 1.5's denoiser with an IP-Adapter's attention. resampler: features (N, P, C) of an image
    encoder -> identity tokens (N, T, D)."""

    config: PortraitTalkConfig
    net: AnimateNet
    resampler: IPAdapterPlusImageProjection

    def tokens(self, features: Tensor) -> Tensor:
        """Identity tokens (N * T, D) of an image encoder's features (N, P, C), those of each reference joined. Raises
        WeightsError where the features are another encoder's."""
        wanted = self.resampler.proj_in.in_features
        if features.shape[-1] != wanted:
            raise WeightsError(
                f"The IP-Adapter was trained with an image encoder of {wanted} features, and this one has "
                f"{features.shape[-1]}: load the CLIP vision model that belongs to it (for SD 1.5, CLIP-ViT-H-14)."
            )
        return self.resampler(features.to(self.resampler.proj_in.weight.dtype)).flatten(0, 1)


def assemble_editor(unet: Mapping[str, Tensor], adapter: Mapping[str, Tensor], dtype: torch.dtype) -> Editor:
    """unet: a denoiser's tensors as a single-file checkpoint names them. adapter: those of an IP-Adapter "plus".

    Raises WeightsError that names what does not fit, and where the denoiser predicts velocity.
    """
    whole = LAYOUTS["identity"]
    sources = tuple(s for s in whole.sources if s.files[0] in PARTS and s.ours.startswith(("animate_net", "identity")))
    layout = Layout(whole.config, sources)
    with torch.device("meta"):
        networks = build_networks(layout.config)
    found = gathered(layout, {"checkpoint": unet, "ip_adapter": adapter}, networks)
    net, resampler = networks["animate_net"], networks["identity_net"].get_submodule("resampler")
    assert isinstance(net, AnimateNet) and isinstance(resampler, IPAdapterPlusImageProjection)
    fill(net, found["animate_net"], "MODEL")
    own = {key.removeprefix("resampler."): value for key, value in found["identity_net"].items()}
    fill(resampler, own, "ip_adapter")
    for module in (net, resampler):
        module.to(dtype=dtype).eval().requires_grad_(False)
    return Editor(layout.config, net, resampler)
