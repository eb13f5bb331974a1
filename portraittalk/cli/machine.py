"""How the command line runs a model on this machine: where, in which precision, with how much memory, how fast."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..memory.estimate import Estimate, estimate, free_memory
from ..memory.offload import Offload, hasten
from ..types import SamplingSettings
from ..weights.load import load_networks
from ..weights.model import Model, PromptModel, ReferenceModel
from .terminal import choose_device, messages

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Machine:
    """The options as the user gave them. device: a name for ``choose_device``. precision: of ``PRECISIONS``, or "auto",
    which is half on a GPU and single elsewhere. low_memory: networks are on the device only while they work."""

    device: str = "auto"
    precision: str = "auto"
    low_memory: bool = False
    channels_last: bool = False
    compiled: bool = False

    def load(
        self,
        path: Path,
        config: PortraitTalkConfig,
        settings: SamplingSettings,
        frames: int,
        frame: tuple[int, int],
        references: int,
    ) -> tuple[Model | ReferenceModel | PromptModel, Callable[..., None]]:
        """The networks of a file with this configuration, and what moves some of them, by name, to where they work.

        Says first what memory a run over ``frames`` frames will need, and warns where less is free. frame: (height,
        width) of the frames, (0, 0) for crops. Raises SettingsError for options that the model has no use for.
        """
        device = choose_device(self.device)
        if not config.animate_net.reference_attention and config.clip is None:
            if self.low_memory or self.channels_last or self.compiled or self.precision != "auto":
                raise SettingsError(
                    f"The model '{config.name}' has no use for options of memory, precision and compiling: leave them "
                    "out."
                )
            return load_networks(path, device), lambda *names: None
        dtype = self.dtype(device)
        self.tell(estimate(config, frames, settings, dtype, device.type, frame, references, self.low_memory), device)
        networks = load_networks(path, "cpu" if self.low_memory else device, dtype=dtype)
        hasten(networks, self.channels_last, self.compiled)
        return networks, Offload(networks, device) if self.low_memory else (lambda *names: None)

    def dtype(self, device: torch.device) -> torch.dtype:
        """Raises SettingsError for a precision that there is not."""
        if self.precision == "auto":
            return torch.float32 if device.type == "cpu" else torch.float16
        if self.precision not in PRECISIONS:
            raise SettingsError(f"There is no precision '{self.precision}'; use auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[self.precision]

    def tell(self, need: Estimate, device: torch.device) -> None:
        """Prints what a run will need, and a warning where less is free."""
        messages.print(f"Memory: about {need}", highlight=False)
        free = free_memory(device)
        if free is not None and need.peak > free:
            helps = (
                "a shorter side of the picture (--max-size)" if self.low_memory else "--low-memory, --precision fp16"
            )
            messages.print(
                f"Only {free / 1e9:.1f} GB are free on {device}: it may not be enough. What helps: {helps}.",
                style="yellow",
                highlight=False,
            )
