"""Training of the autoencoder of mouth windows: pixels, edges, VGG features, and at last a patch discriminator."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...compositing.mouth_window import drawn_region
from ...config import AutoencoderConfig
from ...models.autoencoder import Autoencoder
from ...tensor_files import load_into
from ..data.clips import choose, jitter_colour, random_affine, uniform
from ..data.mouths import WINDOW, MouthClip, read_mouths
from ..trainer import Batch, Draw, TrainerConfig, fit, stacked
from .adversary import PatchDiscriminator, adversarial_losses
from .autoencoder import measure_scaling, reconstruct, reconstruction_loss, reconstructions
from .perceptual import VggFeatures, feature_distance, random_cuts

logger = logging.getLogger(__name__)

SAMPLES = 64  # windows from which the scaling factor is measured


@dataclass(frozen=True)
class WindowAutoencoderTraining:
    """portraits: fraction of samples from portraits. white_balance: largest change of each channel, in octaves.

    decoder_only: freezes the encoder, so that latents do not change.
    features: weight of the VGG distance of ``cuts`` squares of ``cut`` pixels a step. adversary: weight of the patch
    discriminator, 0 for none. It should come last, in a run that starts from the weights of one without it.
    """

    batch: Annotated[int, Gt(0)] = 16
    portraits: float = 0.4
    rotation: float = 0.15
    zoom: tuple[float, float] = (0.75, 1.15)
    shift: float = 10.0
    white_balance: float = 0.3
    decoder_only: bool = False
    kl_weight: float = 2e-5
    features: float = 0.1
    adversary: float = 0.0
    cuts: Annotated[int, Gt(0)] = 8
    cut: Annotated[int, Gt(0)] = 64
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class WindowNetworks(nn.Module):
    """The autoencoder and its discriminator as one module; what is used later is ``autoencoder``."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(config)
        self.discriminator = PatchDiscriminator()


class Sources:
    """Mouth clips in memory, to draw from: portraits, or a speaker by the root of how many pictures there are."""

    def __init__(self, paths: list[Path]) -> None:
        self.every = [read_mouths(path) for path in paths]
        self.portraits = [clip for clip in self.every if len(clip) == 1]
        speakers: dict[str, list[MouthClip]] = {}
        for clip in self.every:
            if len(clip) > 1:
                speakers.setdefault(clip.name.split("_")[0], []).append(clip)
        self.speakers = list(speakers.values())
        self._weights = torch.tensor([sum(map(len, clips)) ** 0.5 for clips in self.speakers])

    def draw(self, portraits: float, generator: Generator) -> MouthClip:
        """Return a portrait with probability ``portraits``, else a clip of a speaker."""
        clips = self.portraits
        if not clips or (self.speakers and float(uniform(0, 1, generator)) >= portraits):
            clips = self.speakers[int(torch.multinomial(self._weights, 1, generator=generator))]
        return clips[choose(len(clips), generator)]


def batches(sources: Sources, config: WindowAutoencoderTraining) -> Draw:
    """Return a function that draws batches of ``image`` (B, 3, W, W) in 0..1 and ``weight`` (B, 1, W, W)."""

    def sample(generator: Generator) -> Batch:
        clip = sources.draw(config.portraits, generator)
        index = choose(len(clip), generator)
        points = clip.landmarks[index : index + 1].clone()
        points[..., :2] -= clip.covers.corner * (clip.pictures.shape[-1] / clip.covers.side)
        picture = clip.pictures[index : index + 1].float() / 255
        image, points = random_affine(picture, points, WINDOW, generator, config.rotation, config.zoom, config.shift)
        weight = 1 + drawn_region(points, WINDOW)
        if uniform(0, 1, generator) < 0.5:
            image, weight = image.flip(-1), weight.flip(-1)
        colours = jitter_colour(image[0], generator, white_balance=config.white_balance)
        return {"image": colours, "weight": weight[0]}

    return lambda generator: stacked(sample(generator) for _ in range(config.batch))


def window_autoencoder_loss(
    model: WindowNetworks,
    batch: Batch,
    vgg: VggFeatures | None,
    config: WindowAutoencoderTraining,
    generator: Generator,
) -> dict[str, Tensor]:
    """Return the losses of a step; with ``config.adversary``, the discriminator learns in the same step."""
    image = batch["image"]
    output, kl = reconstruct(model.autoencoder, image, generator)
    reconstruction = reconstruction_loss(output, image, batch["weight"])
    losses = {
        "loss": reconstruction + config.kl_weight * kl,
        "pixels": reconstruction.detach(),
        "kl": kl.detach(),
        "l1": F.l1_loss(output.detach(), image),
    }
    made, real = random_cuts((output, image), config.cut, config.cuts, generator)
    if vgg is not None and config.features:
        distance = feature_distance(vgg, made, real)
        losses["loss"] = losses["loss"] + config.features * distance
        losses["features"] = distance.detach()
    if config.adversary:
        generator_loss, discriminator_loss = adversarial_losses(model.discriminator, made, real)
        losses["loss"] = losses["loss"] + config.adversary * generator_loss + discriminator_loss
        losses["discriminator"] = discriminator_loss.detach()
    return losses


def train_window_autoencoder(
    clips: list[Path],
    network: AutoencoderConfig,
    config: WindowAutoencoderTraining,
    out: Path,
    start: Path | None = None,
    validation: list[Path] | None = None,
) -> WindowNetworks:
    """Train on mouth clips into ``out``, from the weights in ``start`` if given; return the EMA networks.

    validation: clips to reconstruct at each checkpoint. The factor that gives the latents unit variance is logged.
    """
    torch.manual_seed(config.seed)
    model = WindowNetworks(network)
    if start is not None:
        load_into(model, start)
    for part in (model.autoencoder.kl.encoder, model.autoencoder.kl.quant_conv):
        part.requires_grad_(not config.decoder_only)
    vgg = VggFeatures() if config.features else None
    shown = [widest_window(read_mouths(path)) for path in validation or []]

    def loss(networks: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        return window_autoencoder_loss(cast(WindowNetworks, networks), batch, vgg, config, generator)

    def validate(networks: nn.Module, step: int) -> dict[str, Tensor]:
        return reconstructions(cast(WindowNetworks, networks).autoencoder, torch.stack(shown)) if shown else {}

    sources = Sources(clips)
    trained = cast(
        WindowNetworks, fit(model, batches(sources, config), loss, config.trainer, out, config.seed, validate)
    )
    samples = [widest_window(clip) for clip in sources.every[:: max(1, len(sources.every) // SAMPLES)]]
    logger.info("scaling factor of the latents: %.4f", measure_scaling(trained.autoencoder, torch.stack(samples)))
    return trained


def read_window_autoencoder(path: Path, config: AutoencoderConfig) -> Autoencoder:
    """Read the trained autoencoder, for inference. Raises WeightsError if the file is something else."""
    networks = WindowNetworks(config)
    load_into(networks, path)
    return networks.autoencoder.eval().requires_grad_(False)


def widest_window(clip: MouthClip) -> Tensor:
    """Return the middle window (3, W, W) in 0..1 of a clip's picture with the widest open mouth."""
    from ...motion.geometry import lip_aperture

    picture = clip.pictures[int(lip_aperture(clip.landmarks).argmax())].float() / 255
    edge = (picture.shape[-1] - WINDOW) // 2
    return picture[:, edge : edge + WINDOW, edge : edge + WINDOW]
