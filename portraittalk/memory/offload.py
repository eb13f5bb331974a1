"""Where networks are while a model runs, and how fast they run: options that do not change what is drawn."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

Stage = Literal["prompt", "reference", "speech", "denoise"]
STAGES: dict[str, tuple[str, ...]] = {
    "prompt": ("text_encoder",),
    "reference": ("autoencoder", "reference_net", "image_net", "identity_net"),
    "speech": ("speech_encoder", "motion_net"),
    "denoise": ("animate_net", "autoencoder", "fast_decoder", "basis"),
}
"""The networks, by name, that work in each stage of a run; names that a model lacks are ignored."""


class Offload:
    """Keeps networks on the device only while they work, and in main memory between.

    model = dataclasses.replace(model, place=Offload(model.modules(), device))
    """

    def __init__(self, networks: Mapping[str, nn.Module], device: torch.device | str) -> None:
        self._networks, self._device = networks, device

    def __call__(self, stage: Stage) -> None:
        """Move the networks of a stage to the device, and all others away from it."""
        names = STAGES[stage]
        for name, network in self._networks.items():
            if name not in names:
                network.to("cpu")
        for name in names:
            if name in self._networks:
                self._networks[name].to(self._device)


def speed_up(networks: Mapping[str, nn.Module], channels_last: bool = False, compiled: bool = False) -> None:
    """Set up the networks that run for every frame: pictures channels last, compiled when first run.

    Channels last is the layout in which GPUs with tensor cores convolve fastest in half precision. Compiling takes some
    minutes, and again for another number of frames in a window.
    """
    found: dict[str, Any] = dict(networks)
    fast = found.get("fast_decoder")
    running = (found["animate_net"].unet, found["autoencoder"].kl.decoder, None if fast is None else fast.tiny.decoder)
    for network in running:
        if network is not None and channels_last:
            network.to(memory_format=torch.channels_last)
        if network is not None and compiled:
            network.compile()
