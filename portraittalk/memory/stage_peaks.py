"""Run the stages of a model on the meta device to measure the peak memory of their tensors."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..config import PortraitTalkConfig
from ..models.animate_net import Conditions
from ..models.reference_net import reference_features
from ..sampling.conditioning import guided_conditions
from ..speech.whisper import MEL_BANDS, RATE, SECONDS
from ..types import SamplingSettings
from .ledger import Ledger

# Channels of a window's structure, in single precision: warped portrait, borrowed weights, mask and map.
STRUCTURE_CHANNELS = 8
PROBED = 8  # expressions of a portrait that are read at once
STRUCTURE_PEAK_CHANNELS = 20  # peak while the structure is computed; measured


@torch.no_grad()
def reference_stages(
    networks: dict[str, Any],
    config: PortraitTalkConfig,
    frames: int,
    settings: SamplingSettings,
    dtype: torch.dtype,
    references: int,
) -> dict[str, int]:
    """Return the peak bytes of tensors by stage, for a model with reference attention.

    Calls the functions of a real run, for one window and one chunk.
    """
    net, autoencoder, stages = networks["animate_net"], networks["autoencoder"], {}
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*networks.values()) as ledger:
        crops = torch.empty(references, 3, size, size)
        latents = autoencoder.encode(crops.to(dtype))
        tokens = networks["image_net"](crops.to(dtype)) if "image_net" in networks else None
        reference = reference_features(networks["reference_net"], latents, tokens)
        del crops, tokens
        stages["reference"] = ledger.turn()
        if "speech_encoder" in networks:
            networks["speech_encoder"](torch.empty(1, MEL_BANDS, 2 * SECONDS * RATE, dtype=dtype))
            stages["speech"] = ledger.turn()
        conditions = replace(_conditions(config, frames, dtype), reference=reference)
        sample = torch.empty(1, *latents.shape[1:2], frames, *latents.shape[2:])
        total = torch.zeros_like(sample)
        cond, uncond = guided_conditions(net, conditions, settings.scales, settings.guidance_scale)
        indices = torch.arange(window, device="cpu")
        timestep, predictions = torch.zeros((), dtype=torch.long), []
        for branch in (cond, uncond):  # the first prediction is held while the second is computed
            if branch is not None:
                predictions.append(net(sample[:, :, :window].to(dtype), timestep, branch(indices)))
        stages["denoise"] = ledger.turn()
        del predictions, cond, uncond, branch, total
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
    """Like ``reference_stages``, for a prompt model, which denoises from the warped portrait."""
    net, autoencoder, stages = networks["animate_net"], networks["autoencoder"], {}
    assert config.clip is not None
    size, window = config.crop_size, min(settings.window, frames)
    with torch.device("meta"), Ledger(*networks.values()) as ledger:
        tokens = networks["text_encoder"](torch.zeros(1, config.clip.longest, dtype=torch.long))
        stages["prompt"] = ledger.turn()
        crops = torch.empty(references, 3, size, size)
        identity = networks["identity_net"](crops.to(dtype))
        stages["reference"] = ledger.turn()
        temporary = torch.empty(window, STRUCTURE_PEAK_CHANNELS, size, size)
        stages["warp"] = ledger.turn()
        del temporary
        structure = torch.empty(window, STRUCTURE_CHANNELS, size, size)
        drawn = torch.empty(1, window, config.structure.map_channels, *[config.structure.map_size] * 2).to(dtype)
        chunks = structure[:, :3].split(settings.chunk)
        base = torch.cat([autoencoder.encode(part.to(dtype)).float() for part in chunks])
        conditions = Conditions(map=drawn, text=tokens, identity=identity[None])
        cond = net.prepare(conditions, settings.scales)
        guided = settings.guidance_scale != 1
        uncond = net.prepare(conditions, settings.scales) if guided else cond
        sample = base.transpose(0, 1)[None].to(dtype)
        predictions = []
        for branch in (cond, uncond)[: 1 + guided]:
            predictions.append(net(sample, torch.zeros((), dtype=torch.long), branch))
        stages["denoise"] = ledger.turn()
        del cond, uncond, branch, predictions
        ledger.turn()
        decoder = networks.get("fast_decoder", autoencoder) if settings.fast_decode else autoencoder
        decoder.decode(base[: settings.chunk].to(dtype)).float().clamp(0, 1)
        stages["decode"] = ledger.turn()
    return stages


@torch.no_grad()
def keypoint_stages(
    networks: dict[str, Any],
    config: PortraitTalkConfig,
    frames: int,
    settings: SamplingSettings,
    dtype: torch.dtype,
    references: int,
) -> dict[str, int]:
    """Like ``reference_stages``, for a model that draws from keypoints: the identity, and one chunk of frames."""
    assert config.liveportrait is not None
    net, stages = config.liveportrait, {}
    side, size, count = net.input_size, config.crop_size, min(settings.chunk, frames)
    with torch.device("meta"), Ledger(*networks.values()) as ledger:
        crops = torch.empty(references, 3, size, size)
        small = torch.empty(1, 3, side, side)
        volume = networks["appearance"](small.to(dtype))
        networks["motion_extractor"](torch.empty(PROBED, 3, side, side))
        stages["reference"] = ledger.turn()
        del crops, small
        source, driving = (torch.empty(number, net.keypoints, 3) for number in (1, count))
        features = networks["warping"](volume, source, driving, networks["warping"].compressed(volume))
        stages["denoise"] = ledger.turn()
        networks["generator"](features).float()
        stages["decode"] = ledger.turn()
    return stages


def _conditions(config: PortraitTalkConfig, frames: int, dtype: torch.dtype) -> Conditions:
    """Return empty conditions of a whole clip, without the reference."""
    structure, net, speech = config.structure, config.animate_net, config.speech
    maps = 1 if structure.guider == "locator" else frames  # a face locator's map is the same for all frames

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    return Conditions(
        map=empty(1, maps, structure.map_channels, config.crop_size, config.crop_size).to(
            dtype if maps == 1 else torch.uint8
        ),
        speech=empty(1, frames, speech.tokens, speech.dim) if "speech" in net.branches else None,
        identity=empty(1, 1, net.token_dim) if "identity" in net.branches else None,
    )
