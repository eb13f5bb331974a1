"""Offloading and speed-ups: options for memory and time that do not change the result."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

Stage = Literal["prompt", "reference", "speech", "denoise"]
STAGES: dict[str, tuple[str, ...]] = {
    "prompt": ("text_encoder",),
    "reference": (
        *("autoencoder", "reference_net", "image_net", "identity_net"),
        *("appearance", "motion_extractor", "basis"),  # LivePortrait's
    ),
    "speech": ("speech_encoder", "motion_net"),
    "denoise": (
        *("animate_net", "autoencoder", "fast_decoder", "basis"),
        *("appearance", "warping", "generator", "retargeting"),
    ),
}
"""Names of the networks that run in each stage; names that a model does not have are ignored."""


class Offload:
    """Keeps networks on the device only while they run, and in main memory otherwise.

    model = dataclasses.replace(model, place=Offload(model.modules(), device))
    """

    def __init__(self, networks: Mapping[str, nn.Module], device: torch.device | str) -> None:
        self._networks, self._device = networks, device

    def __call__(self, stage: Stage) -> None:
        """Move the networks of a stage to the device and all others to the CPU."""
        names = STAGES[stage]
        for name, network in self._networks.items():
            if name not in names:
                network.to("cpu")
        for name in names:
            if name in self._networks:
                self._networks[name].to(self._device)


def speed_up(networks: Mapping[str, nn.Module], channels_last: bool = False, compiled: bool = False) -> None:
    """Set the networks that run for every frame to channels-last memory format, or have them compiled on first use.

    Channels last is the fastest memory format for half-precision convolutions on GPUs with tensor cores. Compilation
    takes a few minutes, and is repeated if the number of frames in a window changes.
    """
    for network in _drawing(dict(networks)):
        if channels_last and not any(isinstance(module, nn.Conv3d) for module in network.modules()):
            network.to(memory_format=torch.channels_last)
        if compiled:
            network.compile()


def _drawing(networks: dict[str, Any]) -> list[Any]:
    """Return the networks, and parts of networks, that run for every frame."""
    if "generator" in networks:
        return [networks["warping"], networks["generator"]]
    fast = networks.get("fast_decoder")
    decoders = [networks["autoencoder"].kl.decoder, *([] if fast is None else [fast.tiny.decoder])]
    return [networks["animate_net"].unet, *decoders]
