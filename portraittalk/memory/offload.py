"""Options that change how fast and in how much memory a model of public weights runs, not what it draws."""

import torch

from ..models.autoencoder import FastDecoder
from ..weights.model import Networks


def hasten(model: Networks, channels_last: bool = False, compiled: bool = False) -> None:
    """Has the networks that run for every frame keep pictures channels last, and be compiled when they run first.

    Channels last is what convolutions of half precision are fastest in on GPUs with tensor cores. Compiling takes some
    minutes, and begins again for another number of frames in a window.
    """
    fast: FastDecoder | None = getattr(model, "fast_decoder", None)
    for network in (model.animate_net.unet, model.autoencoder.kl.decoder, None if fast is None else fast.tiny.decoder):
        if network is not None and channels_last:
            network.to(memory_format=torch.channels_last)
        if network is not None and compiled:
            network.compile()


class Offload:
    """Networks of a model that are on the device only while they work: between, they are in main memory.

    place = Offload(model, device)
    place("autoencoder", "reference_net")
    identity = encode_identity(model, pictures)
    """

    def __init__(self, model: Networks, device: torch.device | str) -> None:
        self._networks, self._device = model.modules(), device

    def __call__(self, *names: str) -> None:
        """Moves these networks, as far as there are such, to the device, and all others away from it."""
        for name, network in self._networks.items():
            if name not in names:
                network.to("cpu")
        for name in names:
            if name in self._networks:
                self._networks[name].to(self._device)
