"""How the command line runs a model on this machine: where, in which precision, with how much memory, how fast."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..memory.estimate import Estimate, free_memory
from ..memory.offload import Offload, speed_up
from ..pipelines.load import AnyPipeline, load_model, pipeline_class
from ..types import SamplingSettings
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
        picture: tuple[int, int],
        references: int,
    ) -> AnyPipeline:
        """The model in a file of this configuration, set up as the options say.

        Prints first what memory a run over ``frames`` frames will need, and a warning where less is free. picture:
        (height, width) of the frames, (0, 0) for crops. Raises SettingsError for options that have no effect.
        """
        device, kind = choose_device(self.device), pipeline_class(config)
        if kind.own_precision:
            if self.low_memory or self.channels_last or self.compiled or self.precision != "auto":
                raise SettingsError(
                    f"The model '{config.name}' has no use for options of memory, precision and compiling: leave them "
                    "out."
                )
            return load_model(path, device)
        dtype = self.dtype(device)
        need = kind.memory(config, frames, settings, dtype, device.type, picture, references, self.low_memory)
        if need is not None:
            self.print_estimate(need, device)
        pipeline = load_model(path, "cpu" if self.low_memory else device, dtype=dtype)
        speed_up(pipeline.modules(), self.channels_last, self.compiled)
        return replace(pipeline, place=Offload(pipeline.modules(), device)) if self.low_memory else pipeline

    def dtype(self, device: torch.device) -> torch.dtype:
        """Raises SettingsError for a precision that there is not."""
        if self.precision == "auto":
            return torch.float32 if device.type == "cpu" else torch.float16
        if self.precision not in PRECISIONS:
            raise SettingsError(f"There is no precision '{self.precision}'; use auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[self.precision]

    def print_estimate(self, need: Estimate, device: torch.device) -> None:
        """Print what a run will need, and a warning where less is free."""
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
