"""The two stages of training, after the public summary of the paper: identity first, motion second.

Stage one shows single frames (pairs of a reference and a target) and trains IdentityNet with AnimateNet's spatial
layers; stage two shows windows of video to AnimateNet, with IdentityNet frozen. The mask reconstruction loss weighs
the error by what may change at all, most of all around mouth and eyes. Both formulas are our reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Generator, Tensor, nn

from ..config import PortraitTalkConfig
from ..models.animate_net import AnimateNet, Conditions
from ..models.identity_net import IdentityNet
from ..sampling.schedule import TRAINING_STEPS, noise_schedule
from .data import choose, split_speakers, uniform
from .trainer import TrainerConfig, fit

STILL = 0.15  # weight of the latents that the mask leaves out


@dataclass(frozen=True)
class AnimateTraining:
    """stage: 1 or 2. window: frames a sample in stage two. portraits, others: shares of portraits and of rare speakers.

    dropout: chance, for each branch by itself, that a sample does without it. first: chance of the last timestep, from
    which every sampling starts.
    """

    stage: int = 1
    window: int = 8
    batch: int = 16
    portraits: float = 0.4
    others: float = 0.4
    dropout: float = 0.1
    first: float = 0.25
    distil: float = 0.2
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class Networks(nn.Module):
    """IdentityNet and AnimateNet, trained together."""

    def __init__(self, config: PortraitTalkConfig) -> None:
        super().__init__()
        self.identity_net = IdentityNet(config.identity_net, config.animate_net.token_dim)
        self.animate_net = AnimateNet(config)


def train_animate(
    pairs: list[Path],
    embeddings: dict[str, Tensor],
    networks: Networks,
    config: PortraitTalkConfig,
    training: AnimateTraining,
    out: Path,
) -> nn.Module:
    """One stage from pair files into ``out``; returns the averaged networks.

    embeddings: (n, E) unit-length embeddings of a face recogniser by the clip's name, for stage one; a clip without is
    trained without. A pair file is named ``<clip>.<variant>.safetensors``.
    """
    networks.identity_net.requires_grad_(training.stage == 1)
    torch.manual_seed(training.seed)
    noise = Generator().manual_seed(training.seed + 1)
    schedule = noise_schedule()

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return animate_loss(model, batch, config, training, schedule, noise)  # type: ignore[arg-type]

    return fit(networks, batches(pairs, embeddings, config, training), loss, training.trainer, out)


def animate_loss(
    model: Networks,
    batch: dict[str, Tensor],
    config: PortraitTalkConfig,
    training: AnimateTraining,
    schedule: Any,
    noise: Generator,
) -> dict[str, Tensor]:
    """The mask reconstruction loss: mean of ``(STILL + mask) * (v_predicted - v)^2`` over latents, and in stage one the
    distance of the identity embedding to the recogniser's."""
    features = model.identity_net.encoder(batch["reference"])
    identity = model.identity_net.tokens(features)
    warped = batch["warped"]
    net = config.animate_net
    clean = (batch["target"] - warped) * net.residual_scale if net.residual else batch["target"]
    eps = torch.randn(clean.shape, generator=noise)
    timestep = torch.randint(TRAINING_STEPS, (len(clean),), generator=noise)
    timestep[torch.rand(len(clean), generator=noise) < training.first] = TRAINING_STEPS - 1

    def kept() -> Tensor:
        return (torch.rand(len(clean), generator=noise) >= training.dropout).float()

    conditions = Conditions(
        warped=warped,
        mask=batch["mask"],
        map=batch["map"],
        identity=identity * kept()[:, None, None],
        speech=batch["speech"] * kept()[:, None, None, None],
        structure=batch["structure"] * kept()[:, None, None],
    )
    velocity = model.animate_net(schedule.add_noise(clean, eps, timestep), timestep, conditions).float()
    wanted = schedule.get_velocity(clean, eps, timestep)
    error = (velocity - wanted).square()
    weight = (STILL + batch["mask"]).expand_as(error)
    reconstruction = (error * weight).sum() / weight.sum()
    first = _mean_where(error * weight / weight.mean(), timestep == TRAINING_STEPS - 1)
    losses = {"loss": reconstruction, "v": reconstruction.detach(), "first": first}
    if training.stage == 1:
        cosine = (model.identity_net.encoder.embed(features.float()) * batch["embedding"]).sum(-1)
        known = batch["embedding"].abs().sum(-1) > 0
        distance = ((1 - cosine) * known).sum() / known.sum().clamp_min(1)
        losses["loss"] = reconstruction + training.distil * distance
        losses["identity"] = distance.detach()
    return losses


def batches(
    pairs: list[Path], embeddings: dict[str, Tensor], config: PortraitTalkConfig, training: AnimateTraining
) -> Iterator[dict[str, Tensor]]:
    """Endless batches; a batch of stage two is of windows of video, or now and then of portraits as single frames."""
    generator = Generator().manual_seed(training.seed)
    stills = [p for p in pairs if frame_count(p) == 1]
    videos = [p for p in pairs if frame_count(p) > 1]
    rare, many = split_speakers(videos)
    rare = rare or videos
    while True:
        single = training.stage == 1 or float(uniform(0, 1, generator)) < training.portraits / 2
        frames = 1 if single else training.window
        count = training.batch if single else max(1, training.batch // training.window)
        samples = []
        for _ in range(count):
            still = single and (training.stage == 2 or float(uniform(0, 1, generator)) < training.portraits)
            video = rare if float(uniform(0, 1, generator)) < training.others else many
            group = stills if still and stills else video
            samples.append(read_window(group[choose(len(group), generator)], frames, embeddings, config, generator))
        yield {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


@lru_cache(maxsize=8192)
def frame_count(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return file.get_slice("structure").get_shape()[0]


def read_window(
    path: Path, frames: int, embeddings: dict[str, Tensor], config: PortraitTalkConfig, generator: Generator
) -> dict[str, Tensor]:
    """``frames`` successive frames of one pair file, in the layouts of ``Conditions`` but for the batch."""
    start = choose(frame_count(path) - frames + 1, generator)
    with safe_open(path, framework="pt") as file:

        def read(name: str) -> Tensor:
            return file.get_slice(name)[start : start + frames].float()

        has_speech = "speech" in file.keys()  # noqa: SIM118
        speech = read("speech") if has_speech else torch.zeros(frames, config.speech.steps, config.speech.dim)
        known = embeddings.get(path.stem.rsplit(".", 1)[0], torch.zeros(1, config.identity_net.embedding_dim))
        return {
            "target": read("target").transpose(0, 1),
            "warped": read("warped").transpose(0, 1),
            "mask": read("mask").transpose(0, 1),
            "map": read("map") / 255,
            "structure": read("structure"),
            "speech": speech,
            "reference": file.get_tensor("reference")[0].float() / 255,
            "embedding": known[choose(len(known), generator)],
        }


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    per_sample = values.detach().flatten(1).mean(1)
    return per_sample[chosen].mean() if bool(chosen.any()) else per_sample.new_zeros(())
