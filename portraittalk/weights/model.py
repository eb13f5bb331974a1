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

    @property
    def device(self) -> torch.device:
        """Where the animation runs: the device of AnimateNet's parameters."""
        return next(self.animate_net.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.animate_net.parameters()).dtype
