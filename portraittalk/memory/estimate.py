"""How much memory a run with public weights will need, before it begins.

The networks of the configuration are built and run on torch's meta device, where tensors have shapes and no contents:
what would be held is added up tensor by tensor, in some seconds, for any width, size, window and precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..config import PortraitTalkConfig
from ..types import SamplingSettings
from ..weights.networks import build_networks
from .ledger import weight_bytes
from .offload import STAGES

MB = 1e6
# What is in no tensor. On a GPU: its driver's context and the libraries' kernels and workspaces. On a CPU: the
# interpreter with torch and diffusers. Measured on a CPU; for the others it is what is usual.
OUTSIDE = {"cuda": 700 * MB, "cpu": 400 * MB, "mps": 500 * MB}
PASTED_COPIES = 4  # of a chunk's whole pictures, in single precision, while they are pasted together


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device that computes. weights: of all networks. stages: the peak of each stage of a run, with the
    weights that are there at the time; outside: what no tensor holds, included in them."""

    weights: int
    stages: dict[str, int]
    outside: int

    @property
    def peak(self) -> int:
        return max(self.stages.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in self.stages.items())
        return f"{self.peak / 1e9:.1f} GB at most ({parts}; weights {self.weights / 1e9:.1f})"


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
    """The memory that ``frames`` frames need with a model of public weights of this configuration.

    measure: runs the stages of its kind of model on the meta device (``memory.stages``). picture: (height, width) of
    the frames that are pasted back, (0, 0) where the crops are the frames. references: pictures of the person. offload:
    networks are on the device only while they work, as with ``Offload``. device: its type, "cuda", "cpu" or "mps".
    """
    with torch.device("meta"):
        networks = build_networks(config)
        for module in networks.values():
            module.to(dtype).eval().requires_grad_(False)
    weights = weight_bytes(*networks.values())
    tensors = measure(networks, config, frames, settings, dtype, references)
    tensors["decode"] += PASTED_COPIES * settings.chunk * 3 * picture[0] * picture[1] * torch.float32.itemsize
    outside = int(OUTSIDE.get(device, OUTSIDE["cuda"]))

    def resident(stage: str) -> int:
        working = STAGES.get(stage, STAGES["denoise"])  # warp and decode take turns with denoise, window by window
        return weight_bytes(*(networks.get(name) for name in working)) if offload else weights

    return Estimate(weights, {stage: resident(stage) + held + outside for stage, held in tensors.items()}, outside)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a run may take on the device now; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
