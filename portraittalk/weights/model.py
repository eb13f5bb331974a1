"""The networks of one PortraitTalk, together."""

from dataclasses import dataclass

import torch
from torch import nn

from ..config import PortraitTalkConfig
from ..models.animate_net import AnimateNet
from ..models.autoencoder import Autoencoder
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from ..motion.basis import FaceBasis


@dataclass(frozen=True)
class Model:
    """Everything that ``load_model`` reads from one file, ready to be handed to ``portraittalk.pipeline``."""

    config: PortraitTalkConfig
    autoencoder: Autoencoder
    identity_net: IdentityNet
    animate_net: AnimateNet
    motion_net: MotionNet
    basis: FaceBasis

    def modules(self) -> dict[str, nn.Module]:
        """The networks by name, which is also the prefix of their keys in a weights file."""
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    @property
    def device(self) -> torch.device:
        """Where the animation runs: the device of AnimateNet's parameters."""
        return next(self.animate_net.parameters()).device


def build_model(config: PortraitTalkConfig) -> Model:
    """The networks with the random weights of their initialisation, on torch's default device."""
    return Model(
        config=config,
        autoencoder=Autoencoder(config.autoencoder),
        identity_net=IdentityNet(config.identity_net, config.animate_net.token_dim),
        animate_net=AnimateNet(config),
        motion_net=MotionNet(config),
        basis=FaceBasis(),
    )
