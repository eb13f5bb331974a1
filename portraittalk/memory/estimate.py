"""Estimate the peak memory of a run with public weights before it starts.

The networks are built and run on torch's meta device, where tensors have shapes but no data, and the bytes of all
tensors are counted. This takes a few seconds, for any network width, size, window and precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from ..config import PortraitTalkConfig
from ..types import SamplingSettings
from ..weights.networks import build_networks, settle
from .ledger import weight_bytes
from .offload import STAGES

MB = 1e6
# Memory outside tensors. GPU: the driver's context and the libraries' kernels and workspaces. CPU: the interpreter with
# torch and diffusers (450 MB), and what finding the face leaves. Measured on the CPU; typical values for the others.
OVERHEAD = {"cuda": 700 * MB, "cpu": 600 * MB, "mps": 500 * MB}
PASTED_COPIES = 4  # full-frame copies of a chunk, in single precision, held while crops are pasted back


@dataclass(frozen=True)
class Estimate:
    """Memory of a run on the computing device, in bytes.

    weights: of all networks. stages: peak of each stage of a run, including the weights on the device during that stage
    and ``outside``. outside: memory outside tensors.
    """

    weights: int
    stages: dict[str, int]
    outside: int

    @property
    def peak(self) -> int:
        return max(self.stages.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in self.stages.items())
        return f"{self.peak / 1e9:.1f} GB at most (peak by stage: {parts}; weights {self.weights / 1e9:.1f})"


MeasureStages = Callable[[dict[str, Any], PortraitTalkConfig, int, SamplingSettings, torch.dtype, int], dict[str, int]]
"""(networks on the meta device, config, frames, settings, dtype, references) -> peak bytes of tensors by stage."""


@lru_cache(maxsize=8)
def estimate(
    measure: MeasureStages,
    config: PortraitTalkConfig,
    frames: int,
    settings: SamplingSettings,
    dtype: torch.dtype = torch.float16,
    device: str = "cuda",
    picture: tuple[int, int] = (0, 0),
    references: int = 1,
    offload: bool = False,
) -> Estimate:
    """Estimate the memory for ``frames`` frames with a model of public weights of this configuration.

    measure: runs the stages of this kind of model on the meta device (``memory.stage_peaks``). device: device type,
    "cuda", "cpu" or "mps". picture: (height, width) of the frames that crops are pasted back into, (0, 0) if the crops
    are the output. references: number of reference pictures. offload: networks are on the device only while they run,
    as with ``Offload``.
    """
    with torch.device("meta"):
        networks = build_networks(config)
        settle(config, networks, "meta", dtype)
    weights = weight_bytes(*networks.values())
    tensors = measure(networks, config, frames, settings, dtype, references)
    tensors["decode"] += PASTED_COPIES * settings.chunk * 3 * picture[0] * picture[1] * torch.float32.itemsize
    outside = int(OVERHEAD.get(device, OVERHEAD["cuda"]))

    def resident(stage: str) -> int:
        names = STAGES.get(stage, STAGES["denoise"])  # warp and decode alternate with denoise for every window
        return weight_bytes(*(networks.get(name) for name in names)) if offload else weights

    return Estimate(weights, {stage: resident(stage) + peak + outside for stage, peak in tensors.items()}, outside)
