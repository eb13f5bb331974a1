"""Training of LookNet on pairs of a portrait and its rendered look: ``portraittalk train look net``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Gt, Interval
from torch import Generator, Tensor, nn

from ...config import LookConfig
from ...media.image import read_image
from ...models.look_net import LookNet, recoloured
from ..data.clips import choose, jitter_colour, one_of, uniform
from ..trainer import Batch, Draw, TrainerConfig, fit
from .formulas import LOOKS, paper_tile, render_look

logger = logging.getLogger(__name__)

MEDIA = [name for name, look in LOOKS.items() if look.medium]
LIGHTS = [name for name, look in LOOKS.items() if not look.medium]


@dataclass(frozen=True)
class LookTraining:
    """size: side of LookNet's input patches in pixels. scale: range of LookNet pixels per portrait pixel. large:
    fraction of batches whose pictures have twice the resolution of LookNet's input."""

    batch: Annotated[int, Gt(0)] = 6
    size: Annotated[int, Gt(0)] = 128
    scale: tuple[float, float] = (0.5, 0.9)
    large: Annotated[float, Interval(ge=0, le=1)] = 0.15
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def look_config() -> LookConfig:
    return LookConfig(looks=(*LIGHTS, *MEDIA), lights=len(LIGHTS))


def train_look_net(portraits: Sequence[Path], training: LookTraining, out: Path) -> LookNet:
    """Train LookNet. portraits: pictures of about 768 pixels a side, mostly filled by the head."""
    torch.manual_seed(training.seed)
    net = LookNet(look_config())
    net.paper.copy_(paper_tile(net.config.paper, Generator().manual_seed(training.seed)))
    pictures = [read_image(path).flattened() for path in portraits]
    logger.info("%d portraits, %d parameters", len(pictures), sum(p.numel() for p in net.parameters()))
    draw = look_batches(pictures, net.paper.clone(), training)
    return cast(LookNet, fit(net, draw, look_loss, training.trainer, out, training.seed))


def look_batches(pictures: list[Tensor], tile: Tensor, training: LookTraining) -> Draw:
    """Return a function that draws batches of patches, LookNet's inputs and rendered targets, each in one look or in a
    medium and a light."""

    def draw(generator: Generator) -> Batch:
        factor = 2 if float(uniform(0, 1, generator)) < training.large else 1
        samples = []
        for _ in range(training.batch):
            patch = _patch(one_of(pictures, generator), training, factor, generator)
            paper = shifted(tile, training.size, generator)[None]
            enlarged = F.interpolate(paper, scale_factor=factor, mode="bicubic") if factor > 1 else paper
            weights, target = _rendered(patch, enlarged, factor, generator)
            inputs = F.interpolate(patch, (training.size,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
            samples.append((patch, inputs, paper, weights[None], target))
        names = ("pictures", "seen", "paper", "looks", "targets")
        return {name: torch.cat(parts) for name, parts in zip(names, zip(*samples, strict=True), strict=True)}

    return draw


def look_loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
    output = recoloured(batch["pictures"], network(batch["seen"], batch["looks"], batch["paper"]).float())
    error = (output - batch["targets"]).abs().mean()
    edges = sum((_difference(output, axis) - _difference(batch["targets"], axis)).abs().mean() for axis in (-1, -2))
    return {"loss": error + edges, "error": error.detach(), "edges": cast(Tensor, edges).detach()}


def shifted(tile: Tensor, size: int, generator: Generator) -> Tensor:
    """Return a random patch (3, size, size) of the paper tile."""
    rolled = torch.roll(tile, (choose(tile.shape[1], generator), choose(tile.shape[2], generator)), (1, 2))
    return rolled[:, :size, :size]


def _patch(picture: Tensor, training: LookTraining, factor: int, generator: Generator) -> Tensor:
    """Return a random patch (1, 3, S, S) of the picture, mirrored at random and with jittered colours."""
    reach = round(training.size / float(uniform(*training.scale, generator)))
    top = choose(picture.shape[1] - reach + 1, generator)
    left = choose(picture.shape[2] - reach + 1, generator)
    cut = picture[None, :, top : top + reach, left : left + reach]
    cut = F.interpolate(cut, (training.size * factor,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
    cut = cut.flip(-1) if choose(2, generator) else cut
    return jitter_colour(cut, generator)


def _rendered(patch: Tensor, paper: Tensor, scale: float, generator: Generator) -> tuple[Tensor, Tensor]:
    weights, target = torch.zeros(len(LOOKS)), patch
    kind = float(uniform(0, 1, generator))
    if kind < 0.45:  # a light, at full or partial strength
        name, amount = one_of(LIGHTS, generator), 1.0 if kind < 0.3 else float(uniform(0.3, 1, generator))
        weights[list(LOOKS).index(name)] = amount
        target = patch + amount * (render_look(name, patch, paper, scale) - patch)
    if kind < 0.15 or kind >= 0.45:  # a medium, alone or on top of that light
        name = one_of(MEDIA, generator)
        weights[list(LOOKS).index(name)] = 1.0
        target = render_look(name, target, paper, scale)
    return weights, target


def _difference(x: Tensor, axis: int) -> Tensor:
    return x.diff(dim=axis)
