"""The two stages of training, after the public summary of the paper: identity first, motion second.

Stage one shows single frames (pairs of a reference and a target) and trains IdentityNet with AnimateNet's spatial
layers; stage two shows windows of video to AnimateNet, with IdentityNet frozen. Both may see parts of frames. The mask
reconstruction loss weighs the error by what may change at all, most of all around the mouth; where it can, stage two
also compares mouths as they look decoded. The formulas are our reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from safetensors import safe_open
from torch import Generator, Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, interpolate

from ...compositing.draw import MAP_CHANNELS, drawn_share
from ...config import PortraitTalkConfig
from ...models.animate_net import AnimateNet, Conditions
from ...models.identity_net import IdentityNet
from ...sampling.steps import TRAINING_STEPS, noise_schedule
from ..data.clips import choose, one_of, span_about, split_speakers, uniform
from ..trainer import Batch, Draw, TrainerConfig, Validate, fit, stacked
from .pairs import Kind
from .perceptual import MouthLoss

STILL = 0.15  # weight of the latents that the mask leaves out
MOUTH = 2.0  # what is added for those that show the lips and what is between them
EYE_CHANNELS = [MAP_CHANNELS.index(name) for name in ("open eyes", "irises", "brows")]
OWN_FIRST = 0.8  # chance that the first reference, mostly the one that is warped, is the first that is taken
LIP_CHANNELS = [MAP_CHANNELS.index(name) for name in ("outer lips", "inner lips", "open mouth")]


@dataclass(frozen=True)
class AnimateTraining:
    """stage: 1 or 2. window: frames a sample in stage two. batch: frames a step.

    part: latent rows and columns that are seen of a frame, about the mouth or, in a share ``eyes`` of the samples, the
    eyes; 0 shows whole frames, which is what the last training has to do.

    references: chances that a step shows one, two, ... references of each person; alone, it is mostly the one that is
    warped.

    shares: of the kinds of pairs among the samples; a kind of which there are none, or in stage two the stills, leaves
    its share to the others. others: share of the rare speakers among the videos. dropout: chance, for each branch by
    itself, that a sample does without it. feature_dropout: of features in the UNet's blocks. first: chance of the last
    timestep, from which every sampling starts. pictures: weight of the mouth as it looks decoded (``MouthLoss``), on
    ``decoded`` frames of a step.
    """

    stage: Literal[1, 2] = 1
    window: Annotated[int, Gt(0)] = 8
    batch: Annotated[int, Gt(0)] = 16
    part: Annotated[int, Ge(0)] = 8
    eyes: float = 0.25
    shares: Mapping[Kind, float] = field(default_factory=lambda: {"video": 0.45, "driven": 0.45, "still": 0.1})
    others: float = 0.6
    references: tuple[float, ...] = (0.6, 0.25, 0.15)
    dropout: float = 0.1
    feature_dropout: float = 0.1
    first: float = 0.7
    distil: float = 0.2
    pictures: float = 1.0
    decoded: int = 4
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
    mouth_loss: MouthLoss | None = None,
    validate: Validate | None = None,
) -> nn.Module:
    """One stage from pair files into ``out``; returns the averaged networks.

    mouth_loss: the loss on decoded mouths, if there is to be one. validate: as of ``trainer.fit``.
    embeddings: (n, E) unit-length embeddings of a face recogniser by the clip's name, for stage one; a clip without is
    trained without. A pair file is named ``<clip>.<kind>.<variant>.safetensors``.
    """
    networks.identity_net.requires_grad_(training.stage == 1)
    if training.stage == 1:
        leave_out_motion(networks.animate_net)
    for block in networks.animate_net.modules():
        if isinstance(block, ResnetBlock2D):
            block.dropout.p = training.feature_dropout
    torch.manual_seed(training.seed)
    schedule = noise_schedule()

    def loss(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
        return animate_loss(model, batch, config, training, schedule, noise, mouth_loss)  # type: ignore[arg-type]  # model is a Networks

    draw = batches(pairs, embeddings, config, training)
    trained = fit(networks, draw, loss, training.trainer, out, training.seed, validate)
    if training.stage == 1:
        for model in (networks, trained):
            bring_back_motion(model.animate_net)  # type: ignore[arg-type]  # model is a Networks
    return trained


def leave_out_motion(net: AnimateNet) -> None:
    """Makes the motion modules the identity, which is what stage two begins with, and skips their computation."""
    for module in _motion_modules(net):
        nn.init.zeros_(module.proj_out.weight)
        nn.init.zeros_(module.proj_out.bias)
        module.requires_grad_(False)
        module.forward = _unchanged


def bring_back_motion(net: AnimateNet) -> None:
    """Undoes ``leave_out_motion``, but for the weights."""
    for module in _motion_modules(net):
        module.requires_grad_(True)
        del module.forward


def _motion_modules(net: AnimateNet) -> list[AnimateDiffTransformer3D]:
    return [module for module in net.modules() if isinstance(module, AnimateDiffTransformer3D)]


def _unchanged(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def animate_loss(
    model: Networks,
    batch: dict[str, Tensor],
    config: PortraitTalkConfig,
    training: AnimateTraining,
    schedule: Any,
    noise: Generator,
    mouth_loss: MouthLoss | None = None,
) -> dict[str, Tensor]:
    """The mask reconstruction loss: mean of ``(STILL + mask + MOUTH * mouth) * (v_predicted - v)^2`` over latents, and
    in stage one the distance of the identity embedding to the recogniser's."""
    references = batch["reference"]
    features = model.identity_net.encoder(references.flatten(0, 1))
    identity = model.identity_net.tokens(features).unflatten(0, references.shape[:2]).flatten(1, 2)
    warped = batch["warped"]
    net = config.animate_net
    clean = (batch["target"] - warped) * net.residual_scale if net.residual else batch["target"]
    eps = torch.randn(clean.shape, generator=noise).to(clean)
    timestep = torch.randint(TRAINING_STEPS, (len(clean),), generator=noise)
    timestep[torch.rand(len(clean), generator=noise) < training.first] = TRAINING_STEPS - 1
    timestep = timestep.to(clean.device)

    def kept() -> Tensor:
        return (torch.rand(len(clean), generator=noise) >= training.dropout).to(clean)

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
    mouth = mouth_cells(batch["map"], batch["mask"].shape[-1])
    weight = (STILL + batch["mask"] + MOUTH * mouth).expand_as(error)
    reconstruction = (error * weight).sum() / weight.sum()
    first = _mean_where(error * weight / weight.mean(), timestep == TRAINING_STEPS - 1)
    losses = {"loss": reconstruction, "v": reconstruction.detach(), "first": first}
    chosen = (timestep == TRAINING_STEPS - 1).nonzero().flatten()
    if mouth_loss is not None and len(chosen):
        scale = net.residual_scale if net.residual else 1
        base = warped if net.residual else torch.zeros_like(warped)
        pick = torch.randperm(len(chosen) * clean.shape[2], generator=noise)[: training.decoded].to(clean.device)
        # At the last timestep nothing of the noisy latents is signal: the velocity is the clean latents, negated.
        shown, wanted, where = (
            tensor[chosen].transpose(1, 2).flatten(0, 1)[pick]
            for tensor in (base - velocity / scale, base + clean / scale, mouth)
        )
        size = shown.shape[-1] * config.autoencoder.factor
        opening = batch["map"][chosen].flatten(0, 1)[pick][:, [MAP_CHANNELS.index("open mouth")]]
        share = drawn_share(interpolate(opening, (size, size), mode="bilinear"))
        pictures = mouth_loss(shown, wanted, where, share, noise)
        losses["loss"] = losses["loss"] + training.pictures * pictures
        losses["pictures"] = pictures.detach()
    if training.stage == 1:
        embeddings = model.identity_net.encoder.embed(features.float()).unflatten(0, references.shape[:2])
        cosine = (embeddings * batch["embedding"][:, None]).sum(-1).mean(1)
        known = batch["embedding"].abs().sum(-1) > 0
        distance = ((1 - cosine) * known).sum() / known.sum().clamp_min(1)
        losses["loss"] = losses["loss"] + training.distil * distance
        losses["identity"] = distance.detach()
    return losses


def mouth_cells(drawn: Tensor, size: int) -> Tensor:
    """Where the mouth is, by the landmark maps (B, F, M, m, m) -> (B, 1, F, size, size) in 0..1."""
    lips = drawn[:, :, LIP_CHANNELS].amax(2)
    return adaptive_max_pool2d(lips, size)[:, None]


def batches(
    pairs: list[Path], embeddings: dict[str, Tensor], config: PortraitTalkConfig, training: AnimateTraining
) -> Draw:
    """Draws batches: of single frames in stage one, of windows of video in stage two, or of parts of these."""
    frames = 1 if training.stage == 1 else training.window
    long = [path for path in pairs if frame_count(path) >= frames]
    groups = {kind: [path for path in long if path.stem.split(".")[1] == kind] for kind in training.shares}
    rare, many = split_speakers(groups.get("video", []))
    kinds = [kind for kind, group in groups.items() if group]
    weights = torch.tensor([training.shares[kind] for kind in kinds])
    chances = torch.tensor(training.references)

    def sample(references: int, generator: Generator) -> Batch:
        kind = kinds[int(torch.multinomial(weights, 1, generator=generator))]
        group = groups[kind]
        if kind == "video" and rare and many:
            group = rare if float(uniform(0, 1, generator)) < training.others else many
        window = read_window(one_of(group, generator), frames, references, embeddings, config, generator)
        return cut_part(window, training.part, training.eyes, generator) if training.part else window

    def draw(generator: Generator) -> Batch:
        references = 1 + int(torch.multinomial(chances, 1, generator=generator))
        return stacked(sample(references, generator) for _ in range(max(1, training.batch // frames)))

    return draw


@lru_cache(maxsize=8192)
def frame_count(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return file.get_slice("structure").get_shape()[0]


def read_window(
    path: Path,
    frames: int,
    references: int,
    embeddings: dict[str, Tensor],
    config: PortraitTalkConfig,
    generator: Generator,
) -> dict[str, Tensor]:
    """``frames`` successive frames of one pair file, in the layouts of ``Conditions`` but for the batch, and so many
    of its references (R, 3, s, s) in 0..1."""
    start = choose(frame_count(path) - frames + 1, generator)
    with safe_open(path, framework="pt") as file:

        def read(name: str) -> Tensor:
            return file.get_slice(name)[start : start + frames].float()

        has_speech = "speech" in file.keys()  # noqa: SIM118
        speech = read("speech") if has_speech else torch.zeros(frames, config.speech.steps, config.speech.dim)
        known = embeddings.get(path.stem.split(".")[0], torch.zeros(1, config.identity_net.embedding_dim))
        return {
            "target": read("target").transpose(0, 1),
            "warped": read("warped").transpose(0, 1),
            "mask": read("mask").transpose(0, 1),
            "map": read("map") / 255,
            "structure": read("structure"),
            "speech": speech,
            "reference": _some(file.get_tensor("reference"), references, generator).float() / 255,
            "embedding": known[choose(len(known), generator)],
        }


def cut_part(sample: dict[str, Tensor], part: int, eyes: float, generator: Generator) -> dict[str, Tensor]:
    """``part`` latent rows and columns of a sample of ``read_window``, about the mouth or, by chance, the eyes."""
    channels = EYE_CHANNELS if float(uniform(0, 1, generator)) < eyes else LIP_CHANNELS
    size, cells = sample["mask"].shape[-1], sample["map"].shape[-1]
    shown = sample["map"][:, channels].amax(1)[0]  # (m, m) of the first frame
    rows, columns = (span_about(shown.sum(1 - axis), size, part, 2, generator) for axis in (0, 1))
    fine = cells // size
    drawn_rows, drawn_columns = (slice(span.start * fine, span.stop * fine) for span in (rows, columns))
    cut = {name: sample[name][..., rows, columns] for name in ("target", "warped", "mask")}
    return {**sample, **cut, "map": sample["map"][..., drawn_rows, drawn_columns]}


def _some(references: Tensor, count: int, generator: Generator) -> Tensor:
    """``count`` of the references (R, ...): in most cases the first, then others in any order."""
    order = 1 + torch.randperm(len(references) - 1, generator=generator)
    own = order.new_zeros(1)
    order = torch.cat((own, order) if float(uniform(0, 1, generator)) < OWN_FIRST else (order, own))
    return references[order[:count]]


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    per_sample = values.detach().flatten(1).mean(1)
    return per_sample[chosen].mean() if bool(chosen.any()) else per_sample.new_zeros(())
