"""Training of the look reader, which maps text embeddings to looks: ``portraittalk train look reader``.

Positives are the phrases of ``formulas.json``, plain and inside longer texts; negatives are texts that ask for no look.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn

from ...models.look_net import LookReader
from ...text.networks import TextNetworks
from ...text.prompt import word_pieces
from ..data.clips import one_of, uniform
from ..text.captions import CONCEPTS, FRAMES, STRENGTHS
from ..trainer import Batch, TrainerConfig, fit
from .formulas import LOOKS, NO_LOOK
from .painter import LIGHTS, MEDIA, look_config

LOOK_FRAMES = (
    "{}", "{} style", "in the style of {}", "{} portrait", "as {}", "like {}", "looks like {}", "{} effect", "{} look",
    "make it {}", "turned into {}", "{} of a person", "in {}", "{}, portrait", "a {} picture", "the look of {}",
)  # fmt: skip


@dataclass(frozen=True)
class LookReaderTraining:
    """captions: number of training captions. noise: standard deviation of the noise added to the
    embeddings' components, times the square root of their dimension."""

    captions: Annotated[int, Gt(0)] = 12_000
    batch: Annotated[int, Gt(0)] = 256
    noise: Annotated[float, Ge(0)] = 0.5
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def look_caption(generator: Generator) -> tuple[str, tuple[str, ...]]:
    """Return a random text and the looks it asks for."""
    kind = float(uniform(0, 1, generator))
    if kind < 0.5:
        name = one_of(list(LOOKS), generator)
        return one_of(LOOK_FRAMES, generator).format(one_of(LOOKS[name].phrases, generator)), (name,)
    if kind < 0.6:
        light, medium = one_of(LIGHTS, generator), one_of(MEDIA, generator)
        texts = [one_of(LOOKS[name].phrases, generator) for name in (light, medium)]
        return one_of(("{} {}", "{1} in {0}", "{1} with {0}", "{1}, {0}"), generator).format(*texts), (light, medium)
    if kind < 0.8:
        phrase = one_of(CONCEPTS[one_of(list(CONCEPTS), generator)].phrases, generator)
        return one_of((*FRAMES[:6], *FRAMES[:1] * 4, *STRENGTHS), generator).format(phrase), ()
    return one_of((*LOOK_FRAMES[:6], *LOOK_FRAMES[:1] * 6), generator).format(one_of(NO_LOOK, generator)), ()


def train_look_reader(encoder: TextNetworks, training: LookReaderTraining, out: Path) -> LookReader:
    """Train the look reader on the embeddings of the shipped, frozen sentence encoder."""
    torch.manual_seed(training.seed)
    caption_generator = Generator().manual_seed(training.seed)
    captions = [look_caption(caption_generator) for _ in range(training.captions)]
    with torch.no_grad():
        pieces = [word_pieces([text for text, _ in captions[k : k + 64]], encoder) for k in range(0, len(captions), 64)]
        sentences = torch.cat([encoder.sentences(part) for part in pieces])
    config = look_config()
    targets = torch.tensor([[float(name in looks) for name in config.looks] for _, looks in captions])

    def draw(generator: Generator) -> Batch:
        rows = torch.randint(len(captions), (training.batch,), generator=generator)
        noise = torch.randn((training.batch, config.dim), generator=generator) * training.noise / config.dim**0.5
        return {"sentences": F.normalize(sentences[rows] + noise, dim=-1), "wanted": targets[rows]}

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        presence, asks = network(batch["sentences"])
        has_look = batch["wanted"].amax(1)
        look_loss = F.binary_cross_entropy_with_logits(presence, batch["wanted"], reduction="none").sum(1)
        look_loss = (look_loss * has_look).sum() / has_look.sum()
        presence_loss = F.binary_cross_entropy_with_logits(asks, has_look)
        return {"loss": look_loss + presence_loss, "which": look_loss.detach(), "known": presence_loss.detach()}

    return cast(LookReader, fit(LookReader(config), draw, loss, training.trainer, out, training.seed))
