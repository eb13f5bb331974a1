"""The stages of a run on the meta device, to find what their tensors would hold."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..config import PortraitTalkConfig
from ..models.animate_net import Conditions
from ..models.reference_net import reference_features
from ..sampling.conditioning import cached_conditions, unconditional
from ..speech.whisper import MEL_BANDS, RATE, SECONDS
from ..types import SamplingSettings
from .ledger import Ledger

WARPED_CHANNELS = 8  # of a window's structure, in single precision: warped portrait, borrowed pixels, mask, map
MAKING_CHANNELS = 20  # the same while it is made; measured


@torch.no_grad()
def reference_stages(
    networks: dict[str, Any],
    config: PortraitTalkConfig,
    frames: int,
    settings: SamplingSettings,
    dtype: torch.dtype,
    references: int,
) -> dict[str, int]:
    """Peak bytes of tensors by stage, for a model with reference attention: the functions of a run, for one window and
    one chunk."""
    net, autoencoder, stages = networks["animate_net"], networks["autoencoder"], {}
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*networks.values()) as ledger:
        crops = torch.empty(references, 3, size, size)
        latents = autoencoder.encode(crops.to(dtype))
        seen = networks["image_net"](crops.to(dtype)) if "image_net" in networks else None
        reference = reference_features(networks["reference_net"], latents, seen)
        del crops, seen
        stages["reference"] = ledger.turn()
        if "speech_encoder" in networks:
            networks["speech_encoder"](torch.empty(1, MEL_BANDS, 2 * SECONDS * RATE, dtype=dtype))
            stages["speech"] = ledger.turn()
        whole = _conditions(config, frames, dtype)
        conditions = replace(whole, reference=reference)
        del whole
        sample = torch.empty(1, *latents.shape[1:2], frames, *latents.shape[2:])
        total = torch.zeros_like(sample)
        seen = cached_conditions(net, conditions, settings.scales)
        guided = settings.guidance_scale != 1
        uncond = cached_conditions(net, unconditional(net, conditions), settings.scales) if guided else seen
        numbers = torch.arange(window, device="cpu")
        timestep, found = torch.zeros((), dtype=torch.long), []
        for side in (seen, uncond)[: 1 + guided]:  # what the first has found is held while the second works
            found.append(net(sample[:, :, :window].to(dtype), timestep, side(numbers)))
        stages["denoise"] = ledger.turn()
        del found, seen, uncond, side, total
        ledger.turn()
        decoder = networks.get("fast_decoder", autoencoder) if settings.fast_decode else autoencoder
        decoder.decode(sample[0].transpose(0, 1)[: settings.chunk].to(dtype)).float().clamp(0, 1)
        stages["decode"] = ledger.turn()
    return stages


@torch.no_grad()
def prompt_stages(
    networks: dict[str, Any],
    config: PortraitTalkConfig,
    frames: int,
    settings: SamplingSettings,
    dtype: torch.dtype,
    references: int,
) -> dict[str, int]:
    """As ``reference_stages``, for a model that draws by a prompt from the warped portrait."""
    net, autoencoder, stages = networks["animate_net"], networks["autoencoder"], {}
    assert config.clip is not None
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*networks.values()) as ledger:
        tokens = networks["text_encoder"](torch.zeros(1, config.clip.longest, dtype=torch.long))
        stages["prompt"] = ledger.turn()
        crops = torch.empty(references, 3, size, size)
        autoencoder.encode(crops.to(dtype))
        identity = networks["identity_net"](crops.to(dtype))
        stages["reference"] = ledger.turn()
        making = torch.empty(window, MAKING_CHANNELS, size, size)
        stages["warp"] = ledger.turn()
        del making
        structure = torch.empty(window, WARPED_CHANNELS, size, size)
        drawn = torch.empty(1, window, config.structure.map_channels, *[config.structure.map_size] * 2).to(dtype)
        chunks = structure[:, :3].split(settings.chunk)
        base = torch.cat([autoencoder.encode(part.to(dtype)).float() for part in chunks])
        cond = Conditions(map=drawn, text=tokens, identity=identity[None])
        seen = net.prepare(cond, settings.scales)
        guided = settings.guidance_scale != 1
        uncond = net.prepare(cond, settings.scales) if guided else seen
        sample = base.transpose(0, 1)[None].to(dtype)
        kept = [base]
        for side in (seen, uncond)[: 1 + guided]:
            kept.append(net(sample, torch.zeros((), dtype=torch.long), side))
        stages["denoise"] = ledger.turn()
        del seen, uncond, side, kept
        ledger.turn()
        decoder = networks.get("fast_decoder", autoencoder) if settings.fast_decode else autoencoder
        decoder.decode(base[: settings.chunk].to(dtype)).float().clamp(0, 1)
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
