"""Device, precision, memory and speed options of the command line."""

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
    """The options as given by the user.

    device: see ``choose_device``. precision: a key of ``PRECISIONS``, or "auto": half precision on a GPU, single on the
    CPU. low_memory: networks are on the device only while they run. channels_last, compiled: see ``speed_up``.
    """

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
        """Load the model from a file with this configuration and set it up.

        First prints the estimated memory for ``frames`` frames, and a warning if less is free. picture: (height, width)
        of the frames, (0, 0) for crops. references: number of reference pictures. Raises SettingsError for options that
        have no effect on this model.
        """
        device, kind = choose_device(self.device), pipeline_class(config)
        if kind.fixed_precision:
            if self.low_memory or self.channels_last or self.compiled or self.precision != "auto":
                raise SettingsError(
                    f"The model '{config.name}' does not support --low-memory, --channels-last, --compile and "
                    "--precision: remove them."
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
        """Return the data type for a device. Raises SettingsError for an unknown precision."""
        if self.precision == "auto":
            return torch.float32 if device.type == "cpu" else torch.float16
        if self.precision not in PRECISIONS:
            raise SettingsError(f"Unknown precision '{self.precision}'; choose auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[self.precision]

    def print_estimate(self, need: Estimate, device: torch.device) -> None:
        """Print the estimated memory, and a warning if less is free."""
        messages.print(f"Memory: about {need}", highlight=False)
        free = free_memory(device)
        if free is not None and need.peak > free:
            advice = "a smaller picture (--max-size)" if self.low_memory else "--low-memory or --precision fp16"
            messages.print(
                f"Only {free / 1e9:.1f} GB are free on {device}, which may not be enough. Try {advice}.",
                style="yellow",
                highlight=False,
            )
