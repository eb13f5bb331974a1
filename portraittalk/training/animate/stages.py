"""The two training stages of the paper's public summary: identity first, motion second.

Stage one trains IdentityNet and AnimateNet's spatial layers on single frames (reference and target); stage two trains
AnimateNet on windows of video, with IdentityNet frozen. Both can train on crops of frames. The mask reconstruction loss
weights the error by the motion mask, and most around the mouth; optionally, mouths are also compared after decoding.
The formulas are our reading of the paper.
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
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, interpolate

from ...compositing.draw import MAP_CHANNELS, drawn_share
from ...config import PortraitTalkConfig
from ...errors import MediaError
from ...models.animate_net import AnimateNet, Conditions
from ...models.identity_net import IdentityNet
from ...sampling.steps import TRAINING_STEPS, noise_schedule
from ..data.clips import choose, one_of, span_about, split_speakers, uniform
from ..trainer import Batch, Draw, TrainerConfig, Validate, fit, stacked
from .pairs import Kind
from .perceptual import MouthLoss

STILL = 0.15  # weight of latents outside the motion mask
MOUTH = 2.0  # additional weight of latents at the lips and the mouth interior
EYE_CHANNELS = [MAP_CHANNELS.index(name) for name in ("open eyes", "irises", "brows")]
OWN_FIRST = 0.8  # probability that the file's first reference, mostly the warped frame, is used first
LIP_CHANNELS = [MAP_CHANNELS.index(name) for name in ("outer lips", "inner lips", "open mouth")]


@dataclass(frozen=True)
class AnimateTraining:
    """stage: 1 or 2. window: frames per sample in stage two. batch: frames per step.

    part: side of the training crops in latent cells, around the mouth or, for a fraction ``eyes`` of the samples, the
    eyes; 0 for full frames, which the last training needs.

    references: probabilities of one, two, ... identity references in a step; a single one is mostly the warped frame.

    shares: fractions of the kinds of pairs; missing kinds, and stills in stage two, leave theirs to the other kinds.
    others: fraction of video samples from rare speakers. dropout: probability, independently for each condition, that
    it is dropped. feature_dropout: dropout in the UNet's residual blocks. first: probability of the last timestep,
    where sampling starts. distil: weight of the identity embedding loss. pictures: weight of the loss on decoded mouths
    (``MouthLoss``), which is computed on ``decoded`` frames per step.
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
    """IdentityNet and AnimateNet as one module."""

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
    """Train one stage on pair files into ``out``; return the EMA networks.

    pairs: files named ``<clip>.<kind>.<variant>.safetensors``. embeddings: clip name -> (n, E) unit-length embeddings
    of a face recogniser, for stage one; clips without one get no embedding loss. mouth_loss: optional loss on decoded
    mouths. validate: as in ``trainer.fit``.
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
    """Make the motion modules the identity, with which stage two starts, and skip their computation."""
    for module in _motion_modules(net):
        nn.init.zeros_(module.proj_out.weight)
        nn.init.zeros_(module.proj_out.bias)
        module.requires_grad_(False)
        module.forward = _unchanged


def bring_back_motion(net: AnimateNet) -> None:
    """Undo ``leave_out_motion`` except for the weights."""
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
    """Return the mask reconstruction loss: the mean of ``(STILL + mask + MOUTH * mouth) * (v_predicted - v)^2`` over
    latents, divided by the mean weight; in stage one plus the cosine distance of the identity embedding to the
    recogniser's, and with ``mouth_loss`` plus the loss on decoded mouths."""
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

    def keep_mask() -> Tensor:
        return (torch.rand(len(clean), generator=noise) >= training.dropout).to(clean)

    conditions = Conditions(
        warped=warped,
        mask=batch["mask"],
        map=batch["map"],
        identity=identity * keep_mask()[:, None, None],
        speech=batch["speech"] * keep_mask()[:, None, None, None],
        structure=batch["structure"] * keep_mask()[:, None, None],
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
        selected = torch.randperm(len(chosen) * clean.shape[2], generator=noise)[: training.decoded].to(clean.device)
        # At the last timestep the noisy latents contain no signal: the velocity is the negated clean latents.
        mouth_latents, wanted, mouth_mask = (
            tensor[chosen].transpose(1, 2).flatten(0, 1)[selected]
            for tensor in (base - velocity / scale, base + clean / scale, mouth)
        )
        size = mouth_latents.shape[-1] * config.autoencoder.factor
        opening = batch["map"][chosen].flatten(0, 1)[selected][:, [MAP_CHANNELS.index("open mouth")]]
        share = drawn_share(interpolate(opening, (size, size), mode="bilinear"))
        decoded_loss = mouth_loss(mouth_latents, wanted, mouth_mask, share, noise)
        losses["loss"] = losses["loss"] + training.pictures * decoded_loss
        losses["pictures"] = decoded_loss.detach()
    if training.stage == 1:
        embeddings = model.identity_net.encoder.embed(features.float()).unflatten(0, references.shape[:2])
        cosine = (embeddings * batch["embedding"][:, None]).sum(-1).mean(1)
        has_embedding = batch["embedding"].abs().sum(-1) > 0
        distance = ((1 - cosine) * has_embedding).sum() / has_embedding.sum().clamp_min(1)
        losses["loss"] = losses["loss"] + training.distil * distance
        losses["identity"] = distance.detach()
    return losses


def mouth_cells(maps: Tensor, size: int) -> Tensor:
    """Return the mouth mask (B, 1, F, size, size) in 0..1 from landmark maps (B, F, M, m, m)."""
    lips = maps[:, :, LIP_CHANNELS].amax(2)
    return adaptive_max_pool2d(lips, size)[:, None]


def batches(
    pairs: list[Path], embeddings: dict[str, Tensor], config: PortraitTalkConfig, training: AnimateTraining
) -> Draw:
    """Return a function that draws batches of single frames (stage one) or windows of video (stage two), or crops of
    these."""
    frames = 1 if training.stage == 1 else training.window
    long = [path for path in pairs if frame_count(path) >= frames]
    groups = {kind: [path for path in long if path.stem.split(".")[1:2] == [kind]] for kind in training.shares}
    if not any(groups.values()):
        kinds_wanted = ", ".join(training.shares)
        raise MediaError(f"None of the {len(pairs)} pair files ({kinds_wanted}) has {frames} frames: make longer ones.")
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
    """Return the frames of a pair file. Raises MediaError if the file is damaged or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_slice("structure").get_shape()[0]
    except (SafetensorError, OSError) as error:
        raise MediaError(f"{path} is not a pair file ({error}): give a folder of `train pairs`.") from error


def read_window(
    path: Path,
    frames: int,
    references: int,
    embeddings: dict[str, Tensor],
    config: PortraitTalkConfig,
    generator: Generator,
) -> dict[str, Tensor]:
    """Read ``frames`` random successive frames of a pair file, in the layouts of ``Conditions`` without the batch
    dimension, and ``references`` of its references (R, 3, s, s) in 0..1."""
    start = choose(frame_count(path) - frames + 1, generator)
    with safe_open(path, framework="pt") as file:

        def read(name: str) -> Tensor:
            return file.get_slice(name)[start : start + frames].float()

        has_speech = "speech" in file.keys()  # noqa: SIM118
        speech = read("speech") if has_speech else torch.zeros(frames, config.speech.steps, config.speech.dim)
        clip_embeddings = embeddings.get(path.stem.split(".")[0], torch.zeros(1, config.identity_net.embedding_dim))
        return {
            "target": read("target").transpose(0, 1),
            "warped": read("warped").transpose(0, 1),
            "mask": read("mask").transpose(0, 1),
            "map": read("map") / 255,
            "structure": read("structure"),
            "speech": speech,
            "reference": _choose_references(file.get_tensor("reference"), references, generator).float() / 255,
            "embedding": clip_embeddings[choose(len(clip_embeddings), generator)],
        }


def cut_part(sample: dict[str, Tensor], part: int, eyes: float, generator: Generator) -> dict[str, Tensor]:
    """Crop a sample of ``read_window`` to ``part`` latent rows and columns around the mouth or, with probability
    ``eyes``, the eyes."""
    channels = EYE_CHANNELS if float(uniform(0, 1, generator)) < eyes else LIP_CHANNELS
    size, cells = sample["mask"].shape[-1], sample["map"].shape[-1]
    region = sample["map"][:, channels].amax(1)[0]  # (m, m) of the first frame
    rows, columns = (span_about(region.sum(1 - axis), size, part, 2, generator) for axis in (0, 1))
    scale = cells // size
    map_rows, map_columns = (slice(span.start * scale, span.stop * scale) for span in (rows, columns))
    cut = {name: sample[name][..., rows, columns] for name in ("target", "warped", "mask")}
    return {**sample, **cut, "map": sample["map"][..., map_rows, map_columns]}


def _choose_references(references: Tensor, count: int, generator: Generator) -> Tensor:
    """Choose ``count`` of the references (R, ...): usually the first one, then others in random order."""
    order = 1 + torch.randperm(len(references) - 1, generator=generator)
    own = order.new_zeros(1)
    order = torch.cat((own, order) if float(uniform(0, 1, generator)) < OWN_FIRST else (order, own))
    return references[order[:count]]


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    per_sample = values.detach().flatten(1).mean(1)
    return per_sample[chosen].mean() if bool(chosen.any()) else per_sample.new_zeros(())
