"""Training of the autoencoder on patches of prepared frames, with mouth and eyes weighted highest."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...config import AutoencoderConfig
from ...models.autoencoder import Autoencoder
from ...tensor_files import load_into
from ..data.clips import (
    EYES,
    LIPS,
    bump,
    choose,
    jitter_colour,
    one_of,
    open_clip,
    random_affine,
    split_speakers,
    uniform,
)
from ..trainer import Batch, Draw, TrainerConfig, fit, stacked

SHOWN = 6  # frames in a validation picture


@dataclass(frozen=True)
class AutoencoderTraining:
    """window: side of the training patches in pixels; the network is convolutional, so it generalises to full crops.

    portraits: fraction of samples from portraits. others: fraction of video samples from rare speakers. mouth, eyes:
    fractions of patches around them. decoder_only: freezes the encoder and trains the decoder as animation uses it, on
    windows of the latents of full crops.
    """

    window: Annotated[int, Gt(0)] = 128
    batch: Annotated[int, Gt(0)] = 16
    portraits: float = 0.5
    others: float = 0.4
    mouth: float = 0.55
    eyes: float = 0.2
    decoder_only: bool = False
    kl_weight: float = 1e-4
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def batches(clips: list[Path], crop_size: int, config: AutoencoderTraining) -> Draw:
    """Return a function that draws batches of ``image`` (B, 3, W, W) in 0..1 and ``weight`` (B, 1, W, W): 1, up to 4 at
    mouth and eyes."""
    groups = split_clips(clips)

    def draw(generator: Generator) -> Batch:
        return stacked(_sample(groups, crop_size, config, generator) for _ in range(config.batch))

    return draw


def split_clips(clips: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Split clips by length and name into (portraits, videos of rare speakers, videos of the most frequent one)."""
    portraits = [p for p in clips if len(open_clip(p)) == 1]
    return portraits, *split_speakers([p for p in clips if len(open_clip(p)) > 1])


def pick(
    groups: tuple[list[Path], list[Path], list[Path]], config: "AutoencoderTraining", generator: Generator
) -> Path:
    portraits, rare, many = groups
    draw = uniform(0, 1, generator, 2).tolist()
    group = portraits if draw[0] < config.portraits else (rare if draw[1] < config.others else many)
    group = group or portraits or rare or many
    return one_of(group, generator)


def _sample(
    groups: tuple[list[Path], list[Path], list[Path]], crop_size: int, config: AutoencoderTraining, generator: Generator
) -> Batch:
    clip = open_clip(pick(groups, config, generator))
    index = choose(len(clip), generator)
    image, points = clip.frames(index, index + 1), clip.landmarks[index : index + 1]
    if len(clip) == 1:
        image, points = random_affine(image, points, crop_size, generator, 0.2, (0.8, 1.25), 16)
    if uniform(0, 1, generator) < 0.5:
        image = image.flip(-1)
        points = points * torch.tensor([-1.0, 1, 1]) + torch.tensor([float(crop_size), 0, 0])
    centres = torch.stack([points[0, LIPS, :2], *(points[0, eye, :2] for eye in EYES)])
    draw = float(uniform(0, 1, generator))
    anywhere = uniform(0, crop_size, generator, 2)
    eye = centres[1 + choose(2, generator)]
    focus = centres[0] if draw < config.mouth else eye if draw < config.mouth + config.eyes else anywhere
    corner = focus + uniform(-0.3, 0.3, generator, 2) * config.window - config.window / 2
    if config.decoder_only:
        weight = 1 + 3 * bump(centres, 0.09 * crop_size, crop_size)
        return {"image": jitter_colour(image[0], generator), "weight": weight}
    left, top = (corner / 16).round().mul(16).long().clamp(0, crop_size - config.window).tolist()
    view = image[0, :, top : top + config.window, left : left + config.window]
    weight = 1 + 3 * bump(centres - torch.tensor([left, top]), 0.09 * crop_size, config.window)
    return {"image": jitter_colour(view, generator), "weight": weight}


def reconstruction_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted L1 loss of pixels and of their differences to pixels one and three away, which adds
    sharpness."""

    def difference(step: int) -> Tensor:
        across = (output[..., step:] - output[..., :-step]) - (target[..., step:] - target[..., :-step])
        down = (output[..., step:, :] - output[..., :-step, :]) - (target[..., step:, :] - target[..., :-step, :])
        return (across.abs() * weight[..., step:]).mean() + (down.abs() * weight[..., step:, :]).mean()

    return ((output - target).abs() * weight).mean() + difference(1) + 0.5 * difference(3)


def reconstruct(model: Autoencoder, images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return images decoded from a sample of their posterior, and the KL divergence per value of the latents."""
    posterior = model.posterior(images.contiguous(memory_format=torch.channels_last))
    patches = model.kl.decode(posterior.sample(generator)).sample
    output = F.pixel_shuffle(patches, model.config.patch_size).float() / 2 + 0.5
    return output, posterior.kl().mean() / posterior.mean[0].numel()


def autoencoder_loss(model: Autoencoder, batch: Batch, kl_weight: float, generator: Generator) -> dict[str, Tensor]:
    output, kl = reconstruct(model, batch["image"], generator)
    reconstruction = reconstruction_loss(output, batch["image"], batch["weight"])
    error = F.mse_loss(output.detach(), batch["image"])
    return {"loss": reconstruction + kl_weight * kl, "l": reconstruction.detach(), "kl": kl.detach(), "mse": error}


def decoder_loss(model: Autoencoder, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
    """Return the reconstruction loss of a random latent window roughly like those decoded in ``compositing.layers``:
    mouth, jaw and eyes."""
    with torch.no_grad():
        latents = model.encode(batch["image"].contiguous(memory_format=torch.channels_last))
    size, factor = latents.shape[-1], model.config.factor
    height, width = size // 2 + choose(size // 4 + 1, generator), size // 2 + choose(size // 4 + 1, generator)
    top, left = size - height - choose(max(1, size // 5), generator), choose(size - width + 1, generator)
    window = latents[..., top : top + height, left : left + width]
    rows, columns = slice(top * factor, (top + height) * factor), slice(left * factor, (left + width) * factor)
    target, weight = batch["image"][..., rows, columns], batch["weight"][..., rows, columns]
    output = model.decode(window).float()
    reconstruction = reconstruction_loss(output, target, weight)
    return {"loss": reconstruction, "mse": F.mse_loss(output.detach(), target)}


def train_autoencoder(
    clips: list[Path],
    crop_size: int,
    network: AutoencoderConfig,
    config: AutoencoderTraining,
    out: Path,
    start: Path | None = None,
    validation: list[Path] | None = None,
) -> nn.Module:
    """Train on prepared clips into ``out``, from the weights in ``start`` if given; return the EMA network.

    validation: clips to reconstruct at each checkpoint, by default training clips.
    The latents are not scaled yet: see ``measure_scaling``.
    """
    torch.manual_seed(config.seed)
    model = Autoencoder(network)
    if start is not None:
        load_into(model, start)
    model.kl.encoder.requires_grad_(not config.decoder_only)
    model.kl.quant_conv.requires_grad_(not config.decoder_only)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        trained = cast(Autoencoder, network)
        if config.decoder_only:
            return decoder_loss(trained, batch, generator)
        return autoencoder_loss(trained, batch, config.kl_weight, generator)

    validation_frames = first_frames(validation or clips, crop_size)

    def validate(network: nn.Module, step: int) -> dict[str, Tensor]:
        return reconstructions(cast(Autoencoder, network), validation_frames)

    return fit(model, batches(clips, crop_size, config), loss, config.trainer, out, config.seed, validate)


def first_frames(clips: list[Path], crop_size: int) -> Tensor:
    """Return the first frames of ``SHOWN`` evenly chosen clips: (N, 3, S, S) in 0..1."""
    chosen = clips[:: max(1, len(clips) // SHOWN)][:SHOWN]
    return torch.cat([F.interpolate(open_clip(path).frames(0, 1), (crop_size, crop_size)) for path in chosen])


@torch.no_grad()
def reconstructions(model: Autoencoder, images: Tensor) -> dict[str, Tensor]:
    """Return a picture with images (N, 3, S, S) above their reconstructions, and the mean squared error."""
    images = images.to(next(model.parameters()).device)
    output = model.decode(model.encode(images)).clamp(0, 1)
    rows = [torch.cat(tuple(row), -1) for row in (images, output)]
    return {"reconstruction": torch.cat(rows, -2), "mse": F.mse_loss(output, images)}


@torch.no_grad()
def measure_scaling(model: Autoencoder, images: Tensor) -> float:
    """Return the scaling factor that gives the latents of images (N, 3, S, S) unit variance."""
    return float(1 / (model.encode(images) / model.config.scaling_factor).std())
