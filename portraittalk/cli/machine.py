"""Device, precision, memory and speed options of the command line."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..memory.free import free_memory
from ..memory.offload import Offload, speed_up
from ..pipelines.load import AnyPipeline, load_model, pipeline_class
from ..types import SamplingSettings
from .terminal import choose_device, messages

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ACCURACY = 0.8  # a run may need as little as this share of the estimate


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

        First prints the estimated memory for ``frames`` frames, and refuses what cannot fit. picture: (height, width)
        of the frames, (0, 0) for crops. references: number of reference pictures. Raises SettingsError for too
        little memory, and for options that have no effect on this model.
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
            messages.print(f"Memory: about {need}", highlight=False)
            self.check_memory(need.peak, device)
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

    def check_memory(self, need: float, device: torch.device) -> None:
        """Warn if less than ``need`` bytes are free. Raises SettingsError if the run cannot fit.

        Estimates are right within a fifth, so a run is refused only if less than four fifths of it are free.
        """
        free = free_memory(device)
        if free is None or need <= free:
            return
        advice = "a smaller picture (--max-size)" if self.low_memory else "--low-memory or --precision fp16"
        where = "here" if device.type == "cpu" else f"on {device}"
        if ACCURACY * need > free:
            raise SettingsError(
                f"The run needs about {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free {where}: close "
                f"other programs, or try {advice}."
            )
        messages.print(
            f"The run needs about {need / 1e9:.1f} GB of memory, and only {free / 1e9:.1f} GB are free {where}, which "
            f"may not be enough. Try {advice}.",
            style="yellow",
            highlight=False,
        )
