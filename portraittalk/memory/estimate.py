"""How much memory a run with public weights will need, before it begins.

The networks of the configuration are built and run on torch's meta device, where tensors have shapes and no contents:
what would be held is added up tensor by tensor, in some seconds, for any width, size, window and precision.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..config import PortraitTalkConfig
from ..models.animate_net import Conditions
from ..sampling.clip import reference_features, seen_at, unguided
from ..speech.whisper import MEL_BANDS, RATE, SECONDS
from ..types import SamplingSettings
from ..weights.model import PromptModel, ReferenceModel, build
from .ledger import Ledger, weight_bytes

MB = 1e6
# What is in no tensor. On a GPU: its driver's context and the libraries' kernels and workspaces. On a CPU: the
# interpreter with torch and diffusers. Measured on a CPU; for the others it is what is usual.
OUTSIDE = {"cuda": 700 * MB, "cpu": 400 * MB, "mps": 500 * MB}
STAGES: dict[str, tuple[str, ...]] = {
    "prompt": ("text_encoder",),
    "reference": ("autoencoder", "reference_net", "image_net", "identity_net"),
    "speech": ("speech_encoder", "motion_net"),
    "denoise": ("animate_net", "autoencoder", "fast_decoder", "basis"),
}
"""The networks, by name, that work in each stage of a run, with public weights of any kind."""
STAGES |= {"warp": STAGES["denoise"], "decode": STAGES["denoise"]}  # window by window, they take turns
WARPED_CHANNELS = 8  # of a window's structure, in single precision: the warped portrait, where it is lent, mask, map
MAKING_CHANNELS = 20  # the same while it is made; measured
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


@lru_cache(maxsize=8)
def estimate(
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

    picture: (height, width) of the frames that are pasted back, (0, 0) where the crops are the frames. references:
    pictures of the person. offload: networks are on the device only while they work, as with ``Offload``. device: its
    type, "cuda", "cpu" or "mps". config: of a model of public weights of either kind, with reference attention or
    around an unmodified Stable Diffusion.
    """
    with torch.device("meta"):
        model = build(config)
        for module in model.modules().values():
            module.to(dtype).eval().requires_grad_(False)
    networks = model.modules()
    weights = weight_bytes(*networks.values())
    there = {
        stage: weight_bytes(*(networks.get(name) for name in names)) if offload else weights
        for stage, names in STAGES.items()
    }
    outside = int(OUTSIDE.get(device, OUTSIDE["cuda"]))
    pasted = PASTED_COPIES * settings.chunk * 3 * picture[0] * picture[1] * torch.float32.itemsize
    if isinstance(model, ReferenceModel):
        tensors = _held(model, frames, settings, dtype, references)
    else:
        assert isinstance(model, PromptModel)
        tensors = _held_with_prompt(model, frames, settings, dtype, references)
    tensors["decode"] += pasted
    return Estimate(weights, {stage: there[stage] + held + outside for stage, held in tensors.items()}, outside)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a run may take on the device now; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


@torch.no_grad()
def _held(
    model: ReferenceModel, frames: int, settings: SamplingSettings, dtype: torch.dtype, references: int
) -> dict[str, int]:
    """Bytes of the tensors at the peak of each stage: the very functions of a run, with one window and one chunk."""
    config, stages = model.config, {}
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*model.modules().values()) as ledger:
        crops = torch.empty(references, 3, size, size)
        latents = model.autoencoder.encode(crops.to(dtype))
        seen = None if model.image_net is None else model.image_net(crops.to(dtype))
        reference = reference_features(model.reference_net, latents, seen)
        del crops, seen
        stages["reference"] = ledger.turn()
        if model.speech_encoder is not None:
            model.speech_encoder(torch.empty(1, MEL_BANDS, 2 * SECONDS * RATE, dtype=dtype))
            stages["speech"] = ledger.turn()
        whole = _conditions(config, frames, dtype)
        conditions = replace(whole, reference=reference)
        del whole
        sample = torch.empty(1, *latents.shape[1:2], frames, *latents.shape[2:])
        total = torch.zeros_like(sample)
        seen = seen_at(model.animate_net, conditions, settings.scales)
        guided = settings.guidance_scale != 1
        without = (
            seen_at(model.animate_net, unguided(model.animate_net, conditions), settings.scales) if guided else seen
        )
        numbers = torch.arange(window, device="cpu")
        timestep, found = torch.zeros((), dtype=torch.long), []
        for side in (seen, without)[: 1 + guided]:  # what the first has found is held while the second works
            found.append(model.animate_net(sample[:, :, :window].to(dtype), timestep, side(numbers)))
        stages["denoise"] = ledger.turn()
        del found, seen, without, side, total
        ledger.turn()
        decoder = model.fast_decoder if settings.fast_decode and model.fast_decoder else model.autoencoder
        decoder.decode(sample[0].transpose(0, 1)[: settings.chunk].to(dtype)).float().clamp(0, 1)
        stages["decode"] = ledger.turn()
    return stages


@torch.no_grad()
def _held_with_prompt(
    model: PromptModel, frames: int, settings: SamplingSettings, dtype: torch.dtype, references: int
) -> dict[str, int]:
    """As ``_held``, for a model that draws by a prompt from the warped portrait."""
    config, net, stages = model.config, model.animate_net, {}
    assert config.clip is not None
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*model.modules().values()) as ledger:
        tokens = model.text_encoder(torch.zeros(1, config.clip.longest, dtype=torch.long))
        stages["prompt"] = ledger.turn()
        crops = torch.empty(references, 3, size, size)
        model.autoencoder.encode(crops.to(dtype))
        identity = model.identity_net(crops.to(dtype))
        stages["reference"] = ledger.turn()
        making = torch.empty(window, MAKING_CHANNELS, size, size)
        stages["warp"] = ledger.turn()
        del making
        structure = torch.empty(window, WARPED_CHANNELS, size, size)
        drawn = torch.empty(1, window, config.structure.map_channels, *[config.structure.map_size] * 2).to(dtype)
        chunks = structure[:, :3].split(settings.chunk)
        base = torch.cat([model.autoencoder.encode(part.to(dtype)).float() for part in chunks])
        told = Conditions(map=drawn, text=tokens, identity=identity[None])
        seen = net.prepare(told, settings.scales)
        guided = settings.guidance_scale != 1
        without = net.prepare(told, settings.scales) if guided else seen
        sample = base.transpose(0, 1)[None].to(dtype)
        kept = [base]
        for side in (seen, without)[: 1 + guided]:
            kept.append(net(sample, torch.zeros((), dtype=torch.long), side))
        stages["denoise"] = ledger.turn()
        del seen, without, side, kept
        ledger.turn()
        fast = model.fast_decoder if settings.fast_decode else None
        (fast or model.autoencoder).decode(base[: settings.chunk].to(dtype)).float().clamp(0, 1)
        stages["decode"] = ledger.turn()
    return stages


def _conditions(config: PortraitTalkConfig, frames: int, dtype: torch.dtype) -> Conditions:
    """What a run is generated from, but for the reference."""
    structure, net, speech = config.structure, config.animate_net, config.speech
    drawn = 1 if structure.guider == "locator" else frames

    def given(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    return Conditions(
        map=given(1, drawn, structure.map_channels, config.crop_size, config.crop_size).to(
            dtype if drawn == 1 else torch.uint8
        ),
        speech=given(1, frames, speech.tokens, speech.dim) if "speech" in net.branches else None,
        identity=given(1, 1, net.token_dim) if "identity" in net.branches else None,
    )
