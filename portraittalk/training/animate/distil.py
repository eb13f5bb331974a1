"""Distillation to few steps: the student predicts directly what the teacher samples in many steps from the same noise.

The teacher's sampling (DDIM, eta 0) is deterministic given the noise, so the student need not average over several
possible outputs, unlike a network trained on data alone. The student gets points of the teacher's trajectory at the
noise levels of its own ``steps`` and predicts the trajectory's end: direct distillation of the ODE, as in Luhman and
Luhman 2021 for one step. It cannot become better than the teacher.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from ...config import PortraitTalkConfig
from ...errors import SettingsError
from ...models.animate_net import AnimateNet, Conditions
from ...sampling.steps import Step, velocity_steps
from ..data.clips import choose
from ..trainer import Batch, TrainerConfig, Validate, fit
from .stages import MOUTH, STILL, AnimateTraining, Networks, batches, mouth_cells
from .validate import conditions_of


@dataclass(frozen=True)
class DistilTraining:
    """steps: of the student. teacher_steps: a multiple of steps. window: frames per sample. batch: frames per step."""

    steps: Annotated[int, Ge(1)] = 1
    teacher_steps: Annotated[int, Ge(1)] = 8
    window: Annotated[int, Ge(1)] = 8
    batch: Annotated[int, Ge(1)] = 16
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def train_distil(
    pairs: list[Path],
    teacher: Networks,
    config: PortraitTalkConfig,
    training: DistilTraining,
    out: Path,
    validate: Validate | None = None,
) -> nn.Module:
    """Train the student on pair files into ``out`` and return its EMA copy.

    The student starts as a copy of the teacher; its IdentityNet stays frozen. Raises SettingsError if the teacher's
    steps are not a multiple of the student's.
    """
    if training.teacher_steps % training.steps:
        raise SettingsError(
            f"The teacher's steps must be a multiple of the student's {training.steps}, not {training.teacher_steps}."
        )
    student = copy.deepcopy(teacher)
    student.animate_net.requires_grad_(True)
    student.identity_net.requires_grad_(False)
    teacher.requires_grad_(False).eval()

    def loss(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
        return distil_loss(cast(Networks, model), teacher, batch, training, noise)

    draw = batches(pairs, {}, config, AnimateTraining(stage=2, window=training.window, batch=training.batch, part=0))
    return fit(student, draw, loss, training.trainer, out, training.seed, validate)


def distil_loss(
    student: Networks, teacher: Networks, batch: Batch, training: DistilTraining, noise: Generator
) -> dict[str, Tensor]:
    """Return the squared error of the student's clean latents against the teacher's sample, weighted as in
    ``animate_loss``."""
    warped = batch["warped"]
    teacher.to(warped.device)
    conditions = conditions_of(student, batch)
    eps = torch.randn(warped.shape, generator=noise).to(warped)
    chosen = choose(training.steps, noise)
    with torch.no_grad():
        noisy, teacher_sample = teacher_way(teacher.animate_net, eps, conditions, training, chosen)
    step = velocity_steps(training.steps)[chosen]
    clean = predicted_clean(student.animate_net, step, noisy, conditions)
    error = (clean - teacher_sample).square()
    weight = (STILL + batch["mask"] + MOUTH * mouth_cells(batch["map"], warped.shape[-1])).expand_as(error)
    return {"loss": (error * weight).sum() / weight.sum()}


def teacher_way(
    net: AnimateNet, eps: Tensor, conditions: Conditions, training: DistilTraining, chosen: int
) -> tuple[Tensor, Tensor]:
    """Sample with the teacher from noise (B, C, F, h, w); return its latents at the start of the student's step
    ``chosen`` and its final sample."""
    sample = at_step = eps
    for number, step in enumerate(velocity_steps(training.teacher_steps)):
        if number == chosen * training.teacher_steps // training.steps:
            at_step = sample
        velocity = net(sample, torch.tensor(step.timestep, device=eps.device), conditions)
        sample = step.advance(sample, velocity.float())
    return at_step, sample


def predicted_clean(net: AnimateNet, step: Step, sample: Tensor, conditions: Conditions) -> Tensor:
    """Return the clean latents implied by the network's velocity at ``step``."""
    velocity = net(sample, torch.tensor(step.timestep, device=sample.device), conditions).float()
    return step.signal * sample - step.noise * velocity
