"""Validation of AnimateNet on held-out pairs: a comparison picture and mouth errors."""

from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from ...config import PortraitTalkConfig
from ...models.animate_net import Conditions
from ...models.autoencoder import Autoencoder
from ...pipelines.crop import sample_window
from ...types import SamplingSettings
from ..trainer import Batch, stacked
from .stages import Networks, frame_count, mouth_cells, read_window

SHOWN = 6  # pairs per picture


def validation_windows(pairs: list[Path], frames: int, config: PortraitTalkConfig) -> Batch:
    """Return a fixed window of ``frames`` frames from each of ``SHOWN`` evenly chosen, long enough pair files."""
    long = [path for path in pairs if frame_count(path) >= frames]
    chosen = long[:: max(1, len(long) // SHOWN)][:SHOWN]
    return stacked(read_window(path, frames, 1, {}, config, Generator().manual_seed(0)) for path in chosen)


def conditions_of(networks: Networks, batch: Batch) -> Conditions:
    """Return AnimateNet's conditioning for a batch, with all its references."""
    references = batch["reference"]
    tokens = networks.identity_net.tokens(networks.identity_net.encoder(references.flatten(0, 1)))
    identity = tokens.unflatten(0, references.shape[:2]).flatten(1, 2)
    return Conditions(batch["warped"], batch["mask"], batch["map"], identity, batch["speech"], batch["structure"])


@torch.no_grad()
def comparison(
    networks: Networks, windows: Batch, decoder: Autoencoder, config: PortraitTalkConfig, steps: int = 1
) -> Batch:
    """Compare reference, warp, our result and target of every window's last frame, for which the motion modules have
    context, in rows of a picture.

    ``mouth``, ``mouth_warp``: mean absolute error of our mouths and of the warp's to the target, in 0..1.
    """
    device = next(networks.parameters()).device
    windows = {name: tensor.to(device) for name, tensor in windows.items()}
    decoder = decoder.to(device)
    warped, net = windows["warped"], config.animate_net
    conditions = conditions_of(networks, windows)
    noise = torch.randn(warped.shape, generator=Generator().manual_seed(0)).to(device)
    sampled = sample_window(networks.animate_net, conditions, noise, SamplingSettings(steps=steps))
    ours = warped + sampled / net.residual_scale if net.residual else sampled
    side = (config.crop_size, config.crop_size)
    warp, decoded, target = (
        decoder.decode(latents[:, :, -1].contiguous()).clamp(0, 1) for latents in (warped, ours, windows["target"])
    )
    mouth = interpolate(mouth_cells(windows["map"][:, -1:], config.latent_size)[:, :, 0], side)

    def error(pixels: Tensor) -> Tensor:
        return ((pixels - target).abs() * mouth).sum() / (3 * mouth.sum().clamp_min(1))

    reference = interpolate(windows["reference"][:, 0], side, mode="bilinear", align_corners=False)
    rows = [torch.cat(tuple(row), -1) for row in (reference, warp, decoded, target)]
    return {"reference_warp_ours_target": torch.cat(rows, -2), "mouth": error(decoded), "mouth_warp": error(warp)}
